"""Dialing of applications in pods.

Error texts are those of containerd and dockershim, with system errors as Go prints them:
clients and users compare them with those of real runtimes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import socket
import sys
from dataclasses import dataclass

from tui_forward.minicluster.runtime import netns, shim_protocol
from tui_forward.minicluster.runtime.config import DialMode, RuntimeBehavior
from tui_forward.minicluster.runtime.shim_client import ShimClient
from tui_forward.minicluster.socket_connection import wait_ready
from tui_forward.protocol.error_stream import (
    containerd_copy_error,
    containerd_dial_error,
    containerd_sandbox_closed,
    containerd_sandbox_missing,
    crio_dial_error,
    dockershim_exit_error,
)

_CONNECT_TIMEOUT_S = 30.0
_IN_PROGRESS = (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK)
_BROKEN = (errno.ECONNRESET, errno.EPIPE)


class DialError(Exception):
    """The dial failed; `cause` follows `error forwarding port … : `.

    If a dial was attempted (`dialed`), FIN on data precedes the text. `broken`: it was reset.
    """

    def __init__(self, cause: str, *, dialed: bool, broken: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.dialed = dialed
        self.broken = broken


def go_errno(number: int) -> str:
    """Return the text of a system error in Go, which is that of the C library in lower case."""
    text = os.strerror(number)
    return text[:1].lower() + text[1:]


@dataclass(slots=True)
class DialedConnection:
    """A connection to an application."""

    sock: socket.socket
    label: str  # name of the pod's network namespace in error texts
    helper: asyncio.subprocess.Process | None = None

    def copy_error(self, operation: str, error: OSError, names: tuple[str, str]) -> str:
        """Return containerd's cause for a failed copy; `operation` is "read" or "write"."""
        local, remote = names
        text = f"{operation} tcp4 {local}->{remote}: {operation}: {go_errno(error.errno or 0)}"
        if operation == "write":
            text = f"readfrom tcp4 {local}->{remote}: {text}"
        return containerd_copy_error(self.label, text)


class Dialer:
    """Dials applications in pods."""

    def __init__(self, shim: ShimClient, driver: DialMode, behavior: RuntimeBehavior) -> None:
        self._shim = shim
        self._driver = driver
        self._behavior = behavior
        self._switcher = netns.NamespaceSwitcher() if sys.platform == "linux" else None
        # Go's resolver looks up "localhost" on the node.
        self._ipv6 = _localhost_has_ipv6()

    def close(self) -> None:
        """Release the namespace switcher."""
        if self._switcher is not None:
            self._switcher.close()

    def _ready_sandbox(self, sandbox_id: str) -> shim_protocol.Sandbox:
        """Return the sandbox. Raises `DialError`: it does not exist or has no network any more."""
        sandbox = self._shim.sandboxes.get(sandbox_id)
        if sandbox is None:
            raise DialError(containerd_sandbox_missing(sandbox_id), dialed=False)
        if not sandbox.ready:
            raise DialError(containerd_sandbox_closed(sandbox_id), dialed=False)
        return sandbox

    async def dial(self, sandbox_id: str, port: int) -> DialedConnection:
        """Connect to `port` in the pod. Raises `DialError`: it failed, or there is no such pod."""
        if self._behavior.dial_delay_s > 0:
            await asyncio.sleep(self._behavior.dial_delay_s)
        sandbox = self._ready_sandbox(sandbox_id)
        if self._driver is DialMode.RELAY:
            return await self._dial_helper(sandbox, port)
        label = sandbox.label or f"/var/run/netns/{sandbox.host}"
        errors: list[OSError | None] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                if family == socket.AF_INET6 and not self._ipv6:
                    errors.append(None)
                    continue
                sock = await self._connect(sandbox, family, port)
            except OSError as error:
                errors.append(error)
            else:
                return DialedConnection(sock, label)
        raise self._dial_error(sandbox, label, port, errors)

    def _open(
        self, sandbox: shim_protocol.Sandbox, family: socket.AddressFamily, port: int
    ) -> tuple[socket.socket, shim_protocol.Address]:
        """Return a socket in the pod's network and the address; fail like a connect."""
        if self._behavior.refuse:
            raise _os_error(errno.ECONNREFUSED)
        address: shim_protocol.Address
        if sandbox.network is shim_protocol.NetworkKind.NETNS and self._switcher is not None:
            address = ("127.0.0.1" if family == socket.AF_INET else "::1", port)
            namespace = os.open(sandbox.netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                with self._switcher.inside(namespace):
                    sock = socket.socket(family, socket.SOCK_STREAM)
            finally:
                os.close(namespace)
        else:
            mapped = self._mapped(sandbox, port) if family == socket.AF_INET else None
            if mapped is None:
                raise _os_error(errno.ECONNREFUSED)
            address = mapped
            sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock, address

    def _mapped(self, sandbox: shim_protocol.Sandbox, port: int) -> shim_protocol.Address | None:
        for container in self._shim.containers_of(sandbox.id):
            if port in container.listening:
                return container.listening[port]
        return None

    async def _connect(
        self, sandbox: shim_protocol.Sandbox, family: socket.AddressFamily, port: int
    ) -> socket.socket:
        sock, address = self._open(sandbox, family, port)
        loop = asyncio.get_running_loop()
        try:
            number = sock.connect_ex(address)
            if number in _IN_PROGRESS:
                # On loopback the result is usually there already; checking is cheaper than
                # waiting.
                number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not number and sock.connect_ex(address) in _IN_PROGRESS:
                    async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                        await wait_ready(sock, loop.add_writer, loop.remove_writer)
                    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise _os_error(number)
        except TimeoutError:
            sock.close()
            raise _os_error(errno.ETIMEDOUT) from None
        except BaseException:
            sock.close()
            raise
        return sock

    def _dial_error(
        self, sandbox: shim_protocol.Sandbox, label: str, port: int, errors: list[OSError | None]
    ) -> DialError:
        texts = []
        for error, (network, address) in zip(
            errors, (("tcp4", f"127.0.0.1:{port}"), ("tcp6", f"[::1]:{port}")), strict=True
        ):
            if error is None:
                texts.append("dial tcp6: address localhost: no suitable address found")
            else:
                reason = go_errno(error.errno or errno.ECONNREFUSED)
                texts.append(f"dial {network} {address}: connect: {reason}")
        broken = errors[0] is not None and errors[0].errno in _BROKEN
        if self._behavior.crio_texts:
            cause = crio_dial_error(port, label, sandbox.id, texts[0].replace("tcp4", "tcp", 1))
        else:
            cause = containerd_dial_error(port, label, sandbox.id, texts[0], texts[1])
        return DialError(cause, dialed=True, broken=broken)

    async def _dial_helper(self, sandbox: shim_protocol.Sandbox, port: int) -> DialedConnection:
        # Through `nsenter … socat`, as dockershim did.
        running = [each for each in self._shim.containers_of(sandbox.id) if each.running]
        if not running:
            raise DialError(f"container not running ({sandbox.id})", dialed=False)
        socat = shutil.which("socat")
        if socat is None:
            raise DialError("unable to do port forwarding: socat not found.", dialed=False)
        command = [socat, "-"]
        if sandbox.network is shim_protocol.NetworkKind.NETNS:
            nsenter = shutil.which("nsenter")
            if nsenter is None:
                raise DialError("unable to do port forwarding: nsenter not found.", dialed=False)
            command = [nsenter, "-t", str(running[0].pid), "-n", *command]
            command.append(f"TCP4:localhost:{port}")
        else:
            host, mapped_port = self._mapped(sandbox, port) or (sandbox.host, port)
            command.append(f"TCP4:{host}:{mapped_port}")
        sock, helper_sock = socket.socketpair()
        with helper_sock:
            helper = await asyncio.create_subprocess_exec(
                *command,
                stdin=helper_sock.fileno(),
                stdout=helper_sock.fileno(),
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        sock.setblocking(False)
        return DialedConnection(sock, sandbox.label, helper)


async def wait_for_helper(helper: asyncio.subprocess.Process) -> str:
    """Wait until a helper exits; return dockershim's cause, empty if it succeeded."""
    stderr = await helper.stderr.read() if helper.stderr is not None else b""
    status = await helper.wait()
    if status == 0:
        return ""
    if status < 0:
        name = signal.Signals(-status).name.removeprefix("SIG").lower()
        return f"signal: {name}: {stderr.decode(errors='replace')}"
    return dockershim_exit_error(stderr.decode(errors="replace"), status=status)


def kill_helper(helper: asyncio.subprocess.Process) -> None:
    """Kill a helper process."""
    with contextlib.suppress(ProcessLookupError):
        helper.kill()


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _localhost_has_ipv6() -> bool:
    try:
        return bool(socket.getaddrinfo("localhost", 1, socket.AF_INET6, socket.SOCK_STREAM))
    except OSError:
        return False
