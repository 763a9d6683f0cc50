"""Texts of the error stream, read into causes, and the same texts written by a server.

The wording is that of the runtimes: containerd (`sandbox_portforward_linux.go`), CRI-O,
dockershim (`docker_streaming_others.go`), and of the streaming server of the CRI, which
puts `error forwarding port <port> to pod <sandbox>, uid : ` in front.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tui_forward.errors import ForwardError, ForwardErrorCause

MAX_ERROR_TEXT_BYTES: Final = 16 * 1024
"""How much of an error text is kept; real ones have half a kibibyte."""

_PREFIX: Final = re.compile(
    r"error forwarding port (?P<port>\d+) to pod (?P<sandbox>[^,]*), uid ?:? ?(?P<uid>[^:]*): "
)


@dataclass(frozen=True, slots=True)
class PortForwardFailure:
    """Why one forwarded connection failed.

    Attributes:
        cause: What kind of trouble it is.
        text: The other side's own words, whole; or ours if it gave none.
        port: The port in the pod.
        tunnel_lost: The whole tunnel ended, not just this connection.
        undelivered: The application has surely seen nothing of what was sent.
    """

    cause: ForwardErrorCause
    text: str
    port: int
    tunnel_lost: bool = False
    undelivered: bool = False

    @property
    def summary(self) -> str:
        """A few words for a person."""
        words = _WORDS.get(self.cause)
        return words.format(port=self.port) if words and not self.tunnel_lost else self.text

    def to_error(self) -> ForwardError:
        """The same as an exception."""
        hint = _HINTS.get(self.cause, "")
        return ForwardError(self.summary, cause=self.cause, hint=hint)


_WORDS: Final = {
    ForwardErrorCause.REFUSED: "nothing listens on port {port} in the pod",
    ForwardErrorCause.RESET: "the application reset the connection on port {port}",
    ForwardErrorCause.SANDBOX_GONE: "the pod's sandbox no longer exists",
    ForwardErrorCause.POD_GONE: "the pod does not run any more",
}

_HINTS: Final = {
    ForwardErrorCause.REFUSED: "Check which port the container listens on, "
    "and that it listens on localhost or all addresses",
    ForwardErrorCause.RESET: "Look at the log of the container",
}

# In this order: a sandbox error may quote a dial error, never the other way round. One
# dial error in front of another (IPv4, IPv6) counts: the second is often "no suitable
# address found", which says nothing.
_CAUSES: Final = (
    (
        ForwardErrorCause.SANDBOX_GONE,
        re.compile(
            r'network namespace for sandbox ".*" is closed'
            r'|failed to find sandbox ".*" in store'
            r"|sandbox container .* is not running"
            r"|cannot enter network namespace|failed to Statfs|no such network namespace",
        ),
    ),
    (
        ForwardErrorCause.POD_GONE,
        re.compile(r"container not running \(|pod does not exist|pod not found"),
    ),
    (ForwardErrorCause.REFUSED, re.compile(r"connection refused", re.IGNORECASE)),
    (
        ForwardErrorCause.RESET,
        re.compile(r"connection reset by peer|broken pipe|forcibly closed", re.IGNORECASE),
    ),
    (
        ForwardErrorCause.TIMEOUT,
        re.compile(
            r"timed out waiting for streams|i/o timeout|connection timed out|Timeout occurred",
            re.IGNORECASE,
        ),
    ),
)


def parse_failure(text: bytes | str, port: int) -> PortForwardFailure:
    """Read what a server wrote on an error stream (or a legacy error channel).

    Args:
        text: The whole text.
        port: The port that was asked for; a text that names one is believed over it.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text.strip()
    match = _PREFIX.match(text)
    if match is not None:
        port = int(match["port"][:6])
    for cause, pattern in _CAUSES:
        if pattern.search(text):
            return PortForwardFailure(cause=cause, text=text, port=port)
    return PortForwardFailure(cause=ForwardErrorCause.OTHER, text=text, port=port)


def forwarding_error(port: int, sandbox_id: str, cause: str) -> str:
    """What a streaming server writes on the error stream; the uid is always empty."""
    return f"error forwarding port {port} to pod {sandbox_id}, uid : {cause}"


def containerd_dial_error(port: int, netns_path: str, netns: str, ipv4: str, ipv6: str) -> str:
    """The cause containerd gives when neither address could be dialled, trailing blank included."""
    return (
        f'failed to execute portforward in network namespace "{netns_path}": '
        f'failed to connect to localhost:{port} inside namespace "{netns}", '
        f"IPv4: {ipv4} IPv6 {ipv6} "
    )


def containerd_copy_error(netns_path: str, error: str) -> str:
    """The cause containerd gives when the connection broke later (`read tcp4 …: …`)."""
    return f'failed to execute portforward in network namespace "{netns_path}": {error}'


def containerd_sandbox_closed(sandbox_id: str) -> str:
    """The cause containerd gives once the sandbox was stopped."""
    return f'network namespace for sandbox "{sandbox_id}" is closed'


def containerd_sandbox_missing(sandbox_id: str) -> str:
    """The cause containerd gives once the sandbox was removed."""
    return f'failed to find sandbox "{sandbox_id}" in store: not found'


def crio_dial_error(port: int, netns_path: str, netns: str, error: str) -> str:
    """The cause CRI-O gives when the port could not be dialled."""
    return (
        f'port forward into network namespace "{netns_path}": '
        f"failed to connect to localhost:{port} inside namespace {netns}: {error}"
    )


def dockershim_exit_error(stderr: str, *, status: int = 1) -> str:
    """The cause dockershim gives when socat failed."""
    return f"exit status {status}: {stderr}"
