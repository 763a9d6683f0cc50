"""Counters of a whole session, including forwards that were stopped."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tui_forward.model import Counters, Forward


class SessionTotals:
    """Sum of the counters of all forwards, which does not shrink when one is stopped."""

    def __init__(self) -> None:
        self._stopped = Counters()

    def add_stopped(self, counters: Counters) -> None:
        """Keep the counters of a forward that was stopped, with all its connections."""
        counters = msgspec.structs.replace(
            counters, connections_open=0, rate_from_pod=0.0, rate_to_pod=0.0
        )
        self._stopped = _sum([self._stopped, counters])

    def sum(self, forwards: Iterable[Forward]) -> Counters:
        """Return the totals, given all forwards that were not stopped."""
        return _sum([self._stopped, *(forward.counters for forward in forwards)])


def _sum(parts: list[Counters]) -> Counters:
    return Counters(
        **{name: sum(getattr(part, name) for part in parts) for name in Counters.__struct_fields__}
    )
