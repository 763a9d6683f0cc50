"""Recordings of a real chain that fails, in `tests/faults`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "faults"


def fault_names() -> list[str]:
    """Return the names of all recorded faults, such as `015-crashloop-waiting`."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load_fault(name: str) -> dict[str, Any]:
    """Return one recording; `tests/faults/README.md` describes its keys."""
    fault: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return fault
