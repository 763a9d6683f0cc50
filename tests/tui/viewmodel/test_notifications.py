from __future__ import annotations

import msgspec
import pytest

from tests.tui.viewmodel.test_forward_list import forward
from tui_forward.model import Forward, ForwardState
from tui_forward.settings.parser import Notifications
from tui_forward.settings.protected_contexts import ProtectedContexts
from tui_forward.tui.viewmodel.context_names import ContextNaming
from tui_forward.tui.viewmodel.notifications import StateChangeTracker, filter_by_setting
from tui_forward.tui.viewmodel.toasts import ToastText

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
    assert notifications(watch, down, 12) == [
        ("warning", "pod/web:http reconnecting: the pod was replaced")
    ]
    assert notifications(watch, as_(ForwardState.WAITING, 13), 15) == []
    assert notifications(watch, READY, 22) == [
        ("information", "pod/web:http ready again after 12s")
    ]
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
    assert watch.notice([READY], 1005 + set_by, 55)[0].text == "pod/web:http ready again after 5s"


def test_blocked_forward_is_reported_immediately_with_hint() -> None:
    watch = StateChangeTracker()
    notifications(watch, READY, 0)
    blocked = as_(ForwardState.BLOCKED, 5, reason="401", hint="log in")
    assert notifications(watch, blocked, 5) == [("error", "pod/web:http blocked: 401. log in.")]
    assert notifications(watch, blocked, 6) == []
    assert notifications(watch, READY, 9) == [("information", "pod/web:http ready again after 4s")]


def fleet_of(state: ForwardState, *contexts: str, since: float = 10.0) -> list[Forward]:
    return [
        msgspec.structs.replace(
            as_(state, since), id=f"f{number}",
            spec=msgspec.structs.replace(
                READY.spec, target=msgspec.structs.replace(READY.spec.target, context=context)
            ),
        )
        for number, context in enumerate(contexts)
    ]  # fmt: skip


PROD = ("prod",) * 5


def test_forwards_of_a_context_that_change_together_have_one_toast() -> None:
    watch = StateChangeTracker(ContextNaming(ProtectedContexts(["prod"])).name_of)
    ready = fleet_of(ForwardState.READY, *PROD, "here")
    down = fleet_of(ForwardState.RECONNECTING, *PROD, "here")
    watch.notice(ready, 0, 100)
    # The engine may notice the end of the tunnels one after the other.
    two = watch.notice([*down[:2], *ready[2:]], 13, 112)
    assert [(one.text, one.topic) for one in two] == [
        ("prod!: 2 forwards reconnecting", "reconnecting prod")
    ]
    rest = watch.notice(down, 15, 114)
    assert [(one.text, one.topic) for one in rest] == [
        ("prod!: 5 forwards reconnecting", "reconnecting prod"),
        ("pod/web:http reconnecting: so", "reconnecting here"),
    ]
    assert watch.notice(down, 19, 118) == []
    again = watch.notice(ready, 21, 120)
    assert [one.text for one in again] == [
        "prod!: 5 forwards ready again", "pod/web:http ready again after 11s",
    ]  # fmt: skip


def test_changes_long_after_another_are_counted_anew() -> None:
    watch = StateChangeTracker()
    ready, down = (fleet_of(state, *PROD) for state in (ForwardState.READY, ForwardState.WAITING))
    watch.notice(ready, 0, 0)
    watch.notice([*down[:4], *ready[4:]], 20, 20)
    late = watch.notice(down, 40, 40)
    assert [one.text for one in late] == ["pod/web:http waiting: so"]


def test_start_of_the_dashboard_has_one_toast_for_all_that_are_blocked() -> None:
    watch = StateChangeTracker()
    blocked = fleet_of(ForwardState.BLOCKED, *PROD, "here")
    assert [one.text for one in watch.notice(blocked, 20, 20)] == [
        "6 forwards are blocked. ! goes to the next."
    ]
    assert watch.notice(blocked, 21, 21) == []
    more = fleet_of(ForwardState.BLOCKED, *PROD, "here", "there")
    assert [one.text for one in watch.notice(more, 22, 22)] == ["pod/web:http blocked: so."]


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
        ToastText("web ready again", shown_elsewhere=True),
        ToastText("web reconnecting", "warning", shown_elsewhere=True),
        ToastText("web blocked", "error", shown_elsewhere=True),
        ToastText("profile shop: local port 1 → 2", shown_elsewhere=True),
        ToastText("profile shop: nothing was changed", "warning"),
    ]
    assert filter_by_setting(news, Notifications.ALL) == news
    assert filter_by_setting(news, Notifications.PROBLEMS) == [news[1], news[2], news[4]]
    assert filter_by_setting(news, Notifications.NONE) == [news[4]]
