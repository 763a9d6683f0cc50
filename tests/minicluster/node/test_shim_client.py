"""The runtime's mirror of its shim."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.waiting import until
from tui_forward.minicluster.runtime import shim_protocol
from tui_forward.minicluster.runtime.config import DialMode, RuntimeBehavior
from tui_forward.minicluster.runtime.dialer import Dialer, DialError
from tui_forward.minicluster.runtime.shim_client import ShimClient
from tui_forward.protocol.error_stream import containerd_sandbox_closed


@pytest.fixture
async def shim() -> AsyncIterator[ShimClient]:
    folder = Path(tempfile.mkdtemp(prefix="tfs"))  # the paths of unix sockets are limited
    client = ShimClient(str(folder), os.getpid())
    try:
        await client.start()
        yield client
        await client.end_shim()
        process = client._process
        assert process is not None
        await until(lambda: process.poll() is not None)
    finally:
        await client.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", [shim_protocol.StopSandbox, shim_protocol.RemoveSandbox])
async def test_sandbox_is_not_dialed_while_it_is_stopped(
    shim: ShimClient, kind: type[shim_protocol.StopSandbox | shim_protocol.RemoveSandbox]
) -> None:
    await shim.request(shim_protocol.RunSandbox(id="s", config=b"", ip="10.0.0.1", label="x"))
    await until(lambda: "s" in shim.sandboxes)
    dialer = Dialer(shim, DialMode.EMBEDDED, RuntimeBehavior())
    os.kill(shim._pid, signal.SIGSTOP)
    try:
        stopping = asyncio.create_task(shim.request(kind(id="s")))
        await until(lambda: bool(shim._replies))
        # The namespace may be released by now, and its number be that of another sandbox.
        with pytest.raises(DialError) as raised:
            await dialer.dial("s", 80)
    finally:
        os.kill(shim._pid, signal.SIGCONT)
        dialer.close()
    assert raised.value.cause == containerd_sandbox_closed("s")
    await stopping
