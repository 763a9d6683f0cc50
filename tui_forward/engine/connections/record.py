"""What is shown of one connection."""

from __future__ import annotations

import time
from typing import Final

from tui_forward.common.clock import correction_s, steady_time
from tui_forward.engine.connections.counters import Rate
from tui_forward.engine.connections.download import Download
from tui_forward.engine.connections.pod_history import PodHistory, may_be_explained
from tui_forward.engine.connections.upload import Upload
from tui_forward.model import Connection, ConnectionState, PodRef, Reason, ReasonCode
from tui_forward.reasons import reason_text

# How long an application may take to answer the first bytes before that is worth knowing.
_NO_ANSWER_S: Final = 5.0


class ConnectionRecord:
    """Identity, times and outcome of one connection."""

    def __init__(self, connection_id: int, forward_id: str, client: str) -> None:
        now = time.monotonic()
        self.id = connection_id
        self.process = ""  # "psql (4211)", set by `ClientProcessLookup`
        self.failed = False  # ended by a failure
        self.forward_id = forward_id
        self.client = client  # its address
        self._opened_at = steady_time()
        self._closed_at: float | None = None
        self.close_reason: Reason | None = None  # None while it is open
        self._history: PodHistory | None = None
        self._connected_at = self._ended_at = now
        self._rate_from_pod = Rate(now)
        self._rate_to_pod = Rate(now)

    def connected(self, history: PodHistory) -> None:
        """Record that a channel to a pod is open."""
        self._history = history
        self._connected_at = time.monotonic()

    def close(self, reason: Reason) -> None:
        """Record the end."""
        self.close_reason = reason
        self._closed_at = steady_time()
        self._ended_at = time.monotonic()
        self.explain_end()

    def explain_end(self) -> bool:
        """Look for the cause of the end in the pod; return whether a report may still name it."""
        history, reason = self._history, self.close_reason
        if history is None or reason is None or not may_be_explained(reason.code):
            return False
        cause = history.explain_end(self._connected_at, self._ended_at)
        if cause is not None:
            self.close_reason = reason = cause
        return history.is_known and may_be_explained(reason.code)

    @property
    def pod(self) -> PodRef | None:
        """The pod that it leads to, or has led to; None before its first channel."""
        return self._history.ref if self._history is not None else None

    @property
    def pod_condition(self) -> Reason | None:
        """Return what its pod is about to do to it; None if nothing."""
        return self._history.condition if self._history is not None else None

    def _condition(
        self, state: ConnectionState, upload: Upload, download: Download
    ) -> Reason | None:
        """Return what is worth knowing of the open connection; None if nothing is."""
        if state not in (ConnectionState.OPEN, ConnectionState.CLOSING):
            return None
        if (going := self.pod_condition) is not None:
            return going
        if download.first_byte_s is None and upload.first_sent_at is not None:
            silent_s = time.monotonic() - max(upload.first_sent_at, self._connected_at)
            if silent_s >= _NO_ANSWER_S:
                return Reason(code=ReasonCode.CONNECTION_NO_ANSWER, timeout_s=int(silent_s))
        return None

    def snapshot(
        self, state: ConnectionState, upload: Upload, download: Download, now: float
    ) -> Connection:
        """Return the connection at `now` (`steady_time`), also after its end."""
        correction = correction_s()
        from_pod, to_pod = download.bytes_from_pod, upload.bytes_to_pod
        clock = time.monotonic()
        closed = self._closed_at is not None
        reason = self.close_reason
        condition = self._condition(state, upload, download)
        return Connection(
            id=self.id,
            forward_id=self.forward_id,
            client=self.client,
            process=self.process,
            state=state,
            opened_at=self._opened_at + correction,
            closed_at=None if self._closed_at is None else min(self._closed_at, now) + correction,
            bytes_from_pod=from_pod,
            bytes_to_pod=to_pod,
            rate_from_pod=0.0 if closed else self._rate_from_pod.sample(from_pod, clock),
            rate_to_pod=0.0 if closed else self._rate_to_pod.sample(to_pod, clock),
            first_byte_s=download.first_byte_s,
            pod=self._history.ref.name if self._history is not None else "",
            code=condition.code if condition is not None else None,
            reason=reason_text(condition) if condition is not None else "",
            ends_by=condition.at if condition is not None else None,
            close_code=reason.code if reason is not None else None,
            close_reason=reason_text(reason) if reason is not None else "",
            failed=self.failed,
        )
