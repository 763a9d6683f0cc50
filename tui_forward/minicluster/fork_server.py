"""The process that imports what components need once, and forks them from itself.

A component then starts with a fork instead of imports for a third of a second, and shares the
memory of all imported modules with the others. `python -m tui_forward.minicluster.fork_server
--socket DESCRIPTOR` is started by the supervisor, whose other end of the socket is
`fork_server_client`. It ends when that end is closed.

One thread, one selector, no asyncio, no channel or server of gRPC: only then is a fork safe.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from tui_forward.minicluster import control_plane
from tui_forward.minicluster.fork_server_protocol import (
    MAX_MESSAGE_SIZE,
    Exited,
    Forked,
    ForkRequest,
    encode,
)
from tui_forward.minicluster.kubelet import __main__ as kubelet
from tui_forward.minicluster.process_lifecycle import loop_factory, set_process_name
from tui_forward.minicluster.runtime import __main__ as runtime

COMPONENTS: Final[dict[str, Callable[[], int]]] = {
    "apiserver": control_plane.main,
    "kubelet": kubelet.main,
    "runtime": runtime.main,
}

_STANDARD_STREAMS = 3


class ForkServer:
    """Forks components on request and reports their exits."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._wakeup, self._wakeup_writer = socket.socketpair()
        self._wakeup.setblocking(False)
        self._wakeup_writer.setblocking(False)

    def run(self) -> ForkRequest | None:
        """Serve until the supervisor closes the socket, then return None.

        Returns in each forked process, too: the request, with its files as the standard streams.
        """
        signal.set_wakeup_fd(self._wakeup_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        gc.collect()
        gc.freeze()  # a collection in a component would copy the pages of all these objects
        with selectors.DefaultSelector() as selector:
            selector.register(self._wakeup, selectors.EVENT_READ)
            selector.register(self._socket, selectors.EVENT_READ)
            while True:
                readable = {key.fileobj for key, _ in selector.select()}
                if self._wakeup in readable:
                    with contextlib.suppress(BlockingIOError):
                        self._wakeup.recv(MAX_MESSAGE_SIZE)
                    self._report_exits()
                if self._socket in readable:
                    line, descriptors, *_ = socket.recv_fds(
                        self._socket, MAX_MESSAGE_SIZE, _STANDARD_STREAMS
                    )
                    if not line:
                        return None
                    request = msgspec.json.decode(line, type=ForkRequest)
                    if self._fork(descriptors):
                        return request

    def _fork(self, descriptors: list[int]) -> bool:
        """Fork; return True in the new process."""
        pid = os.fork()
        if pid == 0:
            os.setsid()  # signals of a terminal must reach the supervisor only
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            for sock in (self._socket, self._wakeup, self._wakeup_writer):
                sock.close()
        for descriptor in descriptors:
            os.close(descriptor)
        if pid:
            self._send(Forked(pid))
        return pid == 0

    def _report_exits(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                self._send(Exited(pid, os.waitstatus_to_exitcode(status)))

    def _send(self, message: msgspec.Struct) -> None:
        with contextlib.suppress(BrokenPipeError):  # the supervisor has ended
            self._socket.sendall(encode(message))


def main() -> int:
    """Run the fork server, and in forked processes their component; return the exit code."""
    parser = argparse.ArgumentParser(prog="tui_forward.minicluster.fork_server")
    parser.add_argument("--socket", required=True, type=int, metavar="DESCRIPTOR")
    set_process_name("fork-server")
    loop_factory()  # imports uvloop
    request = ForkServer(socket.socket(fileno=parser.parse_args().socket)).run()
    if request is None:
        return 0
    set_process_name(request.name)
    sys.argv[1:] = ["--config", request.config]
    return COMPONENTS[request.component]()


if __name__ == "__main__":
    sys.exit(main())
