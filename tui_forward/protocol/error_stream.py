"""Texts of the error stream, parsed into reason codes, and written for a server.

The wording is that of the runtimes: containerd (`sandbox_portforward_linux.go`), CRI-O,
dockershim (`docker_streaming_others.go`), and of the streaming server of the CRI, which
puts `error forwarding port <port> to pod <sandbox>, uid : ` in front.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tui_forward.errors import ForwardError
from tui_forward.model import Reason, ReasonCode
from tui_forward.reasons import reason_text

MAX_ERROR_TEXT_BYTES: Final = 16 * 1024
"""Limit of a stored error text; real ones have about 512 bytes."""

_PREFIX: Final = re.compile(
    r"error forwarding port (?P<port>\d+) to pod (?P<sandbox>[^,]*), uid ?:? ?(?P<uid>[^:]*): "
)


# The resolver of the node has no ::1 for localhost, so that nothing was tried there.
_ONLY_IPV4: Final = re.compile(
    r"IPv4: dial tcp4 (?P<address>[0-9.]+:\d+): .*"
    r"IPv6:? dial tcp6: address localhost: no suitable address found",
    re.DOTALL,
)
_HOST_NETWORK: Final = 'in network namespace "host"'


class PortForwardFailure(msgspec.Struct, frozen=True):
    """Why one forwarded connection failed."""

    code: ReasonCode  # `TUNNEL_LOST` if the whole tunnel ended
    port: int  # the port in the pod
    text: str = ""  # of the server, unabridged; empty if it sent none
    undelivered: bool = False  # the application has certainly received nothing
    cause: Reason | None = None  # why the tunnel was lost, if it was
    status: str = ""  # of an RST_STREAM, if there was one
    address: str = ""  # the only address that was dialed, where that is known
    network: str = ""  # "host" if the pod uses the network of its node

    @property
    def tunnel_lost(self) -> bool:
        """Whether the whole tunnel ended."""
        return self.code is ReasonCode.TUNNEL_LOST

    @property
    def reason(self) -> Reason:
        """Code and parameters."""
        return Reason(
            code=self.code,
            port=str(self.port),
            detail=self.text,
            cause=self.cause,
            status=self.status,
            address=self.address,
            network=self.network,
        )

    @property
    def summary(self) -> str:
        """One sentence for users."""
        return reason_text(self.reason)

    def to_error(self) -> ForwardError:
        """Return the same as an exception."""
        return ForwardError(self.reason)


# In this order: a sandbox error may quote a dial error, never the other way round. A text may
# have a dial error for each of IPv4 and IPv6. "Connection refused" comes last, since it says the
# least: an application that listens on one address refuses the other one.
_CODES: Final = (
    (
        ReasonCode.RUNTIME_SANDBOX_GONE,
        re.compile(
            r'network namespace for sandbox ".*" is closed'
            r'|failed to find sandbox ".*" in store'
            r"|sandbox container (?:\S+ )?is not running"
            r"|cannot enter network namespace|failed to Statfs|no such network namespace"
        ),
    ),
    (
        ReasonCode.POD_NOT_RUNNING,
        re.compile(r"container not running \(|pod does not exist|pod not found"),
    ),
    (
        ReasonCode.PORT_RESET,
        re.compile(r"connection reset by peer|broken pipe|forcibly closed", re.IGNORECASE),
    ),
    (
        ReasonCode.CONNECTION_TIMEOUT,
        re.compile(
            r"timed out waiting for streams|i/o timeout|connection timed out|Timeout occurred",
            re.IGNORECASE,
        ),
    ),
    (ReasonCode.PORT_REFUSED, re.compile(r"connection refused", re.IGNORECASE)),
)


def parse_failure(text: bytes | str, port: int) -> PortForwardFailure:
    """Parse the whole text of an error stream (or a legacy error channel).

    A port named in the text takes precedence over `port`, the requested one.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text.strip()
    match = _PREFIX.match(text)
    if match is not None:
        port = int(match["port"][:6])
    only_ipv4 = _ONLY_IPV4.search(text)
    return PortForwardFailure(
        code=find_code(text) or ReasonCode.CONNECTION_FAILED,
        port=port,
        text=text,
        address=only_ipv4["address"] if only_ipv4 is not None else "",
        network="host" if _HOST_NETWORK in text else "",
    )


def find_code(text: str) -> ReasonCode | None:
    """Return what a text of a runtime or kubelet reports; None if it is unknown."""
    return next((code for code, pattern in _CODES if pattern.search(text)), None)


def forwarding_error(port: int, sandbox_id: str, cause: str) -> str:
    """Return the text a streaming server writes on the error stream; the uid is always empty."""
    return f"error forwarding port {port} to pod {sandbox_id}, uid : {cause}"


def containerd_dial_error(port: int, netns_path: str, netns: str, ipv4: str, ipv6: str) -> str:
    """Return containerd's cause if neither address could be dialed, with its trailing blank."""
    return (
        f'failed to execute portforward in network namespace "{netns_path}": '
        f'failed to connect to localhost:{port} inside namespace "{netns}", '
        f"IPv4: {ipv4} IPv6 {ipv6} "
    )


def containerd_copy_error(netns_path: str, error: str) -> str:
    """Return containerd's cause if the connection broke later (`read tcp4 …: …`)."""
    return f'failed to execute portforward in network namespace "{netns_path}": {error}'


def containerd_sandbox_closed(sandbox_id: str) -> str:
    """Return containerd's cause after the sandbox was stopped."""
    return f'network namespace for sandbox "{sandbox_id}" is closed'


def containerd_sandbox_missing(sandbox_id: str) -> str:
    """Return containerd's cause after the sandbox was removed."""
    return f'failed to find sandbox "{sandbox_id}" in store: not found'


def crio_dial_error(port: int, netns_path: str, netns: str, error: str) -> str:
    """Return CRI-O's cause if the port could not be dialed."""
    return (
        f'port forward into network namespace "{netns_path}": '
        f"failed to connect to localhost:{port} inside namespace {netns}: {error}"
    )


def dockershim_exit_error(stderr: str, *, status: int = 1) -> str:
    """Return dockershim's cause if socat failed."""
    return f"exit status {status}: {stderr}"
