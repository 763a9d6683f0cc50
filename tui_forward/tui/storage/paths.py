"""The files of the dashboard; the command line knows where they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DashboardPaths:
    """Where things are kept; None keeps nothing.

    Attributes:
        memory: Favourites and what was used lately.
        settings: See `tui_forward.settings`.
        log: What the engine process writes.
        profiles: The folder of the person's own profiles.
        trusted: Which of somebody else's profiles were agreed to.
        working: Where the person is, for the profile of a working tree.
    """

    memory: Path | None = None
    settings: Path | None = None
    log: Path | None = None
    profiles: Path | None = None
    trusted: Path | None = None
    working: Path | None = None
