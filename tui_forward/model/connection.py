"""State of a local connection."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tui_forward.model.reason import ReasonCode


class ConnectionState(StrEnum):
    """State of one local connection."""

    QUEUED = "queued"  # accepted, no tunnel yet
    OPEN = "open"
    CLOSING = "closing"  # one side has ended
    CLOSED = "closed"


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted local connection at one instant."""

    id: int
    forward_id: str
    client: str
    process: str = ""  # "psql (4211)" if the system provides it
    state: ConnectionState = ConnectionState.QUEUED
    opened_at: float = 0.0
    closed_at: float | None = None
    bytes_from_pod: int = 0
    bytes_to_pod: int = 0
    rate_from_pod: float = 0.0
    rate_to_pod: float = 0.0
    first_byte_s: float | None = None  # from accept to the first byte from the pod
    pod: str = ""  # name of the pod that it leads to, once it has a tunnel
    # What is worth knowing of an open one, such as `POD_TERMINATING` and `CONNECTION_NO_ANSWER`.
    code: ReasonCode | None = None
    reason: str = ""  # text of `code`
    ends_by: float | None = None  # when a pod that is Terminating is killed
    close_code: ReasonCode | None = None  # None while it is open
    close_reason: str = ""  # text of `close_code`
    failed: bool = False
