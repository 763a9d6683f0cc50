"""Messages between clients and the engine process. Pure: no I/O.

Each message is four bytes of length, big-endian, then MessagePack. A connection starts with
`Hello` from the client and `Welcome` (or `VersionMismatch`) from the engine process. Then the
client sends any number of requests with ids that it chooses, and the engine responds to each with
one `Result` or `Failure`, in any order; to a subscription with `Item`s until `End`, or until the
client sends `Cancel`. The pods of a catalog are `Item`s before the `Result` (`pod_parts`).

`HandoverRequest`, `HandoverOffer`, `HandoverDone` and `HandoverAccepted` are messages between two
engine processes (see `handover`). They are compatible between versions: fields are only ever added
at their ends.
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
from tui_forward.model import (
    AccessOptions,
    Caller,
    CatalogScope,
    ClusterKey,
    DoctorQuery,
    ForwardSpec,
    LocalAddress,
    LogSource,
    ProxySpec,
    Reason,
    Target,
)

VERSION: Final = 12
"""Client and engine process must have the same version."""

HEADER_SIZE: Final = 4
MAX_REQUEST: Final = 2 * 1024 * 1024  # more than `model.MAX_LOGIN_OUTPUT`
MAX_RESPONSE: Final = 256 * 1024 * 1024  # the complete catalog of a very large cluster


class _Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of all messages."""


class _Numbered(_Message, frozen=True):
    """Base of requests and of responses to them."""

    id: int


class _ForwardRequest(_Numbered, frozen=True):
    """Base of requests about one forward."""

    forward: str


# From clients -------------------------------------------------------------------------


class Hello(_Message, frozen=True):
    """First message; `version` must be the engine process's.

    Without `caller`, requests use the credentials of the engine's own environment.
    """

    version: int
    caller: Caller | None = None


class HandoverRequest(_Message, frozen=True):
    """First message, instead of `Hello`: another engine is going to replace this one."""


class HandoverDone(_Message, frozen=True):
    """The other engine has received everything and is able to serve clients."""


class Start(_Numbered, frozen=True):
    """`Session.start`."""

    spec: ForwardSpec


class Stop(_ForwardRequest, frozen=True):
    """`Session.stop`."""


class StartProxy(_Numbered, frozen=True):
    """`Session.start_proxy`."""

    spec: ProxySpec


class StopProxy(_Numbered, frozen=True):
    """`Session.stop_proxy`."""

    proxy: str


class Pause(_ForwardRequest, frozen=True):
    """`Session.pause`."""


class Resume(_ForwardRequest, frozen=True):
    """`Session.resume`."""


class Reconnect(_ForwardRequest, frozen=True):
    """`Session.reconnect`."""


class BeginLogin(_Numbered, frozen=True):
    """`Session.begin_login`; the result is a tuple with one element or none."""

    cluster: ClusterKey


class FinishLogin(_Numbered, frozen=True):
    """`Session.finish_login`."""

    cluster: ClusterKey
    output: bytes
    exit_code: int

    def __repr__(self) -> str:
        return f"FinishLogin({self.cluster[0]!r})"


class CancelLogin(_Numbered, frozen=True):
    """`Session.cancel_login`."""

    cluster: ClusterKey


class RetryLogin(_Numbered, frozen=True):
    """`Session.retry_login`."""

    cluster: ClusterKey


class SetKeepRunning(_Numbered, frozen=True):
    """`Session.set_keep_running`."""

    on: bool


class SetKeepRunningIfLost(_Numbered, frozen=True):
    """`Session.set_keep_running_if_lost`."""

    on: bool


class CloseConnection(_Numbered, frozen=True):
    """`Session.close_connection`."""

    connection: int


class GetSnapshot(_Numbered, frozen=True):
    """`Session.snapshot`."""


class GetConnections(_Numbered, frozen=True):
    """`Session.connections`."""

    forward: str | None


class GetTimeline(_ForwardRequest, frozen=True):
    """`Session.timeline`."""


class GetHistories(_Numbered, frozen=True):
    """`Session.histories`."""


class GetMissingPermissions(_Numbered, frozen=True):
    """`Session.missing_permissions`."""

    scope: CatalogScope


class CheckPort(_Numbered, frozen=True):
    """`Session.check_port`."""

    addresses: tuple[str, ...]
    port: int


class GetHops(_ForwardRequest, frozen=True):
    """`Session.hops`."""


class ReadLog(_Numbered, frozen=True):
    """`Session.read_log`."""

    source: LogSource
    since: str
    lines: int


class Describe(_Numbered, frozen=True):
    """`Session.describe`."""

    target: Target


class GetContexts(_Numbered, frozen=True):
    """`Session.contexts`."""


class GetCatalog(_Numbered, frozen=True):
    """`Session.catalog`."""

    scope: CatalogScope
    since: int


class Subscribe(_Numbered, frozen=True):
    """`Session.events`."""

    since: int


class SubscribeChanges(_Numbered, frozen=True):
    """`Session.changes`."""


class Diagnose(_Numbered, frozen=True):
    """`Session.diagnose`, whose results are a subscription."""

    query: DoctorQuery


Subscription = Subscribe | SubscribeChanges | Diagnose


class Cancel(_Numbered, frozen=True):
    """Cancel request `id`, or end subscription `id`."""


Request = (
    Start | Stop | Pause | Resume | Reconnect | CloseConnection | SetKeepRunning
    | SetKeepRunningIfLost | GetSnapshot | GetConnections | GetTimeline | GetHistories | GetHops
    | ReadLog | Describe | GetMissingPermissions | CheckPort | GetContexts | GetCatalog
    | Subscription | BeginLogin | FinishLogin | CancelLogin | RetryLogin | StartProxy | StopProxy
)  # fmt: skip
FromClient = Hello | HandoverRequest | HandoverDone | Request | Cancel


# From the engine process --------------------------------------------------------------


class Welcome(_Message, frozen=True):
    """Response to `Hello`; `kubeconfig` is empty for kubectl's default."""

    version: int
    pid: int
    kubeconfig: str


class VersionMismatch(_Message, frozen=True):
    """Response to `Hello` of another version; the connection ends."""

    version: int
    reason: str


class HandoverOffer(_Message, frozen=True):
    """Response to `HandoverRequest`, unless that is a `Failure`.

    File descriptors follow: the lock, the served socket, and a socket for each of `addresses`.
    """

    version: int = 0  # `VERSION` of the engine that hands over
    session: bytes = b""  # active forwards, as JSON (`session_store.SavedSession`)
    addresses: tuple[LocalAddress, ...] = ()  # local addresses of the forwards
    connections: int = 0  # number of open connections, which stay with the old engine
    context: str = ""  # option of the old engine, as are the next three
    idle_timeout_s: float = 0.0  # how long it runs without clients
    session_file: str = ""  # file that stores its active forwards
    log_file: str = ""  # its log file; empty for standard error
    callers: bytes = b""  # environments of the forwards (`callers.encode_callers`)
    secrets: tuple[AccessOptions, ...] = ()  # secrets of the forwards' options
    logins: bytes = b""  # credentials of plugins (`login_handover.HandedOverLogin`)

    def __repr__(self) -> str:
        return f"HandoverOffer(version={self.version}, {len(self.addresses)} addresses)"


class HandoverAccepted(_Message, frozen=True):
    """Response to `HandoverDone`: this engine has been replaced.

    Without it, because `HandoverDone` came too late, this engine continues.
    """


class Result(_Numbered, frozen=True):
    """Response to a request; the type of `value` depends on the request."""

    value: msgspec.Raw


class Item(_Numbered, frozen=True):
    """One element of a subscription, or a part of a result before the `Result`."""

    value: msgspec.Raw


class End(_Numbered, frozen=True):
    """End of a subscription."""


class Failure(_Numbered, frozen=True):
    """Response to a request that failed with a `TuiForwardError`."""

    kind: str
    reason: Reason
    status: int = 0
    status_reason: str = ""


FromEngine = (
    Welcome | VersionMismatch | HandoverOffer | HandoverAccepted | Result | Item | End | Failure
)

# --------------------------------------------------------------------------------------

_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[FromClient] = msgspec.msgpack.Decoder(FromClient)
_response_decoder: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)

T = TypeVar("T")

# Invalid UTF-8 does not raise a DecodeError, and neither does unlimited nesting.
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def encode_message(message: FromClient | FromEngine) -> bytes:
    """Return a message with its length in front."""
    buffer = bytearray(HEADER_SIZE)
    _encoder.encode_into(message, buffer, HEADER_SIZE)
    buffer[:HEADER_SIZE] = (len(buffer) - HEADER_SIZE).to_bytes(HEADER_SIZE, "big")
    return bytes(buffer)


def encode_value(value: object) -> msgspec.Raw:
    """Return an encoded value for `Result` or `Item`."""
    return msgspec.Raw(_encoder.encode(value))


def decode_request(body: bytes) -> FromClient:
    """Return the message of a client; ProtocolError if the body is none."""
    try:
        return _request_decoder.decode(body)
    except _DECODE_ERRORS as error:
        raise ProtocolError(f"invalid message of a client: {error}") from error


def decode_response(body: bytes) -> FromEngine:
    """Return the message of an engine process; ProtocolError if the body is none."""
    try:
        return _response_decoder.decode(body)
    except _DECODE_ERRORS as error:
        raise ProtocolError(f"invalid message of the engine: {error}") from error


def decode_value(value: msgspec.Raw, kind: type[T]) -> T:
    """Return the value of a `Result` or `Item`; ProtocolError if it is not a `kind`."""
    try:
        return msgspec.msgpack.decode(value, type=kind)
    except _DECODE_ERRORS as error:
        raise ProtocolError(f"invalid message of the engine: {error}") from error


# Errors -------------------------------------------------------------------------------

_PLAIN: dict[str, type[TuiForwardError]] = {
    kind.__name__: kind
    for kind in (
        errors.UsageError, errors.ConfigError, errors.AuthError, errors.ForwardError,
        errors.TransportError, ProtocolError,
    )
}  # fmt: skip
_WITH_STATUS: dict[str, type[ApiError]] = {
    "ApiError": ApiError,
    "UpgradeError": errors.UpgradeError,
}


def from_exception(request_id: int, error: TuiForwardError) -> Failure:
    """Return an error as a message; unknown subclasses become their nearest known base."""
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
