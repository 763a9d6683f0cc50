"""What is worth a notification: changes of state that a person would want to hear of. Pure.

A forward that is back within a moment is no news: its connections were held, and nobody has
noticed. What lasts is told once, and its end as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tui_forward.common.formatting import format_age
from tui_forward.model import Forward, ForwardState
from tui_forward.settings.parser import Notifications

_LASTS_S = 2.0

Severity = Literal["information", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification.

    Attributes:
        title: Which forward.
        text: What happened, and what to do.
        shown_elsewhere: Who does not read it misses nothing, or sees it in the list of forwards.
    """

    title: str
    text: str
    severity: Severity
    shown_elsewhere: bool = True


def filter_by_setting(
    notices: Iterable[Notification], notifications: Notifications
) -> list[Notification]:
    """Those that a person wants to be told, and those that must not be missed."""
    return [
        one
        for one in notices
        if notifications is Notifications.ALL
        or not one.shown_elsewhere
        or (notifications is Notifications.PROBLEMS and one.severity != "information")
    ]


@dataclass(slots=True)
class _Known:
    """A forward as it was seen last: since when it has not been ready, and what was told."""

    was_ready: bool = False
    down_since: float | None = None
    told: ForwardState | None = None


class StateChangeTracker:
    """Remembers what each forward was, and says what is new."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def notice(self, forwards: Iterable[Forward], now: float) -> list[Notification]:
        """What is new since the last call.

        Args:
            forwards: As they stand.
            now: Seconds since the epoch.
        """
        notices = []
        seen = set()
        for forward in forwards:
            seen.add(forward.id)
            known = self._known.setdefault(forward.id, _Known())
            notice = _judged(forward, known, now)
            if notice is not None:
                notices.append(notice)
        for gone in self._known.keys() - seen:
            del self._known[gone]
        return notices


def _judged(forward: Forward, known: _Known, now: float) -> Notification | None:
    state, title = forward.state, str(forward.spec.target)
    if forward.paused:
        known.down_since = known.told = None
        return None
    if state is ForwardState.READY:
        told, since = known.told, known.down_since
        known.was_ready, known.down_since, known.told = True, None, None
        if told is None:
            return None
        lasted = f" after {format_age(now - since)}" if since is not None else ""
        return Notification(title, f"ready again{lasted}", "information")
    if known.down_since is None:
        known.down_since = forward.since or now
    if state is ForwardState.BLOCKED:
        if known.told is state:
            return None
        known.told = state
        hint = f"\n{forward.hint}" if forward.hint else ""
        return Notification(title, f"blocked: {forward.reason}{hint}", "error")
    if known.was_ready and known.told is None and now - known.down_since >= _LASTS_S:
        known.told = state
        return Notification(title, f"{state.value}: {forward.reason}", "warning")
    return None
