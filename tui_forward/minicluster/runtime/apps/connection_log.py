"""Exact byte counts of an application's connections."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

import msgspec

MAX_RECORDS: Final = 20_000


class ConnectionRecord(msgspec.Struct):
    """Byte counts of one connection, as the application sees them.

    Attributes:
        received: Bytes the application read.
        sent: Bytes the kernel accepted from the application.
        outcome: "open", "closed", "reset", or an error text.
    """

    id: int
    port: int
    opened_at: float
    received: int = 0
    sent: int = 0
    eof: bool = False
    outcome: str = "open"
    peer: str = ""


class ConnectionLog:
    """Connections of an application: totals of all, records of the last `MAX_RECORDS`."""

    def __init__(self) -> None:
        self._next_id = 1
        self._records: OrderedDict[int, ConnectionRecord] = OrderedDict()
        self._dropped_received = 0
        self._dropped_sent = 0

    def add(self, port: int) -> ConnectionRecord:
        """Return a record for a new connection."""
        record = ConnectionRecord(id=self._next_id, port=port, opened_at=time.time())
        self._next_id += 1
        self._records[record.id] = record
        if len(self._records) > MAX_RECORDS:
            _, oldest = self._records.popitem(last=False)
            self._dropped_received += oldest.received
            self._dropped_sent += oldest.sent
        return record

    def to_json(self, *, port: int | None = None) -> bytes:
        """Return totals and records as JSON, of one port or of all."""
        records = [r for r in self._records.values() if port is None or r.port == port]
        return msgspec.json.encode(
            {
                "connections": self._next_id - 1,
                "open": sum(r.outcome == "open" for r in records),
                "received": self._dropped_received + sum(r.received for r in records),
                "sent": self._dropped_sent + sum(r.sent for r in records),
                "records": records,
            }
        )
