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
    """Measure processes for some seconds; what a thread did that ends meanwhile is not counted."""
    pids = tuple(pids)
    before, begun = _counters(pids), time.perf_counter()
    time.sleep(seconds)
    after, took_s = _counters(pids), time.perf_counter() - begun
    wakeups = sum(after[task][0] - before.get(task, (0, 0))[0] for task in after)
    nanoseconds = sum(after[task][1] - before.get(task, (0, 0))[1] for task in after)
    return Activity(wakeups / took_s, nanoseconds / 1e7 / took_s)


def _counters(pids: Iterable[int]) -> dict[Path, tuple[int, int]]:
    """Return how often each thread went to sleep, and its processor time in nanoseconds."""
    counters = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    busy = int((task / "schedstat").read_text().split()[0])
                    counters[task] = _voluntary(task), busy
    return counters


def _voluntary(task: Path) -> int:
    for line in (task / "status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    return 0
