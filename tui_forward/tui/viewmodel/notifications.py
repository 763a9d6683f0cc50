"""Selection of state changes that are worth a notification. Pure.

A short outage is not reported, because its connections were queued. A longer one is reported
once, and its end as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from tui_forward.common.formatting import format_age
from tui_forward.model import Forward, ForwardState
from tui_forward.settings.parser import Notifications

_MIN_OUTAGE_S = 2.0

Severity = Literal["information", "warning", "error"]


class Notification(msgspec.Struct, frozen=True):
    """One notification."""

    title: str
    text: str  # what happened, and a fix
    severity: Severity
    shown_elsewhere: bool = True  # whether the list of forwards shows the same information


def filter_by_setting(
    notices: Iterable[Notification], notifications: Notifications
) -> list[Notification]:
    """Return the notifications enabled by the setting, and those shown nowhere else."""
    return [
        one
        for one in notices
        if notifications is Notifications.ALL
        or not one.shown_elsewhere
        or (notifications is Notifications.PROBLEMS and one.severity != "information")
    ]


class _Previous(msgspec.Struct):
    """Previous state of a forward: start of its outage, and the last reported state."""

    was_ready: bool = False
    down_since: float | None = None  # `steady`
    reported: ForwardState | None = None


class StateChangeTracker:
    """Tracker of the state of each forward; returns notifications for changes."""

    def __init__(self) -> None:
        self._previous: dict[str, _Previous] = {}

    def notice(
        self, forwards: Iterable[Forward], now: float, steady: float,
        muted: Collection[str] = (),
    ) -> list[Notification]:  # fmt: skip
        """Return notifications for changes since the last call.

        `now` is the time of day, `steady` that of a clock that is never set. What happens to
        `muted` forwards is reported by others.
        """
        notices = []
        seen = set()
        for forward in forwards:
            seen.add(forward.id)
            previous = self._previous.setdefault(forward.id, _Previous())
            notice = _notification(forward, previous, now, steady)
            if notice is not None and forward.id not in muted:
                notices.append(notice)
        for removed in self._previous.keys() - seen:
            del self._previous[removed]
        return notices


def _notification(
    forward: Forward, previous: _Previous, now: float, steady: float
) -> Notification | None:
    state, title = forward.state, str(forward.spec.target)
    if forward.paused:
        previous.down_since = previous.reported = None
        return None
    if state is ForwardState.READY:
        reported, since = previous.reported, previous.down_since
        previous.was_ready, previous.down_since, previous.reported = True, None, None
        if reported is None:
            return None
        duration = f" after {format_age(steady - since)}" if since is not None else ""
        return Notification(title, f"ready again{duration}", "information")
    if previous.down_since is None:
        previous.down_since = steady - (max(0.0, now - forward.since) if forward.since else 0.0)
    if state is ForwardState.BLOCKED:
        if previous.reported is state:
            return None
        previous.reported = state
        hint = f"\n{forward.hint}" if forward.hint else ""
        return Notification(title, f"blocked: {forward.reason}{hint}", "error")
    if (
        previous.was_ready
        and previous.reported is None
        and steady - previous.down_since >= _MIN_OUTAGE_S
    ):
        previous.reported = state
        return Notification(title, f"{state.value}: {forward.reason}", "warning")
    return None
