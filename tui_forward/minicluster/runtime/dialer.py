"""From a forwarded connection to a socket in the pod, or to the reason why not.

The texts are containerd's and dockershim's, with the operating system's words as Go
writes them: kubectl and people compare them with what they know.
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

from tui_forward.minicluster.runtime import netns
from tui_forward.minicluster.runtime import shim_protocol as shim_protocol
from tui_forward.minicluster.runtime.config import DialMode, RuntimeBehavior
from tui_forward.minicluster.runtime.shim_client import ShimClient
from tui_forward.protocol.error_stream import (
    containerd_copy_error,
    containerd_dial_error,
    containerd_sandbox_closed,
    containerd_sandbox_missing,
    crio_dial_error,
    dockershim_exit_error,
)

_CONNECT_S = 30.0
_UNDER_WAY = (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK)
_BROKEN = (errno.ECONNRESET, errno.EPIPE)


class DialError(Exception):
    """The application was not reached.

    Args:
        cause: Text behind `error forwarding port … : `.
        dialled: Whether a dial was attempted, which changes what goes over the wire first.
        broken: The connection was reset while it was made.
    """

    def __init__(self, cause: str, *, dialled: bool, broken: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.dialled = dialled
        self.broken = broken


def go_errno(number: int) -> str:
    """An error of the system in Go's words, which are those of the C library in lower case."""
    text = os.strerror(number)
    return text[:1].lower() + text[1:]


@dataclass(slots=True)
class DialedConnection:
    """A way to the application.

    Attributes:
        sock: Connected to the application, or to the helper that is.
        label: The pod's network namespace, as texts call it.
        helper: The process in between, if any.
    """

    sock: socket.socket
    label: str
    helper: asyncio.subprocess.Process | None = None

    def copy_error(self, operation: str, error: OSError, names: tuple[str, str]) -> str:
        """The cause containerd gives when copying broke; `operation` is "read" or "write"."""
        ours, theirs = names
        text = f"{operation} tcp4 {ours}->{theirs}: {operation}: {go_errno(error.errno or 0)}"
        if operation == "write":
            text = f"readfrom tcp4 {ours}->{theirs}: {text}"
        return containerd_copy_error(self.label, text)


class Dialer:
    """Dials applications in pods.

    Args:
        client: Knows the sandboxes.
        driver: Directly, or through a helper process.
        switches: Looked at anew for every dial.
    """

    def __init__(self, client: ShimClient, driver: DialMode, switches: RuntimeBehavior) -> None:
        self._client = client
        self._driver = driver
        self._switches = switches
        self._door = netns.NamespaceSwitcher() if sys.platform == "linux" else None
        # What Go's resolver would say of "localhost" on this node.
        self._ipv6 = _localhost_has_ipv6()
        self.crio_texts = False

    def close(self) -> None:
        """Give up what dialling into namespaces needs."""
        if self._door is not None:
            self._door.close()

    def network_of(self, sandbox_id: str) -> shim_protocol.Sandbox:
        """The sandbox, if it still has a network.

        Raises:
            DialError: It has not.
        """
        sandbox = self._client.sandboxes.get(sandbox_id)
        if sandbox is None:
            raise DialError(containerd_sandbox_missing(sandbox_id), dialled=False)
        if not sandbox.ready:
            raise DialError(containerd_sandbox_closed(sandbox_id), dialled=False)
        return sandbox

    async def dial(self, sandbox_id: str, port: int) -> DialedConnection:
        """Connect to `port` in the pod.

        Raises:
            DialError: There is nothing to connect to, or no pod.
        """
        if self._switches.dial_delay_s > 0:
            await asyncio.sleep(self._switches.dial_delay_s)
        sandbox = self.network_of(sandbox_id)
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
        raise self._refusal(sandbox, label, port, errors)

    def _open(
        self, sandbox: shim_protocol.Sandbox, family: socket.AddressFamily, port: int
    ) -> tuple[socket.socket, shim_protocol.Address]:
        """A socket on the pod's network, and where in it the port is.

        Raises:
            OSError: There is no such port, in the form a failed connect would have.
        """
        if self._switches.refuse:
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        address: shim_protocol.Address
        if sandbox.network is shim_protocol.NetworkKind.NETNS and self._door is not None:
            address = ("127.0.0.1" if family == socket.AF_INET else "::1", port)
            namespace = os.open(sandbox.netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                with self._door.inside(namespace):
                    sock = socket.socket(family, socket.SOCK_STREAM)
            finally:
                os.close(namespace)
        else:
            found = self._mapped(sandbox, port) if family == socket.AF_INET else None
            if found is None:
                raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            address = found
            sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock, address

    def _mapped(self, sandbox: shim_protocol.Sandbox, port: int) -> shim_protocol.Address | None:
        for container in self._client.containers.values():
            if container.sandbox_id == sandbox.id and port in container.listening:
                return container.listening[port]
        return None

    async def _connect(
        self, sandbox: shim_protocol.Sandbox, family: socket.AddressFamily, port: int
    ) -> socket.socket:
        sock, address = self._open(sandbox, family, port)
        try:
            number = sock.connect_ex(address)
            if number in _UNDER_WAY:
                # On loopback the answer is there already, and asking costs less than waiting.
                number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not number and sock.connect_ex(address) in _UNDER_WAY:
                    async with asyncio.timeout(_CONNECT_S):
                        await _writable(sock)
                    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number))
        except TimeoutError:
            sock.close()
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
        except BaseException:
            sock.close()
            raise
        return sock

    def _refusal(
        self, sandbox: shim_protocol.Sandbox, label: str, port: int, errors: list[OSError | None]
    ) -> DialError:
        words = []
        for error, (network, address) in zip(
            errors, (("tcp4", f"127.0.0.1:{port}"), ("tcp6", f"[::1]:{port}")), strict=True
        ):
            if error is None:
                words.append("dial tcp6: address localhost: no suitable address found")
            else:
                reason = go_errno(error.errno or errno.ECONNREFUSED)
                words.append(f"dial {network} {address}: connect: {reason}")
        broken = errors[0] is not None and errors[0].errno in _BROKEN
        if self.crio_texts:
            cause = crio_dial_error(port, label, sandbox.id, words[0].replace("tcp4", "tcp", 1))
        else:
            cause = containerd_dial_error(port, label, sandbox.id, words[0], words[1])
        return DialError(cause, dialled=True, broken=broken)

    # -- through a helper, as dockershim did --

    async def _dial_helper(self, sandbox: shim_protocol.Sandbox, port: int) -> DialedConnection:
        running = [
            container
            for container in self._client.containers.values()
            if container.sandbox_id == sandbox.id and container.running
        ]
        if not running:
            raise DialError(f"container not running ({sandbox.id})", dialled=False)
        socat = shutil.which("socat")
        if socat is None:
            raise DialError("unable to do port forwarding: socat not found.", dialled=False)
        command = [socat, "-"]
        if sandbox.network is shim_protocol.NetworkKind.NETNS:
            nsenter = shutil.which("nsenter")
            if nsenter is None:
                raise DialError("unable to do port forwarding: nsenter not found.", dialled=False)
            command = [nsenter, "-t", str(running[0].pid), "-n", *command]
            command.append(f"TCP4:localhost:{port}")
        else:
            host, real = self._mapped(sandbox, port) or (sandbox.host, port)
            command.append(f"TCP4:{host}:{real}")
        ours, theirs = socket.socketpair()
        with theirs:
            helper = await asyncio.create_subprocess_exec(
                *command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        ours.setblocking(False)
        return DialedConnection(ours, sandbox.label, helper)


async def helper_failure(helper: asyncio.subprocess.Process) -> str:
    """Wait for a helper's end; the cause dockershim gives, empty after a good end."""
    stderr = await helper.stderr.read() if helper.stderr is not None else b""
    status = await helper.wait()
    if status == 0:
        return ""
    if status < 0:
        name = signal.Signals(-status).name.removeprefix("SIG").lower()
        return f"signal: {name}: {stderr.decode(errors='replace')}"
    return dockershim_exit_error(stderr.decode(errors="replace"), status=status)


def end_helper(helper: asyncio.subprocess.Process) -> None:
    """Have a helper end now."""
    with contextlib.suppress(ProcessLookupError):
        helper.kill()


async def _writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    loop.add_writer(sock, wake)
    try:
        await waiter
    finally:
        loop.remove_writer(sock)


def _localhost_has_ipv6() -> bool:
    try:
        return bool(socket.getaddrinfo("localhost", 1, socket.AF_INET6, socket.SOCK_STREAM))
    except OSError:
        return False
