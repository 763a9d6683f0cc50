"""Paths of the dashboard's files, set by the command line."""

from __future__ import annotations

from pathlib import Path

import msgspec


class DashboardPaths(msgspec.Struct, frozen=True):
    """Paths of files and folders; None keeps nothing."""

    favorites: Path | None = None
    settings: Path | None = None  # see `tui_forward.settings`
    # Kubeconfigs of the session, in the form of $KUBECONFIG; None if they are not known.
    kubeconfigs: str | None = None
    log: Path | None = None  # log of the engine process
    profiles: Path | None = None  # folder of the user's profiles
    trusted_profiles: Path | None = None  # store of trusted team profiles
    working_dir: Path | None = None  # for the profile of a working tree
