"""A runtime process for tests, and a SPDY client that records every frame."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tests.support.forked_program import ForkedProcess
from tests.support.waiting import until
from tui_forward.errors import TuiForwardError
from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.client import RuntimeClient
from tui_forward.protocol.spdy import HeaderCompressor, HeaderDecompressor, frames

SPDY_HEADERS = {
    "Connection": "Upgrade",
    "Upgrade": "SPDY/3.1",
    "X-Stream-Protocol-Version": "portforward.k8s.io",
}
WEBSOCKET_HEADERS = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
NEEDS_NETNS = "needs root and network namespaces"


@dataclass
class Pod:
    """A sandbox with one container."""

    sandbox: str
    container: str
    config: cri.PodSandboxConfig


class RuntimeProcess:
    """A runtime in a separate process; its pods end with this process."""

    def __init__(self, **settings: Any) -> None:
        # The paths of unix sockets are limited to about 100 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="tfr"))
        self._config = self.folder / "config.json"
        settings = {
            "state_dir": str(self.folder / "s"),
            "listen": str(self.folder / "cri.sock"),
            "control": str(self.folder / "control.sock"),
            "owner_pid": os.getpid(),
            **settings,
        }
        self._config.write_bytes(msgspec.json.encode(settings))
        self.control = ControlClient(self.folder / "control.sock")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the runtime, and wait until it serves."""
        with (self.folder / "log").open("ab") as log:
            self.process = ForkedProcess(
                [
                    sys.executable,
                    *("-m", "tui_forward.minicluster.runtime", "--config", str(self._config)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), (self.folder / "log").read_text()

    def crash(self) -> None:
        """Kill the runtime, but not its pods."""
        self._stop(signal.SIGKILL)

    def _stop(self, number: signal.Signals) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def close(self) -> None:
        """Stop the runtime and its pods."""
        if self.process is not None:
            with contextlib.suppress(TuiForwardError):
                self.control.send("end-pods")
            self._stop(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)


class RuntimeHarness:
    """Clients of a runtime that may be shared with other tests."""

    def __init__(self, process: RuntimeProcess) -> None:
        self.process = process
        self.folder = process.folder
        self.control = process.control
        self.cri = RuntimeClient(f"unix://{process.folder / 'cri.sock'}")
        self._count = 0

    async def close(self) -> None:
        """Remove all pods and end all faults."""
        try:
            for sandbox in await self.cri.list_pod_sandboxes():
                await self.cri.remove_pod_sandbox(sandbox.id)
            await self.control.request("clear")
        finally:
            await self.cri.close()

    async def pod(self, image: str = "toolbox", name: str = "", **env: str) -> Pod:
        """Run a pod with one container."""
        self._count += 1
        name = name or f"pod-{self._count}"
        config = cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default"),
            log_directory=str(self.folder / "logs" / name),
        )
        sandbox = await self.cri.run_pod_sandbox(config)
        container = await self.container(sandbox, config, image, **env)
        return Pod(sandbox, container, config)

    async def container(
        self, sandbox: str, config: cri.PodSandboxConfig, image: str, **env: str
    ) -> str:
        """Create and start a container."""
        container = await self.cri.create_container(
            sandbox,
            cri.ContainerConfig(
                metadata=cri.ContainerMetadata(name="main"),
                image=cri.ImageSpec(image=image),
                envs=[cri.KeyValue(key=key, value=value.encode()) for key, value in env.items()],
                log_path="main/0.log",
            ),
            config,
        )
        await self.cri.start_container(container)
        return container

    async def wait_for_exit(self, container: str) -> cri.ContainerStatus:
        """Wait until a container has exited, and return its status."""
        async with asyncio.timeout(60):
            while True:
                status = await self.cri.container_status(container)
                if status.state == cri.CONTAINER_EXITED:
                    return status
                await asyncio.sleep(0.01)

    async def request(
        self, url: str, headers: dict[str, str], method: str = "POST", path: str = ""
    ) -> tuple[int, dict[str, str], bytes, socket.socket]:
        """Send a request to the streaming server; return status, headers, body and socket."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, (parts.hostname, parts.port))
        lines = [f"{method} {path or parts.path} HTTP/1.1", "Host: test"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode())
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = await loop.sock_recv(sock, 65536)
            if not chunk:
                break
            data += chunk
        head, _, rest = data.partition(b"\r\n\r\n")
        start, *fields = head.decode().split("\r\n")
        received = {}
        for line in fields:
            name, _, value = line.partition(": ")
            received[name.lower()] = value
        status = int(start.split()[1])
        if status != 101:
            while chunk := await loop.sock_recv(sock, 65536):
                rest += chunk
        return status, received, rest, sock

    @contextlib.asynccontextmanager
    async def tunnel(self, pod: Pod) -> AsyncIterator[SpdyClient]:
        """Open a SPDY tunnel to a pod."""
        url = await self.cri.port_forward(pod.sandbox, [])
        status, _, rest, sock = await self.request(url, SPDY_HEADERS)
        assert status == 101
        client = SpdyClient(sock, rest)
        try:
            yield client
        finally:
            await client.close()


@dataclass
class Stream:
    """Events of one stream in order: "reply", bytes, "fin", "rst N"."""

    events: list[str | bytes] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        return b"".join(event for event in self.events if isinstance(event, bytes))

    @property
    def ended(self) -> bool:
        return any(isinstance(e, str) and (e == "fin" or e.startswith("rst")) for e in self.events)


class SpdyClient:
    """A client that sends any frames, valid or not, and records those it receives."""

    def __init__(self, sock: socket.socket, early: bytes) -> None:
        self.sock = sock
        self.streams: dict[int, Stream] = {}
        self.order: list[tuple[int, str]] = []
        self.sizes: list[int] = []
        self.pings: list[int] = []
        self.goaway = False
        self.eof = False
        self.reading = asyncio.Event()
        self.reading.set()
        self._compress = HeaderCompressor()
        self._decompress = HeaderDecompressor()
        self._buffer = bytearray(early)
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._read())

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.sock.close()

    async def send(self, *parts: bytes) -> None:
        await self._loop.sock_sendall(self.sock, b"".join(parts))

    def syn(self, stream_id: int, headers: dict[str, str], *, fin: bool = False) -> bytes:
        self.streams[stream_id] = Stream()
        return frames.syn_stream(stream_id, self._compress.compress(headers), fin=fin)

    def data(self, stream_id: int, data: bytes = b"", *, fin: bool = False) -> bytes:
        return frames.data_header(stream_id, len(data), fin=fin) + data

    def pair(self, port: int | str, number: int) -> bytes:
        """Return the frames that open a connection: error stream 4n+1, data stream 4n+3."""
        request = {"port": str(port), "requestid": str(number)}
        first = 4 * number + 1
        return self.syn(first, {"streamtype": "error", **request}, fin=True) + self.syn(
            first + 2, {"streamtype": "data", **request}
        )

    async def open(self, port: int | str, number: int, data: bytes = b"") -> tuple[Stream, Stream]:
        """Open a connection; return its error and data streams."""
        parts = [self.pair(port, number)]
        if data:
            parts.append(self.data(4 * number + 3, data))
        await self.send(*parts)
        return self.streams[4 * number + 1], self.streams[4 * number + 3]

    async def _read(self) -> None:
        while True:
            await self.reading.wait()
            try:
                chunk = await self._loop.sock_recv(self.sock, 65536)
            except OSError:
                chunk = b""
            if not chunk:
                self.eof = True
                return
            self._buffer += chunk
            while self._read_frame():
                pass

    def _read_frame(self) -> bool:
        if len(self._buffer) < 8:
            return False
        word, rest = int.from_bytes(self._buffer[:4]), int.from_bytes(self._buffer[4:8])
        end = 8 + (rest & 0xFFFFFF)
        if len(self._buffer) < end:
            return False
        payload = bytes(self._buffer[8:end])
        del self._buffer[:end]
        flags = rest >> 24
        if not word >> 31:
            stream = self.streams.setdefault(word, Stream())
            if payload:
                stream.events.append(payload)
                self.order.append((word, "data"))
                self.sizes.append(len(payload))
            if flags & 1:
                stream.events.append("fin")
                self.order.append((word, "fin"))
            return True
        kind = frames.FrameType(word & 0xFFFF)
        number = int.from_bytes(payload[:4])
        if kind is frames.FrameType.SYN_REPLY:
            assert self._decompress.decompress(memoryview(payload[4:])) == {}
            self.streams[number].events.append("reply")
            self.order.append((number, "reply"))
        elif kind is frames.FrameType.RST_STREAM:
            event = f"rst {int.from_bytes(payload[4:])}"
            self.streams.setdefault(number, Stream()).events.append(event)
            self.order.append((number, event))
        elif kind is frames.FrameType.PING:
            self.pings.append(number)
        elif kind is frames.FrameType.GOAWAY:
            self.goaway = True
        return True


async def wait_for_data(stream: Stream, data: bytes) -> None:
    """Wait until a stream has received exactly this."""
    await until(lambda: len(stream.data) >= len(data))
    assert stream.data == data


async def wait_for_end(stream: Stream) -> None:
    """Wait until the server has ended a stream."""
    await until(lambda: stream.ended)


def processes_of(folder: Path) -> list[int]:
    """Return the processes whose command line contains a folder."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if str(folder).encode() in (entry / "cmdline").read_bytes():
                    pids.append(int(entry.name))
    return pids
