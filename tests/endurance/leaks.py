"""The soak's verdict: whether books agree, and what is left over."""

from __future__ import annotations

import asyncio
import contextlib
import time

from tests.endurance import soak
from tests.endurance.cluster import Chain, Pods
from tests.endurance.engine_process import (
    MIB,
    EngineProcess,
    Footprint,
    engine,
    eventually,
    session_with,
)
from tui_forward.session import Session

# Arenas that are not quite empty; what leaks would be more after minutes.
_HEAP = 6 * MIB
_REST_S = 50.0


async def exercised(
    cluster: Chain, session: Session, *, seed: int, load_s: float, faults_s: float
) -> tuple[soak.ByteTotals, soak.ByteTotals, list[str]]:
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
        missing = await soak.missing_in_pod(session, calm.books)
        assert not missing, "the pod counted something else: " + "; ".join(missing[:5])
    return troubled.books, calm.books, happened


def judge(books: soak.ByteTotals, *, calm: bool) -> None:
    """Whether everybody counted the same, and nothing failed that should not."""
    when = "without faults" if calm else "with faults"
    assert not books.refused, f"{when}: {books.refused} local connects were refused"
    assert not books.gaps, f"{when}: {books.gaps} events were missed"
    missing = books.missing_in_engine()
    assert not missing, f"{when}: " + "; ".join(missing[:5])
    assert len(books.clients) > 20, f"{when}: only {len(books.clients)} clients"
    assert not calm or not books.failures, f"{when}: {books.failures}"


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
    with contextlib.suppress(AssertionError):
        await eventually(lambda: not leaked(before, running.footprint()), "rest", 20.0)
    return running.footprint()


async def soaked(cluster: Chain, *, seed: int, load_s: float, faults_s: float) -> str:
    """The whole proof against an engine process; gives a line of figures."""
    with engine(cluster.kubeconfig) as running:
        async with session_with(running) as session:
            # The first round loads modules, fills caches and grows the heap.
            await exercised(cluster, session, seed=seed, load_s=max(5.0, load_s / 10), faults_s=2.0)
            # At rest: idle tunnels and threads have ended, and the heap was given back.
            await asyncio.sleep(_REST_S)
            before = running.footprint()
            troubled, calm, happened = await exercised(
                cluster, session, seed=seed + 100, load_s=load_s, faults_s=faults_s
            )
            await asyncio.sleep(_REST_S)
            after = await settled(running, before)
            judge(troubled, calm=False)
            judge(calm, calm=True)
            left = leaked(before, after)
            assert not left, left
            assert after.rss - before.rss < _HEAP, f"{before} → {after}"
            forwards = (await session.snapshot()).forwards
            assert not forwards, f"forwards that were stopped: {forwards}"
        complaints = running.complaints()
        assert not complaints, complaints
    return (
        f"{troubled.connections + calm.connections} connections, {len(happened)} faults, "
        f"{sum(troubled.failures.values())} cut; before {before}; after {after}; "
        f"exact: {len(troubled.clients) + len(calm.clients)}"
    )
