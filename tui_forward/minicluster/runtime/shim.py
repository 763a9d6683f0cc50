"""The process that owns the pods of a node, as containerd's shims own real ones.

Forked from the first runtime process of a node, or started by it if an earlier shim was lost. It
survives the runtime, and ends, with every pod, when its owner ends or on request. It creates
network namespaces, forks containers from itself (the applications are already imported, so a pod
costs only a fork), writes their logs and keeps their exit codes.

One thread, one selector, no asyncio: a process that forks must be simple. Nothing here may fail
because of one pod, since that would end the others.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_forward.minicluster.process_lifecycle import process_exists, set_process_name
from tui_forward.minicluster.runtime import shim_protocol
from tui_forward.minicluster.runtime.apps.context import AppContext
from tui_forward.minicluster.runtime.container_processes import ContainerProcesses
from tui_forward.minicluster.runtime.netns import SandboxNetworks
from tui_forward.minicluster.runtime.shim_protocol import Container, Sandbox, ShimError

_OWNER_POLL_S = 0.5
_SEND_TIMEOUT_S = 5.0
# As in containerd.
_START_ERROR_CODE = 128


class _Client:
    """A runtime connected to the shim's socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = bytearray()

    def send(self, message: msgspec.Struct) -> None:
        # Messages to a runtime that does not read within the socket's timeout are dropped.
        with contextlib.suppress(OSError):
            self.sock.sendall(shim_protocol.encode(message) + b"\n")


class Shim:
    """Sandboxes and containers of one node, and the socket through which runtimes change them."""

    def __init__(self, listener: socket.socket, owner_pid: int) -> None:
        self._listener = listener
        self._owner_pid = owner_pid
        self._selector = selectors.DefaultSelector()
        self._clients: set[_Client] = set()
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._networks = SandboxNetworks()
        self._processes = ContainerProcesses(self._selector, self._send_container)
        self._ending = False

    def run(self) -> None:
        """Serve until requested to end, or until the owner has ended."""
        listener = self._listener
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))
        self._watch_children()
        owner = self._watch_owner()
        gc.collect()
        gc.freeze()
        try:
            while not self._ending:
                for key, _ in self._selector.select(_OWNER_POLL_S if owner is None else None):
                    callback: Callable[[], object] = key.data
                    callback()
                if owner is None and not process_exists(self._owner_pid):
                    self._ending = True
        finally:
            self._kill_all()
            Path(listener.getsockname()).unlink(missing_ok=True)

    def _watch_children(self) -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end_on_signal)

        def reap() -> None:
            with contextlib.suppress(BlockingIOError):
                reader.recv(4096)
            self._processes.reap()

        # Keep the pair open as long as the process exists.
        self._wakeup = (reader, writer)
        self._selector.register(reader, selectors.EVENT_READ, reap)

    def _end_on_signal(self, *_: object) -> None:
        self._ending = True

    def _watch_owner(self) -> int | None:
        """Register the owner's end with the selector; return None if it must be polled."""
        if sys.platform != "linux":
            return None
        try:
            descriptor = os.pidfd_open(self._owner_pid)
        except OSError as error:
            if error.errno == errno.ESRCH:
                self._ending = True
            return None
        self._selector.register(descriptor, selectors.EVENT_READ, self._end_on_signal)
        return descriptor

    def _accept(self, listener: socket.socket) -> None:
        sock, _ = listener.accept()
        sock.settimeout(_SEND_TIMEOUT_S)
        client = _Client(sock)
        self._clients.add(client)
        sandboxes, containers = [*self._sandboxes.values()], [*self._containers.values()]
        pid = os.getpid()
        client.send(shim_protocol.Snapshot(pid=pid, sandboxes=sandboxes, containers=containers))
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._receive(client))

    def _receive(self, client: _Client) -> None:
        try:
            data = client.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(client.sock)
            client.sock.close()
            self._clients.discard(client)
            return
        client.received += data
        while (end := client.received.find(b"\n")) >= 0:
            line = bytes(client.received[:end])
            del client.received[: end + 1]
            self._handle(client, line)

    def _handle(self, client: _Client, line: bytes) -> None:
        try:
            request = shim_protocol.decode_request(line)
        except msgspec.MsgspecError as error:
            client.send(shim_protocol.Reply(seq=0, error=str(error)))
            return
        try:
            self._carry_out(request)
        except (OSError, ShimError, KeyError) as error:
            client.send(shim_protocol.Reply(seq=request.seq, error=str(error) or repr(error)))
        else:
            client.send(shim_protocol.Reply(seq=request.seq))

    def _broadcast(self, message: msgspec.Struct) -> None:
        for client in self._clients:
            client.send(message)

    def _send_container(self, container: Container) -> None:
        self._broadcast(shim_protocol.ContainerChanged(container=container))

    def _carry_out(self, request: shim_protocol.AnyRequest) -> None:
        match request:
            case shim_protocol.RunSandbox():
                self._run_sandbox(request)
            case shim_protocol.StopSandbox():
                self._stop_sandbox(self._sandbox(request.id))
            case shim_protocol.RemoveSandbox():
                self._remove_sandbox(request.id)
            case shim_protocol.CreateContainer():
                self._create_container(request)
            case shim_protocol.StartContainer():
                self._start_container(request)
            case shim_protocol.FailContainer():
                self._fail_container(self._container(request.id), request.message)
            case shim_protocol.SignalContainer():
                self._processes.send_signal(self._container(request.id), request.signal)
            case shim_protocol.RemoveContainer():
                if self._container(request.id).running:
                    raise ShimError(f"container {request.id} is running")
                self._remove_container(request.id)
            case shim_protocol.Shutdown():
                self._ending = True
                self._kill_all()

    def _sandbox(self, sandbox_id: str) -> Sandbox:
        try:
            return self._sandboxes[sandbox_id]
        except KeyError:
            raise ShimError(f'sandbox "{sandbox_id}" not found') from None

    def _container(self, container_id: str) -> Container:
        try:
            return self._containers[container_id]
        except KeyError:
            raise ShimError(f'container "{container_id}" not found') from None

    def _containers_of(self, sandbox: Sandbox) -> list[Container]:
        return [each for each in self._containers.values() if each.sandbox_id == sandbox.id]

    def _run_sandbox(self, request: shim_protocol.RunSandbox) -> None:
        sandbox = Sandbox(
            id=request.id,
            config=request.config,
            created_at=time.time_ns(),
            ip=request.ip,
            network=self._networks.choose(request.network),
            host="127.0.0.1",
        )
        self._networks.attach(sandbox, request.label)
        self._sandboxes[request.id] = sandbox
        self._broadcast(shim_protocol.SandboxChanged(sandbox=sandbox))

    def _stop_sandbox(self, sandbox: Sandbox) -> None:
        for container in self._containers_of(sandbox):
            if container.running:
                self._processes.kill(container)
        self._networks.detach(sandbox)
        if sandbox.ready:
            sandbox.ready = False
            sandbox.netns = ""
            self._broadcast(shim_protocol.SandboxChanged(sandbox=sandbox))

    def _remove_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None:
            return
        self._stop_sandbox(sandbox)
        for container in self._containers_of(sandbox):
            self._remove_container(container.id)
        del self._sandboxes[sandbox_id]
        self._broadcast(shim_protocol.SandboxRemoved(id=sandbox_id))

    def _create_container(self, request: shim_protocol.CreateContainer) -> None:
        self._sandbox(request.sandbox_id)
        container = Container(
            id=request.id,
            sandbox_id=request.sandbox_id,
            config=request.config,
            created_at=time.time_ns(),
            log_path=request.log_path,
        )
        self._containers[request.id] = container
        self._send_container(container)

    def _start_container(self, request: shim_protocol.StartContainer) -> None:
        container = self._container(request.id)
        sandbox = self._sandbox(container.sandbox_id)
        if not sandbox.ready:
            raise ShimError(f"sandbox container {sandbox.id} is not running")
        if container.started_at:
            raise ShimError(f"container {container.id} was started before")
        context = AppContext(
            args=tuple(request.args), env=request.env, network=sandbox.network, host=sandbox.host
        )
        self._processes.start(container, request, context, self._networks.namespace(sandbox.id))

    def _fail_container(self, container: Container, message: str) -> None:
        if container.started_at:
            raise ShimError(f"container {container.id} was started before")
        container.finished_at = time.time_ns()
        container.exit_code, container.reason = _START_ERROR_CODE, "StartError"
        container.message = message
        self._send_container(container)

    def _remove_container(self, container_id: str) -> None:
        del self._containers[container_id]
        self._broadcast(shim_protocol.ContainerRemoved(id=container_id))

    def _kill_all(self) -> None:
        self._processes.kill_all()
        self._networks.close()


def fork_shim(path: Path, owner_pid: int, log: Path) -> None:
    """Fork a shim unless one serves; this process must have one thread and no event loop.

    It serves when this returns. Its output goes to a file.
    """
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.connect(str(path))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _listen(path) as listener:
        if os.fork():
            return
        os.setsid()  # signals to the runtime's process group do not end the pods
        set_process_name("shim")
        with open(os.devnull, "rb") as stdin, log.open("ab") as output:  # noqa: PTH123
            for number, file in enumerate((stdin, output, output)):
                os.dup2(file.fileno(), number)
        sys.stderr.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        Shim(listener, owner_pid).run()
        sys.stdout.flush()
        os._exit(0)


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen()
    return listener


def main() -> int:
    """Run the process."""
    parser = argparse.ArgumentParser(prog="tui_forward.minicluster.runtime.shim")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--owner-pid", required=True, type=int)
    arguments = parser.parse_args()
    Shim(_listen(Path(arguments.socket)), arguments.owner_pid).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
