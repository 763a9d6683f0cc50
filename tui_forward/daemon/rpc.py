"""What front end and engine process say to each other. Pure: no I/O.

Each message is four bytes of length, big-endian, then MessagePack. A connection begins with
`Hello` from the front end and `Welcome` (or `Refused`) from the engine process. Then the
front end sends requests with ids of its own choosing, in any number, and each is answered
by one `Result` or `Failure`, in any order; a subscription is answered by `Item`s until
`End`, or until the front end sends `Cancel`.

`TakeOver`, `Handed` and `Taken` are what two engine processes say to each other (`handover`). They
must be understood between versions: fields are only ever added at their ends.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from tui_forward import errors
from tui_forward.errors import (
    ApiError,
    ProtocolError,
    TuiForwardError,
)
from tui_forward.model import CatalogScope, ForwardSpec, LocalAddress, Reason

VERSION: Final = 5
"""Both sides must have the same: they come out of one installation, or should."""

LENGTH: Final = 4
MAX_REQUEST: Final = 1024 * 1024
MAX_ANSWER: Final = 256 * 1024 * 1024  # a whole picture of a very large cluster


class _Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of all messages."""


# From the front end -------------------------------------------------------------------


class Hello(_Message, frozen=True):
    """First message; `version` must be the engine process's."""

    version: int


class HandoverRequest(_Message, frozen=True):
    """First message, in place of `Hello`: another engine wants to take this one's place."""


class HandoverDone(_Message, frozen=True):
    """It has: everything is there, and front ends are served."""


class Start(_Message, frozen=True):
    """`Session.start`."""

    id: int
    spec: ForwardSpec


class Stop(_Message, frozen=True):
    """`Session.stop`."""

    id: int
    forward: str


class Pause(_Message, frozen=True):
    """`Session.pause`."""

    id: int
    forward: str


class Resume(_Message, frozen=True):
    """`Session.resume`."""

    id: int
    forward: str


class Reconnect(_Message, frozen=True):
    """`Session.reconnect`."""

    id: int
    forward: str


class SetKeepRunning(_Message, frozen=True):
    """`Session.keep`."""

    id: int
    on: bool


class SetKeepRunningIfLost(_Message, frozen=True):
    """`Session.keep_if_lost`."""

    id: int
    on: bool


class CloseConnection(_Message, frozen=True):
    """`Session.close_connection`."""

    id: int
    connection: int


class GetSnapshot(_Message, frozen=True):
    """`Session.snapshot`."""

    id: int


class GetConnections(_Message, frozen=True):
    """`Session.connections`."""

    id: int
    forward: str | None


class GetTimeline(_Message, frozen=True):
    """`Session.timeline`."""

    id: int
    forward: str


class GetHistories(_Message, frozen=True):
    """`Session.histories`."""

    id: int


class GetHops(_Message, frozen=True):
    """`Session.hops`."""

    id: int
    forward: str


class GetPodLog(_Message, frozen=True):
    """`Session.pod_log`."""

    id: int
    forward: str
    container: str
    lines: int


class GetContexts(_Message, frozen=True):
    """`Session.contexts`."""

    id: int


class GetCatalog(_Message, frozen=True):
    """`Session.catalog`."""

    id: int
    scope: CatalogScope
    since: int


class Subscribe(_Message, frozen=True):
    """`Session.events`."""

    id: int
    since: int


class Cancel(_Message, frozen=True):
    """The front end is no longer interested in the answer to request `id`."""

    id: int


Request = (
    Start
    | Stop
    | Pause
    | Resume
    | Reconnect
    | CloseConnection
    | SetKeepRunning
    | SetKeepRunningIfLost
    | GetSnapshot
    | GetConnections
    | GetTimeline
    | GetHistories
    | GetHops
    | GetPodLog
    | GetContexts
    | GetCatalog
    | Subscribe
)
FromFrontEnd = Hello | HandoverRequest | HandoverDone | Request | Cancel


# From the engine process --------------------------------------------------------------


class Welcome(_Message, frozen=True):
    """Answer to `Hello`: who this is."""

    version: int
    pid: int
    kubeconfig: str


class VersionMismatch(_Message, frozen=True):
    """Answer to `Hello` from the wrong version; the connection ends."""

    version: int
    reason: str


class HandoverOffer(_Message, frozen=True):
    """Answer to `TakeOver`; descriptors follow: the lock, the served socket, those of `addresses`.

    Attributes:
        version: The wire's, of the engine that hands over.
        session: What is on, as JSON (`saved.SavedSession`).
        addresses: Where forwards listen.
        connections: How many are open; they stay.
        context: What the engine was begun with, as the next three.
        idle_timeout_s: How long it goes on without front ends.
        session_file: Where it writes what is on.
        log_file: Where it logs; empty for standard error.
    """

    version: int = 0
    session: bytes = b""
    addresses: tuple[LocalAddress, ...] = ()
    connections: int = 0
    context: str = ""
    idle_timeout_s: float = 0.0
    session_file: str = ""
    log_file: str = ""


class Result(_Message, frozen=True):
    """The answer to a request; what `value` holds follows from the request."""

    id: int
    value: msgspec.Raw


class Item(_Message, frozen=True):
    """One element of a subscription."""

    id: int
    value: msgspec.Raw


class End(_Message, frozen=True):
    """A subscription is over."""

    id: int


class Failure(_Message, frozen=True):
    """A request ended with an error of the program's own."""

    id: int
    kind: str
    reason: Reason
    status: int = 0
    status_reason: str = ""


FromEngine = Welcome | VersionMismatch | HandoverOffer | Result | Item | End | Failure

# --------------------------------------------------------------------------------------

_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[FromFrontEnd] = msgspec.msgpack.Decoder(FromFrontEnd)
_answer_decoder: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)

T = TypeVar("T")

# Bad UTF-8 is not a DecodeError; neither is nesting without end.
_UNINTELLIGIBLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode_message(message: FromFrontEnd | FromEngine) -> bytes:
    """A message with its length."""
    buffer = bytearray(LENGTH)
    _encoder.encode_into(message, buffer, LENGTH)
    buffer[:LENGTH] = (len(buffer) - LENGTH).to_bytes(LENGTH, "big")
    return bytes(buffer)


def encode_value(value: object) -> msgspec.Raw:
    """A value encoded on its own, to be put into `Result` or `Item`."""
    return msgspec.Raw(_encoder.encode(value))


def unpack_request(body: bytes) -> FromFrontEnd:
    """The message of a front end.

    Raises:
        ProtocolError: It is not one.
    """
    try:
        return _request_decoder.decode(body)
    except _UNINTELLIGIBLE as error:
        raise ProtocolError(f"the front end sent something unintelligible: {error}") from error


def unpack_answer(body: bytes) -> FromEngine:
    """The message of an engine process.

    Raises:
        ProtocolError: It is not one.
    """
    try:
        return _answer_decoder.decode(body)
    except _UNINTELLIGIBLE as error:
        raise ProtocolError(f"the engine sent something unintelligible: {error}") from error


def decode_value(value: msgspec.Raw, kind: type[T]) -> T:
    """What a `Result` or `Item` holds.

    Raises:
        ProtocolError: It is not a `kind`.
    """
    try:
        return msgspec.msgpack.decode(value, type=kind)
    except _UNINTELLIGIBLE as error:
        raise ProtocolError(f"the engine sent something unintelligible: {error}") from error


# Errors across the door ---------------------------------------------------------------

_PLAIN: dict[str, type[TuiForwardError]] = {
    kind.__name__: kind
    for kind in (
        errors.UsageError,
        errors.ConfigError,
        errors.AuthError,
        errors.ForwardError,
        errors.TransportError,
        errors.ProtocolError,
    )
}
_WITH_STATUS: dict[str, type[ApiError]] = {
    kind.__name__: kind for kind in (ApiError, errors.UpgradeError)
}


def from_exception(request_id: int, error: TuiForwardError) -> Failure:
    """An error as a message; subclasses nobody else knows become the class they come from."""
    known = {*_PLAIN, *_WITH_STATUS}
    kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in known), "")
    if isinstance(error, ApiError):
        return Failure(request_id, kind, error.reason, error.status, error.status_reason)
    return Failure(request_id, kind, error.reason)


def to_exception(failed: Failure) -> TuiForwardError:
    """Return the error that a message describes."""
    if failed.kind in _WITH_STATUS:
        return _WITH_STATUS[failed.kind](
            failed.reason, status=failed.status, status_reason=failed.status_reason
        )
    return _PLAIN.get(failed.kind, TuiForwardError)(failed.reason)
