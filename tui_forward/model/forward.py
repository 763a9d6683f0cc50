"""State of a forward and of a cluster proxy."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from tui_forward.model.reason import ReasonCode
from tui_forward.model.specs import ForwardSpec, ProxySpec, TransportChoice


class ForwardState(StrEnum):
    """State of a forward; shown with a reason."""

    STARTING = "starting"  # opening the local listener
    WAITING = "waiting"  # no usable pod yet
    CONNECTING = "connecting"  # a pod is chosen, no tunnel yet
    READY = "ready"  # a tunnel is upgraded and answers PINGs
    RECONNECTING = "reconnecting"  # was ready, is not, retries
    BLOCKED = "blocked"  # needs the user
    STOPPED = "stopped"


class BlockedBy(StrEnum):
    """What a blocked forward waits for."""

    CREDENTIALS = "credentials"
    FORBIDDEN = "forbidden"
    PORT = "port"
    TARGET = "target"
    CONFIG = "config"


class PodRef(msgspec.Struct, frozen=True, kw_only=True):
    """One incarnation of a pod."""

    namespace: str
    name: str
    uid: str
    node: str = ""


class LocalAddress(msgspec.Struct, frozen=True):
    """One address a forward listens on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Totals since the forward (or the program) started; kept across reconnects.

    `bytes_from_pod` counts bytes written to local sockets, `bytes_to_pod` bytes read from local
    sockets and passed to a tunnel: both are the payload of the application.
    """

    bytes_from_pod: int = 0
    bytes_to_pod: int = 0
    rate_from_pod: float = 0.0
    rate_to_pod: float = 0.0
    connections_open: int = 0
    connections_total: int = 0
    connections_failed: int = 0


class FirstByteTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Times from accept to the first byte from the pod, of connections of the last minutes."""

    count: int  # connections that got a byte
    p50_s: float  # which half of them did not exceed; within 5 %
    p99_s: float


FIRST_BYTE_BOUNDS_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the buckets of `FirstByteHistogram`; the last bucket has none."""


class FirstByteHistogram(msgspec.Struct, frozen=True, kw_only=True):
    """Times from accept to the first byte from the pod, of all connections so far."""

    counts: tuple[int, ...] = (0,) * (len(FIRST_BYTE_BOUNDS_S) + 1)  # by bucket, not cumulative
    sum_s: float = 0.0


class TimelineKind(StrEnum):
    """Subject of an entry of a forward's timeline."""

    STATE = "state"
    POD = "pod"
    TUNNEL = "tunnel"
    CONNECTION = "connection"
    NOTE = "note"


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a forward."""

    at: float
    kind: TimelineKind
    text: str
    code: ReasonCode | None = None  # set where the event has a reason
    state: ForwardState | None = None  # that was entered, or stayed with another reason


class ForwardWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong although the forward works."""

    code: ReasonCode
    reason: str  # text of `code`
    short_reason: str = ""  # in at most 29 cells
    hint: str = ""
    since: float = 0.0  # when it was first seen
    count: int = 0  # how often it has happened since; 0 for what lasts
    last_at: float = 0.0  # when it happened last


class PreconnectStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Connections to the application that are open ahead of their clients."""

    ready: int  # how many the next clients can use
    off: bool = False  # not used any more: the application closes silent connections soon
    max_age_s: float = 0.0  # how old they may get


class PodShareState(StrEnum):
    """Whether a pod gets new connections of a forward that spreads them."""

    READY = "ready"  # it does
    CONNECTING = "connecting"  # as soon as a tunnel is up
    LEAVING = "leaving"  # no more: it finishes those that it has


class PodShare(msgspec.Struct, frozen=True, kw_only=True):
    """One of the pods that a forward spreads its connections over, and what it has got of them."""

    pod: PodRef
    state: PodShareState
    reason: str = ""  # why no tunnel to it is up; empty if one is
    connections_open: int = 0
    connections_total: int = 0
    bytes_from_pod: int = 0
    bytes_to_pod: int = 0


class EarlierPods(msgspec.Struct, frozen=True, kw_only=True):
    """What a forward that spreads its connections got of pods that it uses no more."""

    pods: int  # that had a connection
    connections_total: int
    bytes_from_pod: int
    bytes_to_pod: int


class UnansweredConnections(msgspec.Struct, frozen=True, kw_only=True):
    """The latest connections of a forward, if they sent something and none got a byte back."""

    count: int
    since: float  # when the first of them was opened


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """A forward at one instant."""

    id: str  # short and stable for the life of the forward ("f1")
    spec: ForwardSpec
    state: ForwardState
    code: ReasonCode  # why the forward is in this state
    reason: str  # text of `code`; never empty
    short_reason: str = ""  # in at most 29 cells, with the age of `expired_at`
    expired_at: float | None = None  # set where the reason is an expired credential
    hint: str = ""
    blocked_by: BlockedBy | None = None  # set exactly when `state` is `BLOCKED`
    since: float = 0.0  # when `state` was entered
    started_at: float = 0.0
    retry_at: float | None = None  # time of the next attempt, if the state waits for one
    paused: bool = False  # stopped by the user, and can be resumed
    listening: tuple[LocalAddress, ...] = ()  # empty before the listener is open
    pod: PodRef | None = None  # the current one, or the last one
    remote_port: int | None = None  # container port in use, None until resolved
    transport: TransportChoice | None = None  # None without a tunnel
    tunnels: int = 0  # number of tunnels that are up
    round_trip_s: float | None = None  # latest PING through the whole path
    queued: int = 0  # connections that wait for a tunnel
    counters: Counters = Counters()
    first_byte: FirstByteTimes | None = None  # None without a connection that got a byte
    first_bytes: FirstByteHistogram = FirstByteHistogram()
    reconnects: int = 0  # how often it was ready again after it had been lost
    failed_at: float | None = None  # when a connection failed last
    insecure: bool = False  # the certificate of the API server is not verified
    last_event: str = ""  # latest timeline text about a failure
    # The terminal whose environment its credential plugin runs in, and the names of variables that
    # differ there; empty if it is that of the front end.
    environment: str = ""
    # The worst first. A ready forward with warnings is amber, and `code` is that of the first.
    warnings: tuple[ForwardWarning, ...] = ()
    preconnect: PreconnectStatus | None = None  # None if not requested
    pods: tuple[PodShare, ...] = ()  # with `Balance.SPREAD`, by name
    earlier_pods: EarlierPods | None = None  # with `Balance.SPREAD`, if there were any
    unanswered: UnansweredConnections | None = None  # a hint only: it may be as intended


class ProxyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster proxy at one instant; its targets are the forwards with its id."""

    id: str  # short and stable for its life ("p1")
    spec: ProxySpec  # with context and namespace filled in
    listening: tuple[LocalAddress, ...] = ()
    started_at: float = 0.0
    services: int = 0  # known names
    code: ReasonCode | None = None  # why services are not, or not all, known
    reason: str = ""  # text of `code`
    hint: str = ""
    handshakes: int = 0  # clients that have not named a target yet
    refused: int = 0  # requests refused by the rules of the proxy, or without a target
    last_refusal: str = ""


class TrafficHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Recent traffic of a forward."""

    forward_id: str
    seconds: tuple[tuple[int, int], ...]  # from and to the pod, oldest first; 10 minutes at most
    ready: tuple[bool, ...] = ()  # whether a tunnel was up then; as long as `seconds`
