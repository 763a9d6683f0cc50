"""The files of the dashboard; the command line knows where they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Files:
    """Where things are kept; None keeps nothing.

    Attributes:
        memory: Favourites and what was used lately.
        settings: The person's theme and keys.
        log: What the engine process writes.
    """

    memory: Path | None = None
    settings: Path | None = None
    log: Path | None = None
