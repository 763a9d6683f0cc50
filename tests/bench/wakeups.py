"""How often processes wake, and how long they run, by the counters of the kernel (Linux)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Activity:
    """What processes did: wakeups of all their threads per second, and percent of a core."""

    wakeups_per_s: float
    busy_percent: float


def activity(pids: Iterable[int], seconds: float) -> Activity:
    """Measure processes for some seconds."""
    pids = tuple(pids)
    wakeups, cpu_s, begun = *_counters(pids), time.perf_counter()
    time.sleep(seconds)
    later, later_cpu_s, took_s = *_counters(pids), time.perf_counter() - begun
    return Activity((later - wakeups) / took_s, 100 * (later_cpu_s - cpu_s) / took_s)


def _counters(pids: Iterable[int]) -> tuple[int, float]:
    """Return how often the threads went to sleep, and their processor time in seconds."""
    wakeups, nanoseconds = 0, 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    wakeups += _voluntary(task)
                    nanoseconds += int((task / "schedstat").read_text().split()[0])
    return wakeups, nanoseconds / 1e9


def _voluntary(task: Path) -> int:
    for line in (task / "status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    return 0
