"""Lookup of profiles by name, and the trust question for profiles of other authors."""

from __future__ import annotations

import os
import sys

import click

from tui_forward.cli.output import style, use_color
from tui_forward.cli.questions import ask, can_ask
from tui_forward.common import paths
from tui_forward.common.printable import escape_unprintable
from tui_forward.common.user_folders import working_dir
from tui_forward.errors import TuiForwardError, UsageError
from tui_forward.profiles.description import describe_exposure, describe_forwards
from tui_forward.profiles.parser import parse_profile
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.store import ProfileContent, ProfileFile, ProfileStore
from tui_forward.profiles.trust import TrustStore


def store() -> ProfileStore:
    """Return the store of the user's profiles and of those in the working directory."""
    return ProfileStore(paths.profiles_dir(), working_dir())


def trust() -> TrustStore:
    """Return the profiles that the user trusts."""
    return TrustStore(paths.trusted_profiles_file())


def find_trusted_profile(name: str, *, yes: bool, kubeconfig: str | None = None) -> Profile:
    """Return the profile of a name or path; UsageError if there is none, or it is not trusted.

    Ask whether to trust it unless it is the user's own, or `yes` is set. The file is read once:
    what the question shows is what is returned.
    """
    file = store().find(name)
    content = file.content()
    profile = parse_profile(content.text, file.path, team=file.team, foreign=content.foreign)
    if trust().needs_question(file.path, content):
        if not yes:
            _require_trust(file, content, profile, kubeconfig)
        trust().trust(file.path, content.text)
    return profile


def _require_trust(
    file: ProfileFile, content: ProfileContent, profile: Profile, kubeconfig: str | None
) -> None:
    """Show everything that a profile can change, and ask whether to trust it."""
    path = escape_unprintable(str(file.path))
    if not can_ask():
        raise UsageError(
            f"{path} is not trusted, or has changed since: {content.foreign}",
            hint="inspect it with tui-forward profile show, then add --yes",
        )
    click.echo(f"{path} is not trusted, or has changed: {content.foreign}.", err=True)
    clusters = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    click.echo(f"It would use the kubeconfig {escape_unprintable(clusters)} to forward:", err=True)
    for line in describe_forwards(profile):
        click.echo(f"  {line}", err=True)
    for line in describe_exposure(profile):
        click.echo(style(line, "1;31", color=use_color(sys.stderr)), err=True)
    if not ask("Trust it?", default=False):
        raise TuiForwardError("profile not trusted", hint="nothing was changed")
