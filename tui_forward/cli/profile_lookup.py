"""Which profile is meant, and that somebody else's is agreed to before it starts anything."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tui_forward.cli.output import one_line
from tui_forward.common import paths as paths
from tui_forward.common.arguments import is_loopback
from tui_forward.errors import UsageError
from tui_forward.profiles.parser import parse_profile
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.store import ProfileFile, ProfileStore
from tui_forward.profiles.trust import TrustStore


def store() -> ProfileStore:
    """The profiles of this person, here."""
    return ProfileStore(paths.profiles_dir(), Path.cwd())


def trust() -> TrustStore:
    """What this person has agreed to."""
    return TrustStore(paths.trusted_profiles_file())


def find_trusted_profile(name: str, *, yes: bool) -> Profile:
    """The profile of a name, agreed to if need be.

    Args:
        name: Name or path.
        yes: The person agrees to whatever is in it.

    Raises:
        UsageError: There is none, or the person did not agree.
        ProfileError: It cannot be used.
    """
    file = store().find(name)
    text = file.text()
    profile = parse_profile(text, file.path, team=file.team)
    if file.team:
        _ask(file, text, profile, yes=yes)
    return profile


def _ask(file: ProfileFile, text: str, profile: Profile, *, yes: bool) -> None:
    if trust().is_trusted(file.path, text):
        return
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                f"{file.path} was not agreed to, or has changed since",
                hint="look at it (tui-forward profile show), then say --yes",
            )
        click.echo(f"{file.path} is not one of your own profiles, or has changed:", err=True)
        for line in describe_forwards(profile):
            click.echo(f"  {one_line(line)}", err=True)
        if not click.confirm("Use it from now on?", default=False, err=True):
            raise UsageError("the profile was not agreed to", hint="nothing was changed")
    trust().trust(file.path, text)


def describe_forwards(profile: Profile) -> list[str]:
    """A line for each forward: what it listens on and where it leads."""
    lines = []
    for one in profile.forwards:
        spec = one.spec
        local = {None: "its own port, or the next free one", 0: "any free port"}.get(
            spec.local_port, f"port {spec.local_port}"
        )
        line = f"{one.name}: {local} → {spec.target}"
        if spec.target.context:
            line += f" in {spec.target.context}"
        if exposed := [address for address in spec.addresses if not is_loopback(address)]:
            line += f", OPEN TO OTHER MACHINES on {', '.join(exposed)}"
        lines.append(line)
    return lines
