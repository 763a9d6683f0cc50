"""The process that owns the pods of a node, as containerd's shims own real ones.

Started by the first runtime process of a node; outlives that, and ends, with every pod, when
its owner ends or when it is told to. It makes network namespaces, forks containers out of
itself (the applications are imported already, so a pod costs a fork and nothing more), writes
their logs and remembers how they ended.

One thread, one selector, no asyncio: a process that forks must be simple. Not the place for
anything that could fail on behalf of one pod and take the others with it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import gc
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from tui_forward.minicluster.runtime import apps, netns
from tui_forward.minicluster.runtime import shim_protocol as shim_protocol
from tui_forward.minicluster.runtime.apps.context import AppContext
from tui_forward.minicluster.runtime.log_writer import LogWriter

_OWNER_POLL_S = 0.5


class _Client:
    """A runtime connected to the shim's socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = bytearray()

    def send(self, message: msgspec.Struct) -> None:
        # A runtime that does not read its own unix socket for so long is as good as gone.
        with contextlib.suppress(OSError):
            self.sock.sendall(shim_protocol.encode(message) + b"\n")


class _Pipe:
    """The read end of a pipe from a container."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        descriptor: int,
        on_data: Callable[[bytes], None],
    ) -> None:
        os.set_blocking(descriptor, False)
        self._selector = selector
        self._descriptor = descriptor
        self._on_data = on_data
        self._closed = False
        selector.register(descriptor, selectors.EVENT_READ, self.read)

    def read(self) -> bool:
        """Take what is there; False when there is no more for now or for ever."""
        # A callback may still come in the round in which the pipe was closed.
        if self._closed:
            return False
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._on_data(data)
            return True
        self.close()
        return False

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._selector.unregister(self._descriptor)
            os.close(self._descriptor)


class Shim:
    """All pods of one node.

    Args:
        path: Unix socket to listen on.
        owner_pid: End when this process ends.
    """

    def __init__(self, path: str, owner_pid: int) -> None:
        self._path = path
        self._owner_pid = owner_pid
        self._selector = selectors.DefaultSelector()
        self._clients: set[_Client] = set()
        self._sandboxes: dict[str, shim_protocol.Sandbox] = {}
        self._containers: dict[str, shim_protocol.Container] = {}
        self._logs: dict[str, LogWriter] = {}
        self._pipes: dict[str, tuple[_Pipe, ...]] = {}
        self._namespaces: dict[str, int] = {}
        self._pids: dict[int, str] = {}
        self._ending = False
        self._network = (
            shim_protocol.NetworkKind.NETNS
            if netns.is_supported()
            else (
                shim_protocol.NetworkKind.LOOPBACK
                if sys.platform == "linux"
                else shim_protocol.NetworkKind.MAPPED
            )
        )
        self._hosts = 0
        # Containers notice the end of the shim by the end of this pipe where the kernel has no
        # death signal.
        self._lifeline = os.pipe()

    # -- the loop --

    def run(self) -> None:
        """Serve until told to end, or until the owner has ended."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        Path(self._path).unlink(missing_ok=True)
        listener.bind(self._path)
        Path(self._path).chmod(0o600)
        listener.listen()
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
                if owner is None and not _alive(self._owner_pid):
                    self._ending = True
        finally:
            self._kill_all()
            Path(self._path).unlink(missing_ok=True)

    def _watch_children(self) -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end_on_signal)

        def woken() -> None:
            with contextlib.suppress(BlockingIOError):
                reader.recv(4096)
            self._reap()

        # The pair lives as long as the process: the callback holds it.
        self._wakeup = (reader, writer)
        self._selector.register(reader, selectors.EVENT_READ, woken)

    def _end_on_signal(self, *_: object) -> None:
        self._ending = True

    def _watch_owner(self) -> int | None:
        """Register the owner's end with the selector; None where only polling is left."""
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
        sock.settimeout(5.0)
        client = _Client(sock)
        self._clients.add(client)
        client.send(
            shim_protocol.Hello(
                pid=os.getpid(),
                sandboxes=list(self._sandboxes.values()),
                containers=list(self._containers.values()),
            )
        )
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
        except (OSError, shim_protocol.ShimError, KeyError) as error:
            client.send(shim_protocol.Reply(seq=request.seq, error=str(error) or repr(error)))
        else:
            client.send(shim_protocol.Reply(seq=request.seq))

    def _tell(self, message: msgspec.Struct) -> None:
        for client in self._clients:
            client.send(message)

    # -- requests --

    def _carry_out(self, request: shim_protocol.AnyRequest) -> None:
        match request:
            case shim_protocol.RunSandbox():
                self._run_sandbox(request)
            case shim_protocol.StopSandbox():
                self._stop_sandbox(self._sandbox(request.id))
            case shim_protocol.RemoveSandbox():
                self._remove_sandbox(request.id)
            case shim_protocol.CreateContainer():
                self._sandbox(request.sandbox_id)
                container = shim_protocol.Container(
                    id=request.id,
                    sandbox_id=request.sandbox_id,
                    config=request.config,
                    created_at=time.time_ns(),
                    log=request.log,
                )
                self._containers[request.id] = container
                self._tell(shim_protocol.ContainerChanged(container=container))
            case shim_protocol.StartContainer():
                self._start(self._container(request.id), request)
            case shim_protocol.SignalContainer():
                _kill(self._container(request.id).pid, request.signal)
            case shim_protocol.RemoveContainer():
                if self._container(request.id).running:
                    raise shim_protocol.ShimError(f"container {request.id} is running")
                del self._containers[request.id]
                self._tell(shim_protocol.ContainerRemoved(id=request.id))
            case shim_protocol.Shutdown():
                self._ending = True
                self._kill_all()

    def _sandbox(self, sandbox_id: str) -> shim_protocol.Sandbox:
        try:
            return self._sandboxes[sandbox_id]
        except KeyError:
            raise shim_protocol.ShimError(f'sandbox "{sandbox_id}" not found') from None

    def _container(self, container_id: str) -> shim_protocol.Container:
        try:
            return self._containers[container_id]
        except KeyError:
            raise shim_protocol.ShimError(f'container "{container_id}" not found') from None

    def _run_sandbox(self, request: shim_protocol.RunSandbox) -> None:
        network = request.network or self._network
        sandbox = shim_protocol.Sandbox(
            id=request.id,
            config=request.config,
            created_at=time.time_ns(),
            ip=request.ip,
            network=network,
            host="127.0.0.1",
        )
        if network is shim_protocol.NetworkKind.NETNS:
            descriptor = netns.create()
            self._namespaces[request.id] = descriptor
            sandbox.netns = f"/proc/{os.getpid()}/fd/{descriptor}"
            sandbox.label = request.label
        elif network is shim_protocol.NetworkKind.LOOPBACK:
            # 127.64.0.0/10: far from what people use by hand.
            self._hosts += 1
            sandbox.host = f"127.{64 + (self._hosts >> 16) % 64}.{self._hosts >> 8 & 255}" + (
                f".{self._hosts & 255}"
            )
        self._sandboxes[request.id] = sandbox
        self._tell(shim_protocol.SandboxChanged(sandbox=sandbox))

    def _stop_sandbox(self, sandbox: shim_protocol.Sandbox) -> None:
        for container in list(self._containers.values()):
            if container.sandbox_id == sandbox.id and container.running:
                self._kill_now(container)
        descriptor = self._namespaces.pop(sandbox.id, None)
        if descriptor is not None:
            os.close(descriptor)
        if sandbox.ready:
            sandbox.ready = False
            sandbox.netns = ""
            self._tell(shim_protocol.SandboxChanged(sandbox=sandbox))

    def _remove_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None:
            return
        self._stop_sandbox(sandbox)
        for container in list(self._containers.values()):
            if container.sandbox_id == sandbox_id:
                del self._containers[container.id]
                self._tell(shim_protocol.ContainerRemoved(id=container.id))
        del self._sandboxes[sandbox_id]
        self._tell(shim_protocol.SandboxRemoved(id=sandbox_id))

    # -- processes --

    def _start(
        self, container: shim_protocol.Container, request: shim_protocol.StartContainer
    ) -> None:
        sandbox = self._sandbox(container.sandbox_id)
        if not sandbox.ready:
            raise shim_protocol.ShimError(f"sandbox container {sandbox.id} is not running")
        if container.started_at:
            raise shim_protocol.ShimError(f"container {container.id} was started before")
        namespace = self._namespaces.get(sandbox.id)
        context = AppContext(
            args=tuple(request.args),
            env=request.env,
            network=sandbox.network,
            host=sandbox.host,
        )
        out, err, status = os.pipe(), os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            self._become(request.app, context, namespace, out[1], err[1], status[1])
        for _, writer in (out, err, status):
            os.close(writer)
        container.pid = pid
        container.started_at = time.time_ns()
        self._pids[pid] = container.id
        log = self._logs[container.id] = LogWriter(container.log)
        self._pipes[container.id] = (
            _Pipe(self._selector, out[0], functools.partial(log.feed, "stdout")),
            _Pipe(self._selector, err[0], functools.partial(log.feed, "stderr")),
            _Pipe(self._selector, status[0], functools.partial(self._said, container)),
        )
        self._tell(shim_protocol.ContainerChanged(container=container))

    def _become(
        self,
        app: str,
        context: AppContext,
        namespace: int | None,
        stdout: int,
        stderr: int,
        status: int,
    ) -> NoReturn:
        """The rest of a container's life, in the forked process."""
        code = 70
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            if namespace is not None:
                netns.enter(namespace)
            stdin = os.open(os.devnull, os.O_RDONLY)
            os.dup2(stdin, 0)
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            lifeline = self._lifeline[0]
            keep = sorted((status, lifeline))
            os.closerange(3, keep[0])
            os.closerange(keep[0] + 1, keep[1])
            os.closerange(keep[1] + 1, os.sysconf("SC_OPEN_MAX"))
            code = apps.run(app, context, status=status, lifeline=lifeline)
        except BaseException as error:  # noqa: BLE001 - nothing of the shim may run on in here
            with contextlib.suppress(OSError):
                os.write(2, f"{app}: {error!r}\n".encode())
        finally:
            os._exit(code)

    def _said(self, container: shim_protocol.Container, data: bytes) -> None:
        """Take what an application says of itself: where it listens, and that it is up."""
        for line in data.decode().splitlines():
            words = line.split()
            if words == ["up"]:
                container.up = True
            elif len(words) == 3:
                container.listening[int(words[0])] = (words[1], int(words[2]))
        self._tell(shim_protocol.ContainerChanged(container=container))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        container = self._containers.get(self._pids.pop(pid, ""))
        if container is None:
            return
        # Whatever it forked goes with it, as everything in a container ends with its init.
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(status)
        container.pid = 0
        container.up = False
        container.listening = {}
        container.finished_at = time.time_ns()
        container.signalled = code < 0
        container.exit_code = code if code >= 0 else 128 - code
        for pipe in self._pipes.pop(container.id, ()):
            while pipe.read():
                pass
            pipe.close()
        log = self._logs.pop(container.id, None)
        if log is not None:
            log.close()
        self._tell(shim_protocol.ContainerChanged(container=container))

    def _kill_now(self, container: shim_protocol.Container) -> None:
        pid = container.pid
        _kill(pid, signal.SIGKILL)
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            status = 0
        self._ended(pid, status)

    def _kill_all(self) -> None:
        for container in list(self._containers.values()):
            if container.running:
                _kill(container.pid, signal.SIGKILL)
        for container in list(self._containers.values()):
            if container.running:
                self._kill_now(container)
        for descriptor in self._namespaces.values():
            os.close(descriptor)
        self._namespaces.clear()


def _kill(pid: int, number: int) -> None:
    """Signal a container's process group; the process alone if it has not made it yet."""
    if pid <= 0:
        return
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            os.kill(pid, number)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main() -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="tui_forward.minicluster.runtime.shim")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--owner-pid", required=True, type=int)
    arguments = parser.parse_args()
    Shim(arguments.socket, arguments.owner_pid).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
