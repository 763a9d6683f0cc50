"""Recorder of a forward's status, timeline, events and outages.

Everything shown about a forward passes through here, so that status, timeline and the events
of `--json` are consistent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from tui_forward.engine.context import EngineContext
from tui_forward.engine.forward_logger import ForwardLogger
from tui_forward.engine.forwards import state_machine
from tui_forward.engine.forwards.timeline import Outage, Timeline
from tui_forward.model import (
    Connection,
    Event,
    EventKind,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    ReasonCode,
    TimelineEntry,
    TimelineKind,
)
from tui_forward.reasons import reason_text

_log = logging.getLogger(__name__)


class StatusRecorder:
    """Records what happens to one forward.

    `on_state` gets the state before and after, whenever it changes. It must not raise.
    """

    def __init__(
        self,
        forward_id: str,
        spec: ForwardSpec,
        engine: EngineContext,
        *,
        on_state: Callable[[ForwardState, ForwardState], None],
    ) -> None:
        self._id = forward_id
        self._target = str(spec.target)
        self._engine = engine
        self._on_state = on_state
        self._log = ForwardLogger(_log, forward_id, spec.target.context)
        self._timeline = Timeline()
        self.outage: Outage | None = None  # the one that is not settled yet
        self.status = state_machine.INITIAL
        self.since = self.started_at = time.time()
        self.last_event = ""
        self.remote_port: int | None = None

    @property
    def timeline(self) -> tuple[TimelineEntry, ...]:
        """Return the timeline, oldest entry first."""
        return self._timeline.entries

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
            self.since = time.time()
        if moved or after.reason != before.reason:
            self._log.info("%s: %s", after.state, reason_text(after.reason))
            # The dials of a long outage would push everything else out of the timeline.
            if moved or not isinstance(event, state_machine.DialStarted):
                text = f"{after.state}: {reason_text(after.reason)}"
                self.record(TimelineKind.STATE, text, after.reason.code)
            if after.state is not ForwardState.STOPPED or after.paused:
                self.emit(EventKind.STATE)
        if moved:
            self._moved(before.state, after.state)
        self._engine.changed()

    def _moved(self, before: ForwardState, after: ForwardState) -> None:
        if before is ForwardState.READY and after is not ForwardState.STOPPED:
            self.last_event = reason_text(self.status.reason)
            self.outage = Outage(time.monotonic())
        if after is ForwardState.STOPPED:
            self.outage = None
        self._on_state(before, after)
        if after is ForwardState.READY and self.outage is not None:
            self.outage.ended = time.monotonic()
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

    def record(self, kind: TimelineKind, text: str, code: ReasonCode | None = None) -> None:
        """Add an entry to the timeline."""
        self._timeline.add(time.time(), kind, text, code)
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
            hint=status.hint if about_state else "",
            listening=listening,
            remote_port=self.remote_port if connection is None else None,
            connection=connection,
        )
        self._engine.emit(event)
