"""Container logs, as the shim writes and the kubelet reads them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tui_forward.errors import UsageError
from tui_forward.minicluster.kubelet.container_logs import LogOptions, read_log
from tui_forward.minicluster.runtime.container_processes import LogWriter


async def collect(path: Path, options: LogOptions) -> bytes:
    exited = asyncio.Event()
    exited.set()
    return b"".join([chunk async for chunk in read_log(path, options, exited)])


async def test_log_reader_applies_options(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    writer = LogWriter(str(path))
    writer.write("stdout", b"one\ntwo\nthr")
    writer.write("stderr", b"oops\n")
    writer.write("stdout", b"ee\n" + b"x" * 40_000)
    writer.close()
    everything = await collect(path, LogOptions())
    assert everything == b"one\ntwo\noops\nthree\n" + b"x" * 40_000 + b"\n"
    assert (await collect(path, LogOptions(tail_lines=1))).endswith(b"x\n")
    assert await collect(path, LogOptions(limit_bytes=5)) == b"one\nt"
    assert await collect(path, LogOptions(tail_lines=0)) == b""
    stamped = await collect(path, LogOptions(timestamps=True, limit_bytes=60))
    stamp, _, text = stamped.partition(b"\n")[0].partition(b" ")
    assert text == b"one"
    assert datetime.fromisoformat(stamp.decode()[:19] + "+00:00").year >= 2024
    later = LogOptions(since=datetime(2100, 1, 1, tzinfo=UTC))
    assert await collect(path, later) == b""
    assert await collect(tmp_path / "missing", LogOptions()) == b""


async def test_log_is_followed_until_container_exits(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    writer = LogWriter(str(path))
    exited = asyncio.Event()
    chunks: list[bytes] = []

    async def follow() -> None:
        async for chunk in read_log(path, LogOptions(follow=True), exited):
            chunks.append(chunk)  # noqa: PERF401 - checked while it grows

    async with asyncio.timeout(60):
        task = asyncio.create_task(follow())
        for number in range(3):
            writer.write("stdout", b"%d\n" % number)
            while len(chunks) <= number:  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)
        exited.set()
        await task
    writer.close()
    assert b"".join(chunks) == b"0\n1\n2\n"


def test_log_options_are_parsed_and_validated() -> None:
    options = LogOptions.parse({"follow": ["true"], "tailLines": ["5"], "sinceSeconds": ["3"]})
    assert (options.follow, options.tail_lines) == (True, 5)
    assert options.since is not None
    with pytest.raises(UsageError):
        LogOptions.parse({"tailLines": ["-1"]})
    with pytest.raises(UsageError):
        LogOptions.parse({"sinceTime": ["yesterday"]})
