"""Paths of the dashboard's files, set by the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DashboardPaths:
    """Paths of files and folders; None keeps nothing.

    Attributes:
        memory: Favorites and recently used entries.
        settings: See `tui_forward.settings`.
        log: Log of the engine process.
        profiles: Folder of the user's profiles.
        trusted: Store of trusted team profiles.
        working: Current folder, for the profile of a working tree.
    """

    favorites: Path | None = None
    settings: Path | None = None
    log: Path | None = None
    profiles: Path | None = None
    trusted_profiles: Path | None = None
    working_dir: Path | None = None
