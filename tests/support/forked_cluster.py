"""The fork server of an embedded cluster as a fork of its supervisor.

The supervisor is itself a fork of a template, which has imported what both need.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from typing import IO, NoReturn


class _Server:
    """The process of a fork server."""

    def __init__(self, pid: int) -> None:
        self._exit = asyncio.ensure_future(asyncio.to_thread(os.waitpid, pid, 0))

    async def wait(self) -> int:
        """Wait for its exit and return its code."""
        _, status = await asyncio.shield(self._exit)
        return os.waitstatus_to_exitcode(status)


async def start_server(
    stderr: IO[bytes], environment: Mapping[str, str]
) -> tuple[_Server, socket.socket]:
    """Do what `fork_server_client.start_server` does."""
    client, for_server = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            client.close()
            _serve(for_server, stderr, environment)
        finally:
            os._exit(1)
    for_server.close()
    return _Server(pid), client


def _serve(sock: socket.socket, stderr: IO[bytes], environment: Mapping[str, str]) -> NoReturn:
    """Run the fork server, and in its forks a component.

    The descriptors of the supervisor's event loop stay open: libuv closes some in each fork.
    """
    from tui_forward.minicluster import fork_server  # the template has imported it

    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(os.devnull, "r+b", buffering=0) as null:  # noqa: PTH123
        for number, file in enumerate((null, null, stderr)):
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["fork_server", "--socket", str(sock.detach())]
    exit_at_once(fork_server.main())


def exit_at_once(code: int) -> NoReturn:
    """Exit like Python, but leave all modules: to free them copies the memory of the template."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
