"""Garbage collection while a process starts."""

from __future__ import annotations

import gc

# By default, every 700 new objects are searched for garbage, and now and then all there are.
_NEW_OBJECTS = 50_000
_ROUNDS = 20


def collect_garbage_rarely() -> None:
    """Make cyclic garbage wait for 50,000 new objects (some megabytes) before it is collected.

    A start imports modules, which creates many objects but no garbage: the default costs a tenth
    of its time. Objects without cycles are freed at once in any case.
    """
    gc.set_threshold(_NEW_OBJECTS, _ROUNDS, _ROUNDS)
