"""Settings of an application, its log, and the ports it serves."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping

from tui_forward.minicluster.runtime.apps.connection import AppConnection, ConnectionLog


class AppContext:
    """Arguments, environment and network of one container.

    An argument `--some-key=value` overrides `SOME_KEY` of the environment. `network` is a
    `shim_protocol.NetworkKind`; without a network namespace it listens on `host`.
    """

    def __init__(
        self, *, args: tuple[str, ...], env: Mapping[str, str], network: str, host: str
    ) -> None:
        self._settings = dict(env)
        for argument in args:
            key, separator, value = argument.partition("=")
            if separator and key.startswith("--"):
                self._settings[key[2:].replace("-", "_").upper()] = value
        self._network = network
        self._host = host
        self._status: int | None = None

    def get_setting(self, key: str, default: str = "") -> str:
        """Return a setting by its environment name."""
        return self._settings.get(key, default)

    def get_seconds(self, key: str, default: float) -> float:
        """Return a setting in seconds; `default` if it is not a number."""
        try:
            return float(self.get_setting(key, str(default)))
        except ValueError:
            return default

    def get_port(self, default: int) -> int:
        """Return the port to serve: `PORT`, else `default`."""
        try:
            return int(self.get_setting("PORT", str(default)))
        except ValueError:
            return default

    def log(self, text: str) -> None:
        """Write a line to the container's stdout."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def report_to(self, descriptor: int) -> None:
        """Report readiness and addresses of ports to the shim through `descriptor`."""
        self._status = descriptor

    def _report(self, line: str) -> None:
        if self._status is not None:
            with contextlib.suppress(OSError):
                os.write(self._status, line.encode() + b"\n")

    def report_ready(self) -> None:
        """Report that the application is ready, or as ready as it ever will be."""
        self._report("ready")

    def report_out_of_memory(self) -> None:
        """Report that the kernel is about to end the application because of its memory."""
        self._report("out-of-memory")

    def _listen_on_ipv6_loopback(self, port: int) -> socket.socket | None:
        """Return a socket on ::1; None where pods have no network of their own, or no IPv6."""
        if self._network != "netns":
            return None
        try:
            sock = socket.create_server(("::1", port), family=socket.AF_INET6, backlog=4096)
        except OSError as error:
            self.log(f"cannot listen on [::1]:{port}: {error}")
            return None
        sock.setblocking(False)
        return sock

    def listen(self, port: int) -> socket.socket:
        """Return a listening socket for the pod's port `port`. Raises `OSError`: it is taken."""
        if self._network == "netns":
            try:
                sock = socket.create_server(
                    ("", port), family=socket.AF_INET6, backlog=4096, dualstack_ipv6=True
                )
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                    raise
                sock = socket.create_server(("", port), backlog=4096)  # no IPv6
        elif self._network == "mapped":
            sock = socket.create_server((self._host, 0), backlog=4096)
        else:
            try:
                sock = socket.create_server((self._host, port), backlog=4096)
            except PermissionError:
                # A privileged port without privileges: the runtime maps the port.
                sock = socket.create_server((self._host, 0), backlog=4096)
        sock.setblocking(False)
        if self._network != "netns":
            host, mapped_port = sock.getsockname()[:2]
            self._report(f"{port} {host} {mapped_port}")
        return sock

    def serve(
        self,
        connections: ConnectionLog,
        port: int,
        handler: Callable[[AppConnection], Awaitable[None]],
        *,
        ipv6_only: bool = False,
    ) -> None:
        """Serve `port` from now on, one task per connection. Raises `OSError`: it is taken.

        `ipv6_only` serves on ::1 only, or nowhere if there is no such address.
        """
        listener = self._listen_on_ipv6_loopback(port) if ipv6_only else self.listen(port)
        if listener is None:
            return
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()

        def accept() -> None:
            # Accept a burst at once, bounded so that open connections are served too.
            for _ in range(256):
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                task = loop.create_task(
                    _handle(AppConnection(sock, connections.add(port)), handler)
                )
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        loop.add_reader(listener, accept)

    async def serve_forever(self) -> int:
        """Report that the application is ready, and serve until the process ends."""
        self.report_ready()
        await asyncio.get_running_loop().create_future()
        return 0


async def _handle(conn: AppConnection, handler: Callable[[AppConnection], Awaitable[None]]) -> None:
    try:
        await handler(conn)
    except OSError as error:
        conn.record.outcome = os.strerror(error.errno) if error.errno else str(error)
    except (ValueError, EOFError) as error:
        conn.record.outcome = str(error) or "end of file"
    finally:
        conn.close()
