"""Garbage collection while a process starts, and of processes that run long."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable

# By default, every 700 new objects are searched for garbage, and now and then all there are.
_NEW_OBJECTS = 50_000
_ROUNDS = 20


def collect_garbage_rarely() -> None:
    """Make cyclic garbage wait for 50,000 new objects (some megabytes) before it is collected.

    A start imports modules, which creates many objects but no garbage: the default costs a tenth
    of its time. Objects without cycles are freed at once in any case.
    """
    gc.set_threshold(_NEW_OBJECTS, _ROUNDS, _ROUNDS)


class GarbageCollector:
    """Collects when its owner says so: a collection takes as long as there are many objects."""

    def __init__(self) -> None:
        # Objects stay in the second generation until `collect_recent`.
        gc.set_threshold(2_000, 200, 500)
        gc.freeze()

    def freeze(self) -> None:
        """Exempt all objects of now from collections.

        Those that are no longer used are still freed, unless they are in a cycle.
        """
        gc.collect()
        gc.freeze()

    def collect_recent(self) -> None:
        """Free objects in cycles that were created since the last collection."""
        gc.collect(1)

    def collect(self) -> None:
        """Free all objects in cycles, and return free memory to the system."""
        gc.collect()
        trim = find_malloc_trim()
        if trim is not None:
            trim(0)


def find_malloc_trim() -> Callable[[int], int] | None:
    """Return `malloc_trim(3)`, if the C library has it: glibc keeps free memory otherwise."""
    if sys.platform != "linux":
        return None
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    return trim
