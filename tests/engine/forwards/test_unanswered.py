"""The hint that recent connections of a forward got no byte back."""

from __future__ import annotations

import pytest

from tui_forward.engine.forwards.unanswered import UnansweredTracker
from tui_forward.model import Connection, ReasonCode


def connection(
    at: float,
    *,
    sent: int = 10,
    received: int = 0,
    lasted_s: float = 6.0,
    failed: bool = False,
    code: ReasonCode | None = None,
) -> Connection:
    """Return a closed connection, or an open one if it has not lasted at all."""
    return Connection(
        id=int(at), forward_id="f1", client="127.0.0.1:9", opened_at=at,
        closed_at=at + lasted_s if lasted_s else None,
        bytes_to_pod=sent, bytes_from_pod=received, failed=failed, close_code=code,
    )  # fmt: skip


def tracked(*closed: Connection, received: int = 0) -> UnansweredTracker:
    tracker = UnansweredTracker()
    for each in closed:
        tracker.add(each, received)
    return tracker


def test_several_silent_connections_make_a_hint() -> None:
    tracker = tracked(*(connection(at) for at in (100.0, 110.0, 120.0)))
    hint = tracker.hint((), 0, 127.0)
    assert hint is not None
    assert (hint.count, hint.since) == (3, 100.0)


@pytest.mark.parametrize(
    "closed",
    [
        [connection(100.0), connection(110.0)],  # too few
        [connection(at, lasted_s=0.1) for at in (100.0, 101.0, 102.0)],  # in too short a time
        [connection(at, sent=0) for at in (100.0, 110.0, 120.0)],  # nothing to be answered
        [connection(at, failed=True, code=ReasonCode.PORT_REFUSED) for at in (100.0, 110.0, 120.0)],
        [connection(100.0), connection(110.0), connection(120.0, received=1)],
    ],
)
def test_others_make_none(closed: list[Connection]) -> None:
    received = sum(each.bytes_from_pod for each in closed)
    last = max(each.closed_at or 0.0 for each in closed)
    assert tracked(*closed, received=received).hint((), received, last) is None


def test_any_byte_from_the_pod_ends_the_hint() -> None:
    tracker = tracked(*(connection(at) for at in (100.0, 110.0, 120.0)))
    assert tracker.hint((), 0, 130.0) is not None
    # Of a connection that is still open, say.
    assert tracker.hint((), 1, 131.0) is None
    tracker.add(connection(140.0), 1)
    assert tracker.hint((), 1, 150.0) is None


def test_connections_closed_without_a_byte_count() -> None:
    code = ReasonCode.CONNECTION_CLOSED_WITHOUT_DATA
    closed = [connection(at, failed=True, code=code) for at in (100.0, 110.0, 120.0)]
    assert tracked(*closed).hint((), 0, 127.0) is not None


def test_open_connections_count_once_they_are_silent_for_a_while() -> None:
    tracker = tracked(connection(100.0))
    opened = [connection(106.0, lasted_s=0.0), connection(107.0, lasted_s=0.0)]
    assert tracker.hint(opened, 0, 108.0) is None
    hint = tracker.hint(opened, 0, 112.0)
    assert hint is not None
    assert (hint.count, hint.since) == (3, 100.0)
    answered = [*opened, connection(108.0, received=5, lasted_s=0.0)]
    assert tracker.hint(answered, 0, 112.0) is None


def test_hint_ends_when_nothing_connects_any_more() -> None:
    tracker = tracked(*(connection(at) for at in (100.0, 110.0, 120.0)))
    assert tracker.hint((), 0, 120.0 + 700.0) is None
