"""What flowed through each forward lately: exact amounts per second, bounded. Pure.

The engine keeps it, so that a screen that is opened later knows what was before; a screen then
goes on by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from tui_forward.model import Forward, TrafficHistory

_KEPT = 600  # ten minutes of seconds


@dataclass(slots=True)
class _History:
    at: float
    from_pod: int
    to_pod: int
    # Bytes from and to the pod within each second, oldest first.
    seconds: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))


class TrafficHistories:
    """The last ten minutes of every forward, second by second.

    Amounts are differences of the exact counters, so nothing is smoothed and nothing is lost
    between two looks; what came in a pause of the looks is spread over it evenly.
    """

    def __init__(self) -> None:
        self._known: dict[str, _History] = {}

    def sample(self, forwards: Iterable[Forward], now: float) -> None:
        """Look at the counters.

        Args:
            forwards: All there are; others are forgotten.
            now: Seconds on a clock that does not jump.
        """
        seen = set()
        for forward in forwards:
            seen.add(forward.id)
            counters = forward.counters
            history = self._known.get(forward.id)
            if history is None:
                self._known[forward.id] = _History(
                    now, counters.bytes_from_pod, counters.bytes_to_pod
                )
                continue
            passed = int(now - history.at)
            if passed < 1:
                continue
            down = counters.bytes_from_pod - history.from_pod
            up = counters.bytes_to_pod - history.to_pod
            for second in range(min(passed, _KEPT)):
                history.seconds.append((_part(down, second, passed), _part(up, second, passed)))
            history.at += passed
            history.from_pod, history.to_pod = counters.bytes_from_pod, counters.bytes_to_pod
        for gone in self._known.keys() - seen:
            del self._known[gone]

    def series(self, forward_id: str, seconds: int) -> list[tuple[int, int]]:
        """Bytes from and to the pod within each of the last seconds, oldest first.

        Shorter when the forward is not known for that long.
        """
        history = self._known.get(forward_id)
        return list(history.seconds)[-seconds:] if history is not None else []

    def export(self) -> tuple[TrafficHistory, ...]:
        """All of it, for somebody who comes later."""
        return tuple(
            TrafficHistory(forward_id=forward_id, seconds=tuple(history.seconds))
            for forward_id, history in self._known.items()
            if history.seconds
        )

    def merge(self, told: Iterable[TrafficHistory]) -> None:
        """What was before one began to look; of forwards one has looked at already."""
        for one in told:
            history = self._known.get(one.forward_id)
            if history is not None and len(one.seconds) > len(history.seconds):
                history.seconds = deque(one.seconds, maxlen=_KEPT)


def _part(amount: int, place: int, count: int) -> int:
    """An amount in equal parts that add up to it again."""
    return amount * (place + 1) // count - amount * place // count
