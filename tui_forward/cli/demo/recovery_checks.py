"""Checks that a forward recovers from a lost pod, container or component."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from tui_forward.cli.demo import traffic
from tui_forward.cli.demo.check_result import CheckFailedError, CheckResult, require
from tui_forward.cli.demo.environment import ECHO, DemoEnvironment, wait_until
from tui_forward.common.formatting import milliseconds
from tui_forward.model import LocalAddress, PodSummary

WORKERS = 8
_ARRIVAL_S = 0.025
_SETTLE_S = 5.0
# A component that restarts may delay a waiting connection this long.
_OUTAGE_S = 15.0


@dataclass(slots=True)
class Load:
    """Short connections of busy clients."""

    address: LocalAddress
    # Start and end of each successful connection, on the wall clock.
    served: list[tuple[float, float]] = field(default_factory=list)
    # Start and error of each connection that failed after it was accepted.
    lost: list[tuple[float, str]] = field(default_factory=list)
    refused: int = 0  # number of connections that the forward did not accept

    async def connect_in_turn(self) -> None:
        """Open one connection after the other until canceled."""
        while True:
            await self._connect_once()
            await asyncio.sleep(0)

    async def connect_at_intervals(self) -> None:
        """Open a connection every `_ARRIVAL_S`, independent of the others, until canceled."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._connect_once())
                await asyncio.sleep(_ARRIVAL_S)

    async def _connect_once(self) -> None:
        began = time.time()
        try:
            async with asyncio.timeout(20):
                await traffic.echo(self.address)
        except ConnectionRefusedError:
            self.refused += 1
        except (OSError, TimeoutError) as error:
            self.lost.append((began, str(error) or type(error).__name__))
        else:
            self.served.append((began, time.time()))


@contextlib.asynccontextmanager
async def _under_load(address: LocalAddress, workers: int) -> AsyncIterator[Load]:
    """Keep `workers` clients and some more at intervals connecting to an address."""
    load = Load(address)
    tasks = [asyncio.create_task(load.connect_in_turn()) for _ in range(workers)]
    tasks.append(asyncio.create_task(load.connect_at_intervals()))
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _check_recovery(
    demo: DemoEnvironment, fail: Callable[[PodSummary], Awaitable[object]], *, replaced: bool
) -> CheckResult:
    """Check that under load a failing pod or container costs no more than its open connections."""
    async with demo.open_forward(ECHO) as forward, _under_load(forward.address, WORKERS) as load:
        pod = await demo.wait_toolbox()
        await wait_until(lambda: _served(load, 100), _SETTLE_S)
        require(load.served, "no connection was served at all")
        failed_at = time.time()
        await fail(pod)

        def is_ready_again() -> bool:
            for other in demo.pods.values():
                if (
                    replaced
                    and other.name != pod.name
                    and _have_same_owner(other, pod)
                    and other.ready
                ):
                    return True
                if not replaced and other.name == pod.name and other.restarts > pod.restarts:
                    return other.ready
            return False

        ready_at = await demo.wait_for(is_ready_again, "the pod to be ready again")
        queued = await _queued_and_served(load, failed_at)
        # Delayed failures show up within this time.
        await asyncio.sleep(0.3)
        status = await forward.status()
    require(not load.refused, f"{load.refused} local connections were refused")
    late = [(began, why) for began, why in load.lost if began > ready_at]
    require(not late, f"{len(late)} connections failed after the pod was ready: {late[:1]}")
    require(
        len(load.lost) <= WORKERS + 2,
        f"{len(load.lost)} connections failed, more than can have been open: {load.lost[-1:]}",
    )
    # The first connection served after the API server reported the pod as ready.
    after = min((ended for _, ended in load.served if ended >= ready_at), default=0.0) - ready_at
    require(after >= 0, "no connection was served after the pod was ready")
    outage = max(ended - began for began, ended in queued)
    moved = f" · now {status.pod.name}" if replaced and status.pod else ""
    cut = f", {len(load.lost)} cut with the pod" if load.lost else ""
    return CheckResult(
        f"{len(load.served)} served, 0 refused{cut} · queued {milliseconds(outage)} at most, first "
        f"byte {milliseconds(after)} after ready{moved}",
        {
            "served": len(load.served),
            "refused": load.refused,
            "cut": len(load.lost),
            "longest_queued_s": outage,
            "first_byte_after_ready_s": after,
        },
    )


def _have_same_owner(pod: PodSummary, other: PodSummary) -> bool:
    return pod.namespace == other.namespace and pod.owner == other.owner


async def _served(load: Load, count: int) -> bool:
    return len(load.served) >= count


async def _queued_and_served(load: Load, since: float) -> list[tuple[float, float]]:
    """Return the connections that waited through the outage: those that took longest."""
    seen = len(load.served) + WORKERS
    await wait_until(lambda: _served(load, seen), _SETTLE_S)
    queued = sorted(
        (pair for pair in load.served if pair[1] > since), key=lambda pair: pair[0] - pair[1]
    )[:WORKERS]
    require(queued, "no connection was served after the outage")
    return queued


async def check_pod_deleted(demo: DemoEnvironment) -> CheckResult:
    """Check that the forward moves to the replacement of a deleted pod."""

    async def delete(pod: PodSummary) -> object:
        return await demo.control.request(
            "delete-pod", namespace=pod.namespace, pod=pod.name, grace=0
        )

    return await _check_recovery(demo, delete, replaced=True)


async def check_container_crash(demo: DemoEnvironment) -> CheckResult:
    """Check that the forward survives a restart of the container."""

    async def crash(pod: PodSummary) -> object:
        return await demo.control.request("crash-pod", namespace=pod.namespace, pod=pod.name)

    return await _check_recovery(demo, crash, replaced=False)


async def check_component_restart(demo: DemoEnvironment, component: str) -> CheckResult:
    """Check that connections wait for a component that restarts."""
    async with demo.open_forward(ECHO) as forward:
        await traffic.echo(forward.address)
        began = time.perf_counter()
        await demo.control.request("restart-component", component=component)
        try:
            async with asyncio.timeout(_OUTAGE_S):
                queued_s = await traffic.echo(forward.address)
        except (OSError, TimeoutError) as error:
            status = await forward.status()
            raise CheckFailedError(
                f"{str(error) or 'no reply'} after {time.perf_counter() - began:.1f} s; "
                f"the forward is {status.state.value}: {status.reason}"
            ) from error
        seconds = time.perf_counter() - began
    return CheckResult(
        f"working again after {seconds:.1f} s", {"outage_s": seconds, "queued_s": queued_s}
    )
