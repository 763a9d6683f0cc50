from __future__ import annotations

from tui_forward.engine.forwards.status_recorder import Outage, Timeline
from tui_forward.model import TimelineKind


def test_entries_are_bounded_and_oldest_first() -> None:
    timeline = Timeline(limit=3)
    for number in range(5):
        timeline.add(number, TimelineKind.NOTE, f"note {number}")
    assert [entry.text for entry in timeline.entries] == ["note 2", "note 3", "note 4"]


def test_repeated_entry_is_counted() -> None:
    timeline = Timeline(limit=3)
    timeline.add(0, TimelineKind.STATE, "ready")
    for at in range(1, 15):
        timeline.add(at, TimelineKind.CONNECTION, "connection refused")
    assert [(entry.at, entry.text) for entry in timeline.entries] == [
        (0, "ready"),
        (14, "connection refused (×14)"),
    ]
    timeline.add(20, TimelineKind.NOTE, "connection refused")
    assert timeline.entries[-1].text == "connection refused"


def test_outage_is_settled_with_its_connections() -> None:
    outage = Outage(10.0)
    outage.queued = 3
    outage.served = 1
    outage.ended = 11.8
    assert not outage.settled
    assert outage.summary(12) == "was down 1.8 s, 3 connections queued"
    outage.served = 3
    assert outage.settled
    assert outage.summary(99) == "was down 1.8 s, 3 connections queued, all served"


def test_outage_counts_connections_given_up() -> None:
    outage = Outage(0.0)
    outage.queued, outage.served, outage.given_up, outage.ended = 3, 2, 1, 31.0
    assert outage.summary(99) == "was down 31 s, 3 connections queued, 2 served, 1 given up"


def test_other_summaries() -> None:
    outage = Outage(0.0, first=True)
    outage.ended = 0.3
    assert outage.summary(5) == "ready after 300 ms"
    outage = Outage(0.0)
    outage.queued = outage.served = 1
    outage.ended = 2.0
    assert outage.summary(5) == "was down 2.0 s, 1 connection queued, served"
