"""Load and faults for a while; then nothing is left over, and all books agree."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.endurance import soak
from tests.endurance.cluster import Chain, Pods
from tests.endurance.engine import EngineProcess, Footprint, engine, eventually, session_with
from tui_forward.session import LocalSession, Session


async def exercised(
    cluster: Chain, session: Session, *, seed: int, load_s: float, faults_s: float
) -> tuple[soak.Books, soak.Books, list[str]]:
    """Load with faults, then without; gives the books of both, and what happened."""
    async with (
        Pods.watching(cluster) as pods,
        soak.forwards(session) as lines,
    ):
        troubled = soak.Mix(lines, seed)
        async with soak.listening(session, troubled.books):
            end = time.monotonic() + load_s
            faults = soak.trouble(cluster, pods, seed, end, faults_s)
            _, happened = await asyncio.gather(troubled.run(end), faults)
            await soak.quiet(lines)
        calm = soak.Mix(lines, seed + 1)
        async with soak.listening(session, calm.books):
            await calm.run(time.monotonic() + min(10.0, load_s / 4))
            await soak.quiet(lines)
        assert await soak.missing_in_pod(session, calm.books) == []
    return troubled.books, calm.books, happened


def judge(books: soak.Books, *, calm: bool) -> None:
    assert books.refused == 0
    assert books.gaps == 0
    assert books.missing_in_engine() == []
    assert len(books.clients) > 20
    if calm:
        assert not books.failures


def leaked(before: Footprint, after: Footprint) -> str:
    """What there is more of than before; empty if nothing."""
    wrong = [
        f"{name}: {one} → {two}"
        for name, one, two in (
            ("descriptors", before.files, after.files),
            ("sockets", before.sockets, after.sockets),
        )
        if two > one
    ]
    return ", ".join(wrong)


async def settled(running: EngineProcess, before: Footprint) -> Footprint:
    """The footprint once nothing is left over, or what there is after a while."""
    import contextlib

    with contextlib.suppress(AssertionError):
        await eventually(lambda: not leaked(before, running.footprint()), "rest", 20.0)
    return running.footprint()


async def soaked(cluster: Chain, *, seed: int, load_s: float, faults_s: float) -> str:
    """The whole proof against an engine process; gives a line of figures."""
    with engine(cluster.kubeconfig) as running:
        async with session_with(running) as session:
            # The first round loads modules, fills caches and grows the heap.
            await exercised(cluster, session, seed=seed, load_s=max(5.0, load_s / 10), faults_s=2.0)
            await asyncio.sleep(3)
            before = running.footprint()
            troubled, calm, happened = await exercised(
                cluster, session, seed=seed + 100, load_s=load_s, faults_s=faults_s
            )
            after = await settled(running, before)
            judge(troubled, calm=False)
            judge(calm, calm=True)
            assert leaked(before, after) == ""
            assert (await session.snapshot()).forwards == ()
        assert running.complaints() == ""
    return (
        f"{troubled.connections + calm.connections} connections, {len(happened)} faults, "
        f"{sum(troubled.failures.values())} cut; before {before}; after {after}; "
        f"exact: {len(troubled.clients) + len(calm.clients)}"
    )


@pytest.mark.timeout(180)
async def test_a_short_soak_in_this_process(
    cluster: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an engine in this very process, so that its tasks and objects can be counted."""
    session = LocalSession(cluster.kubeconfig)
    tasks_before = asyncio.all_tasks()
    process = psutil.Process()
    try:
        await exercised(cluster, session, seed=1, load_s=3, faults_s=1.0)
        await eventually(lambda: len(asyncio.all_tasks()) <= len(tasks_before) + 6, "idle tasks")
        gc.collect()
        objects, files = census(), process.num_fds()
        tasks = len(asyncio.all_tasks())
        troubled, calm, _ = await exercised(cluster, session, seed=2, load_s=8, faults_s=1.5)
        judge(troubled, calm=False)
        judge(calm, calm=True)

        def as_before() -> bool:
            gc.collect()
            return (
                len(asyncio.all_tasks()) <= tasks
                and process.num_fds() <= files
                and not census() - objects
            )

        try:
            await eventually(as_before, "everything to be as before", 40.0)
        except AssertionError:
            gc.collect()
            raise AssertionError(
                f"tasks {tasks} → {len(asyncio.all_tasks())}, descriptors {files} → "
                f"{process.num_fds()}, objects {census() - objects}; "
                f"{[task.get_name() for task in asyncio.all_tasks()]}"
            ) from None
    finally:
        await session.close()
    # This test itself is the one that is left.
    await eventually(lambda: len(asyncio.all_tasks()) == 1, "the end of all tasks", 10.0)


def census() -> Counter[str]:
    """How many objects of the data path there are, by type."""
    wanted = {
        "LocalConnection", "SpdyChannel", "SpdyTunnel", "ChannelsTunnel", "LegacyChannel",
        "TunnelPool", "Backlog", "SpdyStream", "ForwardedPair", "LiveForward", "Follower",
        "TlsStream", "SocketStream", "WebSocketStream",
    }  # fmt: skip
    return Counter(name for each in gc.get_objects() if (name := type(each).__name__) in wanted)


@pytest.mark.soak
@pytest.mark.timeout(400)
async def test_soak(cluster: Chain, tmp_path: Path) -> None:
    line = await soaked(cluster, seed=20260101, load_s=60.0, faults_s=4.0)
    assert "after" in line
