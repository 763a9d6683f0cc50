"""Recordings of a real chain that fails, in `tests/faults`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "faults"

# The tests that have the evidence which tells a fault from others: numbers and ranges. A module
# names all of its faults; `tests/catalog/test_recorded_faults.py` checks that, and that none is
# missing here.
TABLES = {
    # The objects that the API server reports.
    "tests/catalog/test_recorded_faults.py": (
        "1-29 33 37 38 41 44-47 50 51 53 54 60-72 74-79 84 85 87 92 93 101 114 117-119"
    ),
    # The answers to requests and upgrades, the texts on the error stream.
    "tests/engine/test_recorded_faults.py": (
        "34 36 39 40 42 43 48 49 52 73 80-83 85 86 88-91 94-100 102-110 112 113 115 116 120-122 "
        "111 126 140-147 150"
    ),
    # Tunnels that always end at the same age.
    "tests/engine/tunnels/test_time_limit.py": "139 148",
    # The answers to requests that are no upgrades.
    "tests/kube/test_recorded_faults.py": "149 154 155",
    # The ends of connections to a pod.
    "tests/engine/connections/test_pod_history.py": "30-32 35",
    # TCP, TLS and proxies.
    "tests/transport/test_recorded_faults.py": "123-125 127-138 151-153 156",
}


def fault_names() -> list[str]:
    """Return the names of all recorded faults, such as `015-crashloop-waiting`."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def faults_of(table: str) -> list[str]:
    """Return the names of the faults that a table covers."""
    return names_of(TABLES[table])


def names_of(ranges: str) -> list[str]:
    """Return the names of faults by number and range."""
    numbers: set[int] = set()
    for part in ranges.split():
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return [name for name in fault_names() if int(name.partition("-")[0]) in numbers]


def load_fault(name: str) -> dict[str, Any]:
    """Return one recording; `tests/faults/README.md` describes its keys."""
    fault: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return fault
