"""Log of the objects changed since a version. Pure and bounded."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

# All versions in this process come from one counter that starts above those of any earlier
# process. So the version of a front end that asks a new engine, or for a scope that was dropped
# and followed again, is never covered, and it gets a complete view.
_versions = itertools.count(time.time_ns() // 1000)


def next_version() -> int:
    """Return a version later than any other."""
    return next(_versions)


class ChangeLog:
    """Versions at which the last `limit` objects changed, latest last."""

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._changed: dict[str, int] = {}
        self.version = next_version()
        self._complete_since = self.version

    def record(self, key: str) -> None:
        """Record that an object was added, changed or removed."""
        self.version = next_version()
        changed = self._changed
        changed.pop(key, None)  # moves it to the end
        changed[key] = self.version
        if len(changed) > self._limit:
            oldest = next(iter(changed))
            self._complete_since = changed.pop(oldest)

    def bump_version(self) -> None:
        """Record a change that concerns no object: a status, the API server's health."""
        self.version = next_version()

    def covers(self, since: int) -> bool:
        """Return whether all changes since a version are recorded."""
        return self._complete_since <= since <= self.version

    def since(self, version: int) -> Iterator[str]:
        """Yield the objects that changed after a version, latest first."""
        for key in reversed(self._changed):
            if self._changed[key] <= version:
                return
            yield key
