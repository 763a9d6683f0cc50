"""Checks of a soak: byte counts agree, and no resource is left over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

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

# The heap keeps partly used arenas; a leak would be larger after minutes.
_MAX_HEAP_GROWTH = 6 * MIB
# Until idle tunnels and threads have ended and the heap has been trimmed.
_REST_S = 50.0
_REPORT_S = 10.0


@dataclass(frozen=True)
class SoakResult:
    """Counts of a load with faults, then of one without, and the names of the faults."""

    with_faults: soak.ByteTotals
    without_faults: soak.ByteTotals
    faults: list[str]

    def check(self) -> None:
        """Check that client and engine counted the same, and that only faults led to failures."""
        for name, totals in (
            ("with faults", self.with_faults),
            ("without faults", self.without_faults),
        ):
            assert not totals.refused, f"{name}: {totals.refused} local connects were refused"
            assert not totals.missed_events, f"{name}: {totals.missed_events} missed events"
            differences = totals.find_engine_differences()
            assert not differences, f"{name}: " + "; ".join(differences[:5])
            assert len(totals.clients) >= soak.MIN_CLIENTS, f"{name}: {len(totals.clients)} clients"
        assert not self.without_faults.failures, f"without faults: {self.without_faults.failures}"


async def run_load(
    cluster: ClusterProcess,
    session: Session,
    *,
    seed: int,
    load_s: float,
    fault_interval_s: float,
    concurrent: int = 24,
    min_clients: int = soak.MIN_CLIENTS,
) -> SoakResult:
    """Run a load with faults, then one without; compare the latter with the pod's counters."""
    async with PodWatch.open(cluster) as pods, soak.running_forwards(session) as forwards:
        with_faults = soak.ClientMix(forwards, seed, concurrent, min_clients)
        async with soak.record_connections(session, with_faults.totals):
            deadline = time.monotonic() + load_s
            _, faults = await asyncio.gather(
                with_faults.run(deadline),
                soak.inject_random_faults(
                    cluster, pods, seed=seed, deadline=deadline, interval_s=fault_interval_s
                ),
            )
            await soak.wait_until_idle(forwards)
            await _wait_for_reports(with_faults.totals)
        without_faults = soak.ClientMix(forwards, seed + 1, concurrent, min_clients)
        async with soak.record_connections(session, without_faults.totals):
            await without_faults.run(time.monotonic() + min(10.0, load_s / 4))
            await soak.wait_until_idle(forwards)
            await _wait_for_reports(without_faults.totals)
        differences = await soak.find_pod_differences(session, without_faults.totals)
        assert not differences, "the pod counted other bytes: " + "; ".join(differences[:5])
    return SoakResult(with_faults.totals, without_faults.totals, faults)


async def _wait_for_reports(totals: soak.ByteTotals) -> None:
    """Wait until the engine has reported all connections; `SoakResult.check` finds the others.

    It asks for a moment what happened to the pod of a connection before it reports its end.
    """
    with contextlib.suppress(AssertionError):
        await wait_until(
            lambda: not totals.find_engine_differences(), "the last connections", _REPORT_S
        )


def find_leaks(before: Footprint, after: Footprint) -> str:
    """Describe the descriptors and sockets that were added; empty if there are none."""
    return ", ".join(
        f"{name}: {count_before} → {count_after}"
        for name, count_before, count_after in (
            ("descriptors", before.files, after.files),
            ("sockets", before.sockets, after.sockets),
        )
        if count_after > count_before
    )


async def wait_for_release(engine: EngineProcess, before: Footprint) -> Footprint:
    """Return the footprint once nothing is left over, or after a timeout."""
    with contextlib.suppress(AssertionError):
        await wait_until(lambda: not find_leaks(before, engine.footprint()), "release", 20.0)
    return engine.footprint()


async def run_soak(
    cluster: ClusterProcess, *, seed: int, load_s: float, fault_interval_s: float
) -> str:
    """Run and check a soak of an engine process; return a line of figures."""
    with running_engine(cluster.kubeconfig) as engine:
        async with open_session(engine) as session:
            # The first load imports modules, fills caches and grows the heap.
            await run_load(
                cluster, session, seed=seed, load_s=max(5.0, load_s / 10), fault_interval_s=2.0
            )
            await asyncio.sleep(_REST_S)
            before = engine.footprint()
            result = await run_load(
                cluster, session, seed=seed + 100, load_s=load_s, fault_interval_s=fault_interval_s
            )
            await asyncio.sleep(_REST_S)
            after = await wait_for_release(engine, before)
            result.check()
            leaks = find_leaks(before, after)
            assert not leaks, leaks
            assert after.rss - before.rss < _MAX_HEAP_GROWTH, f"{before} → {after}"
            forwards = (await session.snapshot()).forwards
            assert not forwards, f"stopped forwards are still active: {forwards}"
        errors = engine.log_errors()
        assert not errors, errors
    loads = (result.with_faults, result.without_faults)
    return (
        f"{sum(each.connections for each in loads)} connections, {len(result.faults)} faults, "
        f"{sum(result.with_faults.failures.values())} cut, "
        f"{sum(len(each.clients) for each in loads)} compared; before: {before}; after: {after}"
    )
