"""Traffic of each forward per second, exact and bounded. Pure.

The engine keeps it for screens that are opened later; a screen then continues on its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from tui_forward.model import Forward, ForwardState, TrafficHistory

_MAX_SECONDS = 600  # ten minutes of seconds


class _History(msgspec.Struct):
    at: float
    from_pod: int
    to_pod: int
    # Bytes from and to the pod within each second, oldest first.
    seconds: deque[tuple[int, int]] = msgspec.field(
        default_factory=lambda: deque(maxlen=_MAX_SECONDS)
    )
    ready: deque[bool] = msgspec.field(default_factory=lambda: deque(maxlen=_MAX_SECONDS))


class TrafficHistories:
    """The last ten minutes of every forward, per second.

    Amounts are differences of the exact counters: nothing is smoothed, and nothing is lost
    between two samples; bytes of a longer gap are spread over it evenly. Counters that have gone
    back belong to a new engine process, which counts from zero.
    """

    def __init__(self) -> None:
        self._histories: dict[str, _History] = {}

    def sample(self, forwards: Iterable[Forward], now: float) -> None:
        """Sample the counters at monotonic seconds; histories of other forwards are dropped."""
        seen = set()
        for forward in forwards:
            seen.add(forward.id)
            counters = forward.counters
            history = self._histories.get(forward.id)
            if history is None:
                self._histories[forward.id] = _History(
                    now, counters.bytes_from_pod, counters.bytes_to_pod
                )
                continue
            passed = int(now - history.at)
            if passed < 1:
                continue
            down = _increase(history.from_pod, counters.bytes_from_pod)
            up = _increase(history.to_pod, counters.bytes_to_pod)
            for second in range(min(passed, _MAX_SECONDS)):
                history.seconds.append((_part(down, second, passed), _part(up, second, passed)))
                history.ready.append(forward.state is ForwardState.READY)
            history.at += passed
            history.from_pod, history.to_pod = counters.bytes_from_pod, counters.bytes_to_pod
        for gone in self._histories.keys() - seen:
            del self._histories[gone]

    def series(self, forward_id: str, seconds: int) -> list[tuple[int, int]]:
        """Return bytes from and to the pod within each of the last seconds, oldest first.

        Shorter for a younger forward.
        """
        history = self._histories.get(forward_id)
        return list(history.seconds)[-seconds:] if history is not None else []

    def ready(self, forward_id: str, seconds: int) -> list[bool]:
        """Return whether a tunnel was up at the end of each of the last seconds, as `series`."""
        history = self._histories.get(forward_id)
        return list(history.ready)[-seconds:] if history is not None else []

    def export(self) -> tuple[TrafficHistory, ...]:
        """Return all histories, for `merge`."""
        return tuple(
            TrafficHistory(
                forward_id=forward_id, seconds=tuple(history.seconds), ready=tuple(history.ready)
            )
            for forward_id, history in self._histories.items()
            if history.seconds
        )

    def merge(self, exported: Iterable[TrafficHistory]) -> None:
        """Replace the histories of sampled forwards by longer exported ones."""
        for one in exported:
            history = self._histories.get(one.forward_id)
            if history is not None and len(one.seconds) > len(history.seconds):
                history.seconds = deque(one.seconds, maxlen=_MAX_SECONDS)
                # As long as the seconds, whatever was sent.
                unknown = [True] * (len(one.seconds) - len(one.ready))
                ready = [*unknown, *one.ready][-len(one.seconds) :]
                history.ready = deque(ready, maxlen=_MAX_SECONDS)


def _increase(before: int, now: int) -> int:
    """Return how much a counter has counted since it had another value."""
    return now - before if now >= before else max(0, now)


def _part(amount: int, place: int, count: int) -> int:
    """Return one of `count` equal parts that add up to the amount."""
    return amount * (place + 1) // count - amount * place // count
