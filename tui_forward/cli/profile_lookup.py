"""Lookup of profiles by name, and the trust question for profiles of other authors."""

from __future__ import annotations

from pathlib import Path

import click

from tui_forward.cli.output import one_line
from tui_forward.cli.questions import ask, can_ask
from tui_forward.common import paths
from tui_forward.common.arguments import is_loopback
from tui_forward.errors import TuiForwardError, UsageError
from tui_forward.profiles.parser import parse_profile
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.store import ProfileFile, ProfileStore
from tui_forward.profiles.trust import TrustStore


def store() -> ProfileStore:
    """Return the store of the user's profiles and of those in the working directory."""
    return ProfileStore(paths.profiles_dir(), Path.cwd())


def trust() -> TrustStore:
    """Return the profiles that the user trusts."""
    return TrustStore(paths.trusted_profiles_file())


def find_trusted_profile(name: str, *, yes: bool) -> Profile:
    """Return the profile of a name or path; UsageError if there is none, or it is not trusted.

    Ask whether to trust it unless it is the user's own, or `yes` is set.
    """
    file = store().find(name)
    text = file.text()
    profile = parse_profile(text, file.path, team=file.team)
    if file.team:
        _require_trust(file, text, profile, yes=yes)
    return profile


def _require_trust(file: ProfileFile, text: str, profile: Profile, *, yes: bool) -> None:
    if trust().is_trusted(file.path, text):
        return
    if not yes:
        if not can_ask():
            raise UsageError(
                f"{file.path} is not trusted, or has changed since",
                hint="inspect it with tui-forward profile show, then add --yes",
            )
        click.echo(f"{file.path} is not one of your own profiles, or has changed:", err=True)
        for line in describe_forwards(profile):
            click.echo(f"  {one_line(line)}", err=True)
        if not ask("Trust it?", default=False):
            raise TuiForwardError("profile not trusted", hint="nothing was changed")
    trust().trust(file.path, text)


def describe_forwards(profile: Profile) -> list[str]:
    """Return a line for each forward: its local port, its target and who can reach it."""
    lines = []
    for one in profile.forwards:
        spec = one.spec
        local = {None: "the same port, or the next free one", 0: "any free port"}.get(
            spec.local_port, f"port {spec.local_port}"
        )
        line = f"{one.name}: {local} → {spec.target}"
        if spec.target.context:
            line += f" in {spec.target.context}"
        if exposed := [address for address in spec.addresses if not is_loopback(address)]:
            line += f", OPEN TO OTHER MACHINES on {', '.join(exposed)}"
        lines.append(line)
    return lines
