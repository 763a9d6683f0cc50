"""Recordings of a real chain that fails, in `tests/faults`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "faults"

# Each recording belongs to the table of the test that has the evidence which tells it from others.
# Numbers and ranges; a table fails if it does not cover exactly its own.
TABLES = {
    # The objects that the API server reports.
    "tests/catalog/test_recorded_faults.py": (
        "1-29 33 37 38 54 60-69 71 72 74-76 78 79 101 114 117-119"
    ),
    # The answers to requests and upgrades, the texts on the error stream, the ends of streams.
    "answers": "30-32 34-36 39-53 70 73 77 80-100 102-113 115 116 120-156",
}


def fault_names() -> list[str]:
    """Return the names of all recorded faults, such as `015-crashloop-waiting`."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def faults_of(table: str) -> list[str]:
    """Return the names of the faults that a table covers."""
    numbers: set[int] = set()
    for part in TABLES[table].split():
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return [name for name in fault_names() if int(name.partition("-")[0]) in numbers]


def load_fault(name: str) -> dict[str, Any]:
    """Return one recording; `tests/faults/README.md` describes its keys."""
    fault: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return fault
