"""The embedded cluster as a process of its own, for as long as a command needs it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from tui_forward.errors import TransportError, TuiForwardError

_START_S = 60.0
_END_S = 10.0
# What the cluster had to say when it could not start: the last of it.
_TALK_BYTES = 8192


class _Ready(msgspec.Struct):
    """The line the cluster prints when it serves."""

    kubeconfig: str
    server: str
    control: str
    ready: bool = True
    pid: int = 0


@dataclass(frozen=True, slots=True)
class EmbeddedCluster:
    """A running embedded cluster.

    Attributes:
        kubeconfig: Absolute path of its kubeconfig.
        server: URL of its API server.
        control: Absolute path of its control socket.
        process: Ends when the cluster ends.
    """

    kubeconfig: str
    server: str
    control: str
    process: asyncio.subprocess.Process


@contextlib.asynccontextmanager
async def embedded_cluster(arguments: Sequence[str] = ()) -> AsyncIterator[EmbeddedCluster]:
    """Start a cluster, wait until it serves, and end it with everything it started.

    Args:
        arguments: Further options of `python -m tui_forward.minicluster`.

    Raises:
        TuiForwardError: It did not start; the message is its own.
    """
    # A session of its own, so that Ctrl-C reaches only us and the order of ending is ours.
    # It watches our process and ends when we vanish.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tui_forward.minicluster",
        "--json",
        "--parent-pid",
        str(os.getpid()),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    talk = _StderrTail()
    listening = asyncio.create_task(talk.listen(process.stderr), name="embedded-cluster-talk")
    try:
        try:
            async with asyncio.timeout(_START_S):
                line = await process.stdout.readline()
            ready = msgspec.json.decode(line, type=_Ready)
        except TimeoutError:
            raise TransportError(
                f"the embedded cluster was not ready within {_START_S:.0f} s",
                hint="run `tui-forward cluster` to see what it says",
            ) from None
        except msgspec.MsgspecError:
            # It is ending; what it has to say about it comes first.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    await listening
                    await process.wait()
            raise talk.as_error() from None
        yield EmbeddedCluster(ready.kubeconfig, ready.server, ready.control, process)
    finally:
        await _end(process)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL if that is not enough; returns when the process is gone."""
    if process.returncode is None:
        _send(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(_END_S):
                await process.wait()
        except TimeoutError:
            _send(process, signal.SIGKILL)
    await process.wait()


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """As `Process.send_signal`, which would reap a process that has just ended by itself.

    Then asyncio, which waits for it in a thread, could not tell its exit code any more.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


class _StderrTail:
    """The end of what a process said on stderr."""

    def __init__(self) -> None:
        self._text = bytearray()

    async def listen(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(4096):
            self._text += chunk
            del self._text[:-_TALK_BYTES]

    def as_error(self) -> TuiForwardError:
        """Its last words, which are one sentence unless it has a bug."""
        lines = self._text.decode(errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        return TuiForwardError(
            f"the embedded cluster did not start: {last.removeprefix('minicluster: ')}"
        )
