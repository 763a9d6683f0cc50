"""Soak test: run load with and without faults, compare byte counts, find leaks."""

from __future__ import annotations

import asyncio
import contextlib
import time

from tests.endurance import soak
from tests.endurance.engine_process import (
    MIB,
    EngineProcess,
    Footprint,
    open_session,
    running_engine,
    wait_until,
)
from tests.endurance.pod_watch import PodWatch
from tests.support.cluster_process import ClusterProcess
from tui_forward.session import Session

# Partly used arenas remain; a leak of minutes would exceed this.
_HEAP_TOLERANCE = 6 * MIB
_IDLE_S = 50.0


async def run_load(
    cluster: ClusterProcess, session: Session, *, seed: int, load_s: float, faults_s: float
) -> tuple[soak.ByteTotals, soak.ByteTotals, list[str]]:
    """Run load with faults, then without; return the totals of both and the faults."""
    async with (
        PodWatch.open(cluster) as pods,
        soak.start_forwards(session) as lines,
    ):
        faulty = soak.ClientMix(lines, seed)
        async with soak.record_connections(session, faulty.totals):
            end = time.monotonic() + load_s
            faults = soak.inject_faults(cluster, pods, seed, end, faults_s)
            _, happened = await asyncio.gather(faulty.run(end), faults)
            await soak.wait_until_idle(lines)
        calm = soak.ClientMix(lines, seed + 1)
        async with soak.record_connections(session, calm.totals):
            await calm.run(time.monotonic() + min(10.0, load_s / 4))
            await soak.wait_until_idle(lines)
        missing = await soak.find_missing_in_pod(session, calm.totals)
        assert not missing, "the pod counted differently: " + "; ".join(missing[:5])
    return faulty.totals, calm.totals, happened


def check_totals(books: soak.ByteTotals, *, calm: bool) -> None:
    """Assert that client and engine counts agree and no unexpected connection failed."""
    when = "without faults" if calm else "with faults"
    assert not books.refused, f"{when}: {books.refused} local connects were refused"
    assert not books.gaps, f"{when}: {books.gaps} events were missed"
    missing = books.find_missing_in_engine()
    assert not missing, f"{when}: " + "; ".join(missing[:5])
    assert len(books.clients) > 20, f"{when}: only {len(books.clients)} clients"
    assert not calm or not books.failures, f"{when}: {books.failures}"


def find_leaks(before: Footprint, after: Footprint) -> str:
    """Return which resources grew; empty if none."""
    wrong = [
        f"{name}: {one} → {two}"
        for name, one, two in (
            ("descriptors", before.files, after.files),
            ("sockets", before.sockets, after.sockets),
        )
        if two > one
    ]
    return ", ".join(wrong)


async def wait_for_release(running: EngineProcess, before: Footprint) -> Footprint:
    """Return the footprint once nothing leaks, or after a timeout."""
    with contextlib.suppress(AssertionError):
        await wait_until(lambda: not find_leaks(before, running.footprint()), "rest", 20.0)
    return running.footprint()


async def run_soak(cluster: ClusterProcess, *, seed: int, load_s: float, faults_s: float) -> str:
    """Run the soak against an engine process; return a row of figures."""
    with running_engine(cluster.kubeconfig) as running:
        async with open_session(running) as session:
            # A first round loads modules, fills caches and grows the heap.
            await run_load(cluster, session, seed=seed, load_s=max(5.0, load_s / 10), faults_s=2.0)
            # Idle tunnels and threads end, and the heap is trimmed.
            await asyncio.sleep(_IDLE_S)
            before = running.footprint()
            faulty, calm, happened = await run_load(
                cluster, session, seed=seed + 100, load_s=load_s, faults_s=faults_s
            )
            await asyncio.sleep(_IDLE_S)
            after = await wait_for_release(running, before)
            check_totals(faulty, calm=False)
            check_totals(calm, calm=True)
            left = find_leaks(before, after)
            assert not left, left
            assert after.rss - before.rss < _HEAP_TOLERANCE, f"{before} → {after}"
            forwards = (await session.snapshot()).forwards
            assert not forwards, f"forwards that were stopped: {forwards}"
        complaints = running.log_errors()
        assert not complaints, complaints
    return (
        f"{faulty.connections + calm.connections} connections, {len(happened)} faults, "
        f"{sum(faulty.failures.values())} cut; before {before}; after {after}; "
        f"exact: {len(faulty.clients) + len(calm.clients)}"
    )
