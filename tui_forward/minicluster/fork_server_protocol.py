"""Messages between the supervisor and the fork server: JSON lines over a Unix socket."""

from __future__ import annotations

import msgspec

MAX_MESSAGE_SIZE = 65536  # bytes; all messages are far smaller


class ForkRequest(msgspec.Struct):
    """Start a component. Stdin, stdout and stderr of it come with the message, in this order."""

    name: str  # of the process, as `ps -o comm` shows it
    component: str  # one of `fork_server.COMPONENTS`
    config: str  # path of its configuration


class Forked(msgspec.Struct, tag=True):
    """A component was started; the only reply to a request."""

    pid: int


class Exited(msgspec.Struct, tag=True):
    """A component has exited."""

    pid: int
    code: int  # negative: the signal that ended it


FromServer = Forked | Exited


def encode(message: msgspec.Struct) -> bytes:
    """Return a message as a line."""
    return msgspec.json.encode(message) + b"\n"
