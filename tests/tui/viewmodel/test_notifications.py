from __future__ import annotations

import msgspec
import pytest

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


def notifications(watch: StateChangeTracker, one: Forward, now: float) -> list[tuple[str, str]]:
    return [(notice.severity, notice.text) for notice in watch.notice([one], now, now + 1e6)]


def test_successful_start_is_not_reported() -> None:
    watch = StateChangeTracker()
    assert notifications(watch, as_(ForwardState.STARTING, 0), 0) == []
    assert notifications(watch, as_(ForwardState.CONNECTING, 1), 9) == []
    assert notifications(watch, READY, 10) == []


def test_short_outage_is_not_reported() -> None:
    watch = StateChangeTracker()
    notifications(watch, READY, 0)
    assert notifications(watch, as_(ForwardState.RECONNECTING, 10), 10.5) == []
    assert notifications(watch, READY, 11) == []


def test_outage_and_its_end_are_reported_once() -> None:
    watch = StateChangeTracker()
    notifications(watch, READY, 0)
    down = as_(ForwardState.RECONNECTING, 10, reason="the pod was replaced")
    assert notifications(watch, down, 11) == []
    assert notifications(watch, down, 12) == [("warning", "reconnecting: the pod was replaced")]
    assert notifications(watch, as_(ForwardState.WAITING, 13), 15) == []
    assert notifications(watch, READY, 22) == [("information", "ready again after 12s")]
    assert notifications(watch, READY, 23) == []


@pytest.mark.parametrize("set_by", [-86400.0, 86400.0])
def test_length_of_an_outage_does_not_depend_on_the_clock(set_by: float) -> None:
    watch = StateChangeTracker()
    notifications(watch, READY, 0)
    down = as_(ForwardState.RECONNECTING, 1000, reason="the pod was replaced")
    assert watch.notice([down], 1000, 50) == []
    down = as_(ForwardState.RECONNECTING, 1000 + set_by, reason="the pod was replaced")
    assert watch.notice([down], 1000.5 + set_by, 50.5) == []
    assert len(watch.notice([down], 1003 + set_by, 53)) == 1
    assert watch.notice([READY], 1005 + set_by, 55)[0].text == "ready again after 5s"


def test_blocked_forward_is_reported_immediately_with_hint() -> None:
    watch = StateChangeTracker()
    blocked = as_(ForwardState.BLOCKED, 5, reason="401", hint="log in")
    assert watch.notice([blocked], 5, 1e6 + 5) == [
        Notification("shop/pod/web:http", "blocked: 401\nlog in", "error")
    ]
    assert watch.notice([blocked], 6, 1e6 + 6) == []
    assert notifications(watch, READY, 9) == [("information", "ready again after 4s")]


def test_paused_forward_is_no_outage() -> None:
    watch = StateChangeTracker()
    notifications(watch, READY, 0)
    assert notifications(watch, as_(ForwardState.STOPPED, 1, paused=True), 100) == []
    assert notifications(watch, as_(ForwardState.CONNECTING, 101), 101) == []
    assert notifications(watch, READY, 102) == []


def test_removed_forward_is_dropped() -> None:
    watch = StateChangeTracker()
    notifications(watch, READY, 0)
    assert watch.notice([], 1, 1e6 + 1) == []
    assert notifications(watch, as_(ForwardState.RECONNECTING, 2), 50) == []


def test_notification_setting_keeps_essential_ones() -> None:
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
