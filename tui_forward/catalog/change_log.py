"""Which objects changed since a version. Pure and bounded."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

# Versions of every picture in this process come from one counter that starts where no earlier
# process can have been: a front end that asks a new engine, or for a picture that was dropped
# and begun again, is recognised by its number and gets everything.
_versions = itertools.count(time.time_ns() // 1000)


def next_version() -> int:
    """A version later than any other."""
    return next(_versions)


class ChangeLog:
    """Remembers when each object last changed, the latest last.

    Args:
        limit: How many objects are remembered. Whoever asks for changes before the oldest
            one gets everything instead.
    """

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._changed: dict[str, int] = {}
        self.version = next_version()
        self._complete_since = self.version

    def record(self, key: str) -> None:
        """An object came, changed or went."""
        self.version = next_version()
        changed = self._changed
        changed.pop(key, None)  # so that it moves to the end
        changed[key] = self.version
        if len(changed) > self._limit:
            oldest = next(iter(changed))
            self._complete_since = changed.pop(oldest)

    def bump_version(self) -> None:
        """Something changed that is no object: a status, the server's health."""
        self.version = next_version()

    def covers(self, since: int) -> bool:
        """Whether all changes since a version are still known."""
        return self._complete_since <= since <= self.version

    def since(self, version: int) -> Iterator[str]:
        """Objects that changed after a version, latest first."""
        for key in reversed(self._changed):
            if self._changed[key] <= version:
                return
            yield key
