"""Selection of state changes that are worth a toast. Pure.

A short outage is not reported, because its connections were queued. A longer one is reported
once, and its end as well. Many forwards of a context that change together have one toast.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from tui_forward.model import Forward, ForwardState
from tui_forward.settings.parser import Notifications
from tui_forward.tui.viewmodel.context_names import PLAIN_NAMING
from tui_forward.tui.viewmodel.toasts import ToastText, blocked_at_start_toast, changed_toast

_MIN_OUTAGE_S = 2.0
_TOGETHER_S = 8.0  # within which changes of a context are counted in one toast


def filter_by_setting(toasts: Iterable[ToastText], notifications: Notifications) -> list[ToastText]:
    """Return the toasts enabled by the setting, and those shown nowhere else."""
    return [
        one
        for one in toasts
        if notifications is Notifications.ALL
        or not one.shown_elsewhere
        or (notifications is Notifications.PROBLEMS and one.severity != "information")
    ]


class _Previous(msgspec.Struct):
    """Previous state of a forward: start of its outage, and what was reported last."""

    was_ready: bool = False
    down_since: float | None = None  # `steady`
    outage_s: float | None = None  # of the outage that has ended last
    reported: ForwardState | None = None  # None while it works, whatever was reported before
    announced: ForwardState | None = None  # in the last toast
    announced_at: float = 0.0  # `steady`


class StateChangeTracker:
    """Tracker of the state of each forward; returns toasts for changes."""

    def __init__(self, shown_context: Callable[[Sequence[Forward]], str] | None = None) -> None:
        self._previous: dict[str, _Previous] = {}
        # Returns the name of the one context of some forwards.
        self._shown_context = shown_context or PLAIN_NAMING.name_of
        self._is_first = True

    def notice(
        self, forwards: Iterable[Forward], now: float, steady: float,
        muted: Collection[str] = (),
    ) -> list[ToastText]:  # fmt: skip
        """Return toasts for changes since the last call.

        `now` is the time of day, `steady` that of a clock that is never set. What happens to
        `muted` forwards is reported by others.
        """
        forwards = tuple(forwards)
        changed: dict[tuple[str, ForwardState], None] = {}
        blocked: list[Forward] = []
        for forward in forwards:
            previous = self._previous.setdefault(forward.id, _Previous())
            state = _reported_state(forward, previous, now, steady)
            if state is None or forward.id in muted:
                continue
            previous.announced, previous.announced_at = state, steady
            if self._is_first and state is ForwardState.BLOCKED:
                blocked.append(forward)
            else:
                changed[forward.spec.target.context, forward.state] = None
        for removed in self._previous.keys() - {one.id for one in forwards}:
            del self._previous[removed]
        self._is_first = False
        at_start = blocked_at_start_toast(blocked, now)
        toasts = [at_start] if at_start is not None else []
        for context, state in changed:
            members = [
                one
                for one in forwards
                if (one.spec.target.context, one.state) == (context, state)
                and self._is_announced(one, steady)
            ]
            outage_s = self._previous[members[0].id].outage_s
            toasts.append(changed_toast(members, now, self._shown_context(members), outage_s))
        return toasts

    def _is_announced(self, forward: Forward, steady: float) -> bool:
        """Return whether the present state of a forward was announced a moment ago."""
        previous = self._previous[forward.id]
        is_recent = steady - previous.announced_at < _TOGETHER_S
        return is_recent and previous.announced is forward.state and not forward.paused


def _reported_state(
    forward: Forward, previous: _Previous, now: float, steady: float
) -> ForwardState | None:
    """Return the state of a forward if it is to be reported now."""
    state = forward.state
    if forward.paused:
        previous.down_since = previous.reported = None
        return None
    if state is ForwardState.READY:
        reported, since = previous.reported, previous.down_since
        previous.was_ready, previous.down_since, previous.reported = True, None, None
        previous.outage_s = steady - since if since is not None else None
        return None if reported is None else state
    if previous.down_since is None:
        previous.down_since = steady - (max(0.0, now - forward.since) if forward.since else 0.0)
    if state is ForwardState.BLOCKED:
        if previous.reported is state:
            return None
        previous.reported = state
        return state
    if (
        previous.was_ready
        and previous.reported is None
        and steady - previous.down_since >= _MIN_OUTAGE_S
    ):
        previous.reported = state
        return state
    return None
