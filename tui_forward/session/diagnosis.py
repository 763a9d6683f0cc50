"""Which station of a forward's way is broken. Pure.

Judged by what the engine was told, not by what it shows: by the type, the status and the cause
of an error, and by the words of an API server, a kubelet or a runtime, which each hand on the
next one's answer unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tui_forward.errors import (
    ApiError,
    AuthError,
    ConfigError,
    ForwardError,
    ForwardErrorCause,
    ProtocolError,
    TransportError,
    TuiForwardError,
)
from tui_forward.kube.api.details import NodeDetails, PodDetails
from tui_forward.model import (
    ApiHealth,
    BlockedBy,
    Connection,
    ConnectionState,
    Forward,
    ForwardState,
    HopKind,
    Unresolved,
)
from tui_forward.protocol.error_stream import PortForwardFailure, parse_failure

NotReadyCause = TuiForwardError | Unresolved | None
"""What keeps a forward from being ready; see `engine.supervisor.Engine.obstacle`."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What the API server tells about the stations; whatever it does not tell is None.

    Attributes:
        server: Address of the API server as shown to people.
        pod: The pod behind the forward, or the one to come.
        node: The node of that pod.
    """

    server: str = ""
    health: ApiHealth | None = None
    pod: PodDetails | None = None
    node: NodeDetails | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The broken station, and what to say about it.

    Attributes:
        hop: None if nothing is known to be broken.
        error: What is wrong, in one sentence.
        hint: What to do about it.
    """

    hop: HopKind | None = None
    error: str = ""
    hint: str = ""


HEALTHY: Final = Diagnosis()

_CAUSES: Final = {
    ForwardErrorCause.REFUSED: HopKind.PORT,
    ForwardErrorCause.RESET: HopKind.PORT,
    ForwardErrorCause.SANDBOX_GONE: HopKind.RUNTIME,
    ForwardErrorCause.POD_GONE: HopKind.POD,
    ForwardErrorCause.NO_TARGET: HopKind.POD,
    ForwardErrorCause.PORT_TAKEN: HopKind.LOCAL,
    ForwardErrorCause.PRIVILEGED: HopKind.LOCAL,
}

# Words of the API server, the kubelet and the runtime, see `engine.dial`. The first that fits.
_WORDS: Final = (
    (re.compile(r"no preferred addresses found"), HopKind.KUBELET),
    (re.compile(r"does not have a host assigned"), HopKind.POD),
    (
        re.compile(r"pod does not exist|pod not found|container not running|^pods? \"[^\"]*\" not"),
        HopKind.POD,
    ),
    (re.compile(r"rpc error: code =|[Ss]andbox"), HopKind.RUNTIME),
)
_DIALLING: Final = re.compile(
    r"^.*?error dialing backend: (?:dial tcp (?P<host>\S+):(?P<port>\d+))?"
)
_KUBELET_PORT: Final = 10250
# `catalog.ports` says so, of a port that no pod can help with.
_PORT_PROBLEM: Final = re.compile(
    r"has no port |leads to a port named |is no port number|which Kubernetes cannot forward"
)
_UNAVAILABLE: Final = re.compile(r"rpc error: code = (?:Unavailable|DeadlineExceeded)")
_NO_ANSWER: Final = "did not answer the upgrade request"


def diagnose(
    forward: Forward,
    obstacle: NotReadyCause,
    known: ClusterFacts,
    refusal: ForwardError | None = None,
) -> Diagnosis:
    """Which station is broken.

    Args:
        forward: The forward as it stands.
        obstacle: What keeps it from being ready.
        known: What the API server tells.
        refusal: Why the application refused the latest connection; see `latest_refusal`.
    """
    if forward.state is ForwardState.READY:
        if refusal is None:
            return HEALTHY
        return Diagnosis(HopKind.PORT, refusal.message, refusal.hint)
    if forward.state is ForwardState.STOPPED:
        return HEALTHY
    if _is_local(forward, obstacle):
        hop, error, hint = HopKind.LOCAL, forward.reason, forward.hint
    elif isinstance(obstacle, Unresolved):
        hop, error, hint = _unresolved(forward, obstacle, known)
    elif obstacle is not None:
        hop = _station(obstacle, known)
        error, hint = _words(hop, obstacle, forward, known), obstacle.hint or forward.hint
    elif forward.blocked_by is not None:
        hop, error, hint = _BLOCKED[forward.blocked_by], forward.reason, forward.hint
    else:
        return HEALTHY
    if not error:
        return HEALTHY
    return Diagnosis(hop, error, hint or _hint(hop, error, forward, known))


def latest_refusal(forward: Forward, connections: Sequence[Connection]) -> ForwardError | None:
    """Why the application refused, if the latest connection it had a say in was refused.

    Args:
        forward: The forward.
        connections: Its connections, oldest first.
    """
    if forward.remote_port is None:
        return None
    refusal = PortForwardFailure(
        cause=ForwardErrorCause.REFUSED, text="", port=forward.remote_port
    ).to_error()
    for connection in reversed(connections):
        if connection.failed and connection.close_reason == refusal.message:
            return refusal
        ended = connection.state is ConnectionState.CLOSED and not connection.failed
        if ended or connection.first_byte_s is not None:
            return None
    return None


_BLOCKED: Final = {
    BlockedBy.CREDENTIALS: HopKind.API,
    BlockedBy.FORBIDDEN: HopKind.API,
    BlockedBy.CONFIG: HopKind.API,
    BlockedBy.PORT: HopKind.LOCAL,
    BlockedBy.TARGET: HopKind.POD,
}


def _is_local(forward: Forward, obstacle: NotReadyCause) -> bool:
    if forward.blocked_by is BlockedBy.PORT:
        return True
    # Addresses that this machine does not have are CONFIG, as a bad kubeconfig is.
    return (
        forward.blocked_by is BlockedBy.CONFIG
        and not forward.listening
        and not isinstance(obstacle, TuiForwardError)
        and not (isinstance(obstacle, Unresolved) and obstacle.blocked_by is BlockedBy.CONFIG)
    )


def _unresolved(
    forward: Forward, obstacle: Unresolved, known: ClusterFacts
) -> tuple[HopKind, str, str]:
    """There is no pod: for want of one, or of an answer."""
    reason, hint = obstacle.reason, obstacle.hint or forward.hint
    by = obstacle.blocked_by
    if by in (BlockedBy.CREDENTIALS, BlockedBy.CONFIG, BlockedBy.FORBIDDEN):
        return HopKind.API, reason, hint
    if by is BlockedBy.TARGET:
        return (HopKind.PORT if _PORT_PROBLEM.search(reason) else HopKind.POD), reason, hint
    health = known.health
    if health is not None and health.ok is False:
        return HopKind.API, health.error or reason, health.hint or hint
    if known.server and known.server in reason:
        return HopKind.API, reason, hint  # its words about a list or a watch
    node = known.node
    if node is not None and node.ready is False:
        text = f"node {node.name} is NotReady"
        return HopKind.KUBELET, f"{text}: {node.trouble}" if node.trouble else text, ""
    if obstacle.is_loading:
        return HopKind.POD, "", ""  # nothing is wrong yet
    return HopKind.POD, reason, hint


def _station(error: TuiForwardError, known: ClusterFacts) -> HopKind:
    """Where an error arose."""
    if isinstance(error, ForwardError) and error.cause in _CAUSES:
        return _CAUSES[error.cause]
    if isinstance(error, AuthError | ConfigError | ProtocolError):
        return HopKind.API
    if isinstance(error, ApiError) and error.status in (401, 403):
        return HopKind.API
    if dialled := _DIALLING.search(error.message):
        return _dialled(dialled, known.node)
    for words, hop in _WORDS:
        if words.search(error.message):
            return hop
    cause = parse_failure(error.message, 0).cause
    if cause in (ForwardErrorCause.SANDBOX_GONE, ForwardErrorCause.POD_GONE):
        return _CAUSES[cause]
    if isinstance(error, ApiError):
        return _station_of_status(error)
    if isinstance(error, TransportError):
        healthy = known.health is not None and known.health.ok is True
        # It answers others: what it waits for itself is the node.
        return HopKind.KUBELET if healthy and _NO_ANSWER in error.message else HopKind.API
    if isinstance(error, ForwardError):
        return HopKind.API
    return HopKind.LOCAL  # the program itself


def _dialled(words: re.Match[str], node: NodeDetails | None) -> HopKind:
    """The API server dials the kubelet, and with the same words the kubelet the runtime."""
    host, port = words["host"], words["port"]
    if not host or int(port) == ((node.port if node is not None else 0) or _KUBELET_PORT):
        return HopKind.KUBELET
    # A runtime streams to its own node only, by default.
    here = host.startswith("127.") or host in ("localhost", "[::1]")
    return HopKind.RUNTIME if here else HopKind.KUBELET


def _station_of_status(error: ApiError) -> HopKind:
    if error.not_found:
        return HopKind.POD if error.reason else HopKind.API
    if error.status == 429 and not error.reason:
        return HopKind.RUNTIME  # too many streams are being set up there
    # The API server signs its errors with a reason; the kubelet's it hands on as they are.
    return HopKind.KUBELET if error.status == 500 and not error.reason else HopKind.API


def _words(hop: HopKind, error: TuiForwardError, forward: Forward, known: ClusterFacts) -> str:
    if forward.state is ForwardState.BLOCKED:
        return forward.reason  # names verb and resource
    text = " ".join(error.message.split()).rstrip(".")
    _, dialled, refused = text.partition("error dialing backend: ")
    if hop is HopKind.KUBELET:
        node = _node_of(forward, known)
        where = f"the kubelet of {node}" if node else "the node's kubelet"
        if dialled:
            return f"the API server cannot reach {where}: {refused}"
        if _NO_ANSWER in text:
            return f"the API server answers, but nothing comes from {where}: {text}"
        return f"{where} answered: {text}"
    if hop is HopKind.RUNTIME and (dialled or _UNAVAILABLE.search(text)):
        return f"the kubelet cannot reach the container runtime: {refused or text}"
    return text


def _node_of(forward: Forward, known: ClusterFacts) -> str:
    if known.node is not None:
        return known.node.name
    return forward.pod.node if forward.pod is not None else ""


def _hint(hop: HopKind, error: str, forward: Forward, known: ClusterFacts) -> str:
    """What to do about a station, where nobody has said it."""
    node = _node_of(forward, known)
    pod = "POD"
    if known.pod is not None:
        pod = known.pod.pod.name
    elif forward.pod is not None:
        pod = forward.pod.name
    named = f"-n {forward.spec.target.namespace} {pod}"
    match hop:
        case HopKind.LOCAL:
            return "Choose another local port or address, or end what holds it"
        case HopKind.API:
            return "Check the network and VPN, and `server` in the kubeconfig; it is tried again"
        case HopKind.KUBELET:
            return f"Look at the node: kubectl describe node {node or 'NODE'}; it is tried again"
        case HopKind.RUNTIME if "sandbox" in error:
            return f"A new pod gets a new sandbox: kubectl delete pod {named}"
        case HopKind.RUNTIME:
            return f"Check that the container runtime runs on {node or 'the node'}"
        case HopKind.POD:
            return f"Look at its events: kubectl describe pod {named}"
        case HopKind.PORT:
            return "Check which port the container listens on"
