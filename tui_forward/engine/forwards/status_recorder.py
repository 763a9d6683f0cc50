"""Recorder of a forward's status, timeline, events and outages.

Everything shown about a forward passes through here, so that status, timeline and the events
of `--json` are consistent.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

import msgspec

from tui_forward.common.clock import correction_s, steady_time
from tui_forward.common.formatting import format_duration
from tui_forward.engine.context import EngineContext
from tui_forward.engine.forward_logger import ForwardLogger
from tui_forward.engine.forwards import state_machine
from tui_forward.engine.forwards.state_machine import Status
from tui_forward.model import (
    Connection,
    Event,
    EventKind,
    ForwardSpec,
    ForwardState,
    ForwardWarning,
    LocalAddress,
    ReasonCode,
    TimelineEntry,
    TimelineKind,
)
from tui_forward.reasons import reason_hint, reason_text, short_reason

_log = logging.getLogger(__name__)

_TIMELINE_LIMIT = 200
# The dials of a long outage, and the lines of a plugin that runs.
_FREQUENT_INPUTS = (state_machine.DialStarted, state_machine.LoginPending)


class Timeline:
    """The latest entries, oldest first.

    A repeated entry (a client that polls a closed port) becomes one entry with a count, so
    that it cannot push out everything else.
    """

    __slots__ = ("_entries", "_repeats")

    def __init__(self, limit: int = _TIMELINE_LIMIT) -> None:
        self._entries: deque[TimelineEntry] = deque(maxlen=limit)
        self._repeats: deque[tuple[str, int]] = deque(maxlen=limit)

    def add(
        self, at: float, kind: TimelineKind, text: str, code: ReasonCode | None = None,
        state: ForwardState | None = None,
    ) -> None:  # fmt: skip
        """Append an entry, or count up the latest one if it is the same."""
        if self._entries:
            last, (words, count) = self._entries[-1], self._repeats[-1]
            if last.kind is kind and words == text:
                self._repeats[-1] = (words, count + 1)
                self._entries[-1] = TimelineEntry(
                    at=at, kind=kind, text=f"{text} (×{count + 1})", code=code, state=state
                )
                return
        self._entries.append(TimelineEntry(at=at, kind=kind, text=text, code=code, state=state))
        self._repeats.append((text, 1))

    @property
    def entries(self) -> tuple[TimelineEntry, ...]:
        """Return all entries, oldest first."""
        return tuple(self._entries)


class Outage:
    """A period without a tunnel, and the outcome of its queued connections.

    For the user it is over only once the queued connections are settled, so `summary` is
    recorded when `settled` turns true, not when a tunnel is up.
    """

    __slots__ = ("began", "ended", "first", "given_up", "queued", "served")

    def __init__(self, began: float, *, first: bool = False) -> None:
        self.began = began
        self.ended: float | None = None
        self.first = first
        self.queued = 0
        self.served = 0
        self.given_up = 0

    @property
    def settled(self) -> bool:
        """Return whether a tunnel is up again and every queued connection is settled."""
        return self.ended is not None and self.served + self.given_up >= self.queued

    def summary(self, now: float) -> str:
        """Return one sentence ("was down 1.8 s, 3 connections queued, all served")."""
        lasted = format_duration((self.ended if self.ended is not None else now) - self.began)
        text = f"ready after {lasted}" if self.first else f"was down {lasted}"
        if not self.queued:
            return text
        noun = "connection" if self.queued == 1 else "connections"
        text = f"{text}, {self.queued} {noun} queued"
        if self.given_up:
            return f"{text}, {self.served} served, {self.given_up} given up"
        if not self.settled:
            return text
        return f"{text}, served" if self.queued == 1 else f"{text}, all served"


class Refusals:
    """Refused connections since one succeeded."""

    __slots__ = ("count", "first_at", "last_at")

    def __init__(self) -> None:
        self.count = 0
        self.first_at = 0.0  # `steady_time`, as `last_at`
        self.last_at = 0.0

    def add(self) -> None:
        """Count one more."""
        self.last_at = steady_time()
        self.first_at = self.first_at if self.count else self.last_at
        self.count += 1


class StatusRecorder:
    """Records what happens to one forward.

    `on_status` gets the status before and after, when the state changes or whether the tunnel may
    be used. It must not raise.
    """

    def __init__(
        self,
        forward_id: str,
        spec: ForwardSpec,
        engine: EngineContext,
        *,
        on_status: Callable[[Status, Status], None],
    ) -> None:
        self._id = forward_id
        self._target = str(spec.target)
        self._engine = engine
        self._on_status = on_status
        self._log = ForwardLogger(_log, forward_id, spec.target.context)
        self._timeline = Timeline()
        self.outage: Outage | None = None  # the one that is not settled yet
        self.reconnects = 0
        self.status = state_machine.INITIAL
        self.since = self.started_at = steady_time()
        self._warned_at: dict[ReasonCode, float] = {}  # when each warning was first seen
        self.last_event = ""
        self.remote_port: int | None = None

    @property
    def timeline(self) -> tuple[TimelineEntry, ...]:
        """Return the timeline, oldest entry first."""
        entries, correction = self._timeline.entries, correction_s()
        if not correction:
            return entries
        return tuple(msgspec.structs.replace(one, at=one.at + correction) for one in entries)

    def begin(self, text: str) -> None:
        """Record that the forward starts, or resumes after a pause."""
        self.record(TimelineKind.STATE, text)
        self.outage = Outage(time.monotonic(), first=True)

    def advance(self, event: state_machine.Input) -> None:
        """Feed the state machine, and publish the status if it has changed."""
        before = self.status
        after = self.status = state_machine.next_status(before, event)
        if after == before:
            return
        moved = after.state is not before.state
        if moved:
            self.since = steady_time()
        codes = [reason.code for reason in after.warnings]
        self._warned_at = {code: self._warned_at.get(code, steady_time()) for code in codes}
        if moved or after.reason != before.reason:
            self._log.info("%s: %s", after.state, reason_text(after.reason))
            # They would push everything else out of the timeline.
            if moved or not isinstance(event, _FREQUENT_INPUTS):
                text = f"{after.state}: {reason_text(after.reason)}"
                self.record(TimelineKind.STATE, text, after.reason.code, after.state)
            if after.state is not ForwardState.STOPPED or after.paused:
                self.emit(EventKind.STATE)
        if moved or after.admits is not before.admits:
            self._moved(before, after)
        self._engine.changed()

    def warnings(self, refusals: Refusals) -> tuple[ForwardWarning, ...]:
        """Return what is wrong although the forward may work, the worst first."""
        found = []
        correction = correction_s()
        for reason in self.status.warnings:
            refused = reason is self.status.refused
            found.append(
                ForwardWarning(
                    code=reason.code,
                    reason=reason_text(reason),
                    short_reason=short_reason(reason),
                    hint=reason_hint(reason),
                    since=correction
                    + (refusals.first_at if refused else self._warned_at[reason.code]),
                    count=refusals.count if refused else 0,
                    last_at=refusals.last_at + correction if refused else 0.0,
                )
            )
        return tuple(found)

    def _moved(self, before: Status, after: Status) -> None:
        if before.state is ForwardState.READY and after.state is not ForwardState.STOPPED:
            self.last_event = reason_text(self.status.reason)
            self.outage = Outage(time.monotonic())
        if after.state is ForwardState.STOPPED:
            self.outage = None
        self._on_status(before, after)
        if after.state is ForwardState.READY and self.outage is not None:
            self.outage.ended = time.monotonic()
            self.reconnects += not self.outage.first
            self.finish_outage(self.outage)

    def finish_outage(self, outage: Outage) -> None:
        """Record the length of an outage once all connections it queued are settled."""
        if outage is not self.outage or not outage.settled:
            return
        self.outage = None
        text = outage.summary(time.monotonic())
        self.record(TimelineKind.NOTE, text)
        if not outage.first:
            self.last_event = text

    def record(
        self, kind: TimelineKind, text: str, code: ReasonCode | None = None,
        state: ForwardState | None = None,
    ) -> None:  # fmt: skip
        """Add an entry to the timeline."""
        self._timeline.add(steady_time(), kind, text, code, state)
        self._engine.changed()

    def record_problem(self, kind: TimelineKind, text: str, code: ReasonCode | None = None) -> None:
        """Add an entry about a failure."""
        self.last_event = text
        # A client that polls a closed port fails again and again.
        self._log.log(
            logging.DEBUG if kind is TimelineKind.CONNECTION else logging.WARNING, "%s", text
        )
        self.record(kind, text, code)

    def emit(
        self,
        kind: EventKind,
        *,
        connection: Connection | None = None,
        listening: tuple[LocalAddress, ...] = (),
    ) -> None:
        """Emit an event."""
        status = self.status
        about_state = kind in (EventKind.STATE, EventKind.STOPPED)
        event = Event(
            event=kind,
            time=time.time(),
            forward=self._id,
            target=self._target,
            state=status.state if about_state else None,
            code=status.reason.code if about_state else None,
            reason=reason_text(status.reason) if about_state else "",
            short_reason=short_reason(status.reason) if about_state else "",
            hint=status.hint if about_state else "",
            listening=listening,
            remote_port=self.remote_port if connection is None else None,
            connection=connection,
        )
        self._engine.emit(event)
