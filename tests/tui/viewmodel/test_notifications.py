from __future__ import annotations

import msgspec

from tests.tui.viewmodel.test_forward_list import forward
from tui_forward.model import Forward, ForwardState
from tui_forward.settings.parser import Notifications
from tui_forward.tui.viewmodel.notifications import (
    Notification,
    StateChangeTracker,
    filter_by_setting,
)

READY = forward(1)


def as_(state: ForwardState, since: float, **changes: object) -> Forward:
    return msgspec.structs.replace(READY, state=state, since=since, **changes)


def told(watch: StateChangeTracker, one: Forward, now: float) -> list[tuple[str, str]]:
    return [(notice.severity, notice.text) for notice in watch.notice([one], now)]


def test_what_begins_well_is_no_news() -> None:
    watch = StateChangeTracker()
    assert told(watch, as_(ForwardState.STARTING, 0), 0) == []
    assert told(watch, as_(ForwardState.CONNECTING, 1), 9) == []
    assert told(watch, READY, 10) == []


def test_a_moment_s_outage_is_no_news() -> None:
    watch = StateChangeTracker()
    told(watch, READY, 0)
    assert told(watch, as_(ForwardState.RECONNECTING, 10), 10.5) == []
    assert told(watch, READY, 11) == []


def test_an_outage_is_told_once_and_its_end_as_well() -> None:
    watch = StateChangeTracker()
    told(watch, READY, 0)
    down = as_(ForwardState.RECONNECTING, 10, reason="the pod was replaced")
    assert told(watch, down, 11) == []
    assert told(watch, down, 12) == [("warning", "reconnecting: the pod was replaced")]
    assert told(watch, as_(ForwardState.WAITING, 13), 15) == []
    assert told(watch, READY, 22) == [("information", "ready again after 12s")]
    assert told(watch, READY, 23) == []


def test_what_needs_a_person_is_told_at_once_with_the_hint() -> None:
    watch = StateChangeTracker()
    blocked = as_(ForwardState.BLOCKED, 5, reason="401", hint="log in")
    assert watch.notice([blocked], 5) == [
        Notification("shop/pod/web:http", "blocked: 401\nlog in", "error")
    ]
    assert watch.notice([blocked], 6) == []
    assert told(watch, READY, 9) == [("information", "ready again after 4s")]


def test_what_was_paused_by_hand_is_no_outage() -> None:
    watch = StateChangeTracker()
    told(watch, READY, 0)
    assert told(watch, as_(ForwardState.STOPPED, 1, paused=True), 100) == []
    assert told(watch, as_(ForwardState.CONNECTING, 101), 101) == []
    assert told(watch, READY, 102) == []


def test_a_forward_that_is_gone_is_forgotten() -> None:
    watch = StateChangeTracker()
    told(watch, READY, 0)
    assert watch.notice([], 1) == []
    assert told(watch, as_(ForwardState.RECONNECTING, 2), 50) == []


def test_a_person_may_want_to_hear_less_but_misses_nothing() -> None:
    news = [
        Notification("web", "ready again", "information"),
        Notification("web", "reconnecting", "warning"),
        Notification("web", "blocked", "error"),
        Notification("profile shop", "local port 1 → 2", "information"),
        Notification("profile shop", "nothing was changed", "warning", shown_elsewhere=False),
    ]
    assert filter_by_setting(news, Notifications.ALL) == news
    assert filter_by_setting(news, Notifications.PROBLEMS) == [news[1], news[2], news[4]]
    assert filter_by_setting(news, Notifications.NONE) == [news[4]]
