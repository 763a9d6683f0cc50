"""What is shown of one connection."""

from __future__ import annotations

import time

from tui_forward.engine.connections.counters import Rate
from tui_forward.engine.connections.download import Download
from tui_forward.engine.connections.upload import Upload
from tui_forward.model import Connection, ConnectionState, Reason
from tui_forward.reasons import reason_text


class ConnectionRecord:
    """Identity, times and outcome of one connection."""

    def __init__(self, connection_id: int, forward_id: str, client: str) -> None:
        now = time.monotonic()
        self.id = connection_id
        self.process = ""  # "psql (4211)", set by `ClientProcessLookup`
        self.failed = False  # ended by a failure
        self._forward_id = forward_id
        self._client = client
        self._opened_at = time.time()
        self._closed_at: float | None = None
        self._close_reason: Reason | None = None
        self._rate_from_pod = Rate(now)
        self._rate_to_pod = Rate(now)

    def close(self, reason: Reason) -> None:
        """Record the end."""
        self._close_reason = reason
        self._closed_at = time.time()

    def snapshot(
        self, state: ConnectionState, upload: Upload, download: Download, now: float
    ) -> Connection:
        """Return the connection at `now` (seconds since the epoch), also after its end."""
        from_pod, to_pod = download.bytes_from_pod, upload.bytes_to_pod
        clock = time.monotonic()
        closed = self._closed_at is not None
        reason = self._close_reason
        return Connection(
            id=self.id,
            forward_id=self._forward_id,
            client=self._client,
            process=self.process,
            state=state,
            opened_at=self._opened_at,
            closed_at=None if self._closed_at is None else min(self._closed_at, now),
            bytes_from_pod=from_pod,
            bytes_to_pod=to_pod,
            rate_from_pod=0.0 if closed else self._rate_from_pod.sample(from_pod, clock),
            rate_to_pod=0.0 if closed else self._rate_to_pod.sample(to_pod, clock),
            first_byte_s=download.first_byte_s,
            close_code=reason.code if reason is not None else None,
            close_reason=reason_text(reason) if reason is not None else "",
            failed=self.failed,
        )
