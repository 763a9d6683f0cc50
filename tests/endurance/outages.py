"""Outages under load: faults, when service returns, and what clients observe.

The rule for all of them: no local connect is refused, and a connection that began after the
failure is served. A connection that was open at the time of the failure may be cut, because only
the application could repeat it.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.endurance import toolbox
from tests.endurance.clients import Attempt, Load
from tests.endurance.engine_process import ForwardHandle, running_forward, wait_until
from tests.endurance.pod_watch import PodWatch, find_container_pid, watch_process_exit
from tests.support.cluster_process import ClusterProcess
from tui_forward.model import ForwardState
from tui_forward.session import Session

# A connection that took longer was held. The engine may also detect a ready pod earlier than
# the pod watch does, by at most this.
_HELD_S = 0.05
_WARM_UP_CONNECTIONS = 10
_RECOVERY_TIMEOUT_S = 45.0


@dataclass(frozen=True)
class OutageTimes:
    """Monotonic times of one outage.

    Attributes:
        began: The fault was requested.
        failed: From here on, no process served connections.
        restored: From here on, a new connection can be served.
    """

    began: float
    failed: float
    restored: float


@dataclass
class OutageScene:
    """A forward under load, and the cluster in which faults are injected."""

    cluster: ClusterProcess
    pods: PodWatch
    forward: ForwardHandle
    load: Load


Fault = Callable[[OutageScene], Awaitable[OutageTimes]]


@contextlib.asynccontextmanager
async def open_outage_scene(
    cluster: ClusterProcess,
    session: Session,
    *,
    context: str = "minicluster",
    queue_timeout_s: float = 30.0,
    is_heavy: bool = False,
) -> AsyncIterator[OutageScene]:
    """Start a forward to the echo, and a load on it; a heavy one is as much as it can serve."""
    heavy: dict[str, Any] = {"workers": 4, "pause_s": 0.002, "interval_s": 0.02}
    async with (
        PodWatch.open(cluster) as pods,
        running_forward(
            session, toolbox.ECHO, context=context, queue_timeout_s=queue_timeout_s
        ) as forward,
        Load(forward.port, **(heavy if is_heavy else {})).running() as load,
    ):
        yield OutageScene(cluster, pods, forward, load)


@dataclass(frozen=True)
class OutageResult:
    """Observations of clients during one outage.

    Attributes:
        down_s: From the failure until service was restored.
        first_bytes_s: For each held connection: from the restoration until its first byte.
        cut: Connections that were open when the outage began, and failed.
        violations: Descriptions of connections that broke the rule.
    """

    down_s: float
    first_bytes_s: tuple[float, ...]
    cut: int
    violations: tuple[str, ...]


@dataclass
class OutageResults:
    """Results of several outages of one kind."""

    name: str
    outages: list[OutageResult] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        return [
            f"{self.name} {number}: {text}"
            for number, outage in enumerate(self.outages, 1)
            for text in outage.violations
        ]

    @property
    def held(self) -> int:
        return sum(len(outage.first_bytes_s) for outage in self.outages)

    @property
    def first_bytes_s(self) -> list[float]:
        """Return the first byte of each outage: that of the held connection served first."""
        return [min(outage.first_bytes_s) for outage in self.outages if outage.first_bytes_s]

    @property
    def p50_s(self) -> float:
        """Return the median of `first_bytes_s`."""
        return statistics.median(self.first_bytes_s or [float("nan")])

    def row(self) -> str:
        """Return one line of the printed table."""
        nan = [float("nan")]
        held = [s for outage in self.outages for s in outage.first_bytes_s] or nan
        down = statistics.median(outage.down_s for outage in self.outages)
        return (
            f"{self.name:30} {len(self.outages):2}×   down {_ms(down)}   first byte after "
            f"{_ms(self.p50_s)}, max {_ms(max(self.first_bytes_s or nan))}   "
            f"held {self.held:4}, served after {_ms(statistics.median(held))}, "
            f"max {_ms(max(held))}   cut {sum(outage.cut for outage in self.outages):3}   "
            f"violations {len(self.violations)}"
        )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:6.0f} ms"


async def measure_outage(scene: OutageScene, fault: Fault) -> OutageResult:
    """Inject a fault under load; wait until every held connection has ended."""
    load = scene.load
    await wait_for_served(load, _WARM_UP_CONNECTIONS)
    first = max(0, len(load.attempts) - _WARM_UP_CONNECTIONS)
    times = await fault(scene)
    await wait_until(
        lambda: not load.count_pending(times.restored),
        f"the end of all held connections; {await scene.forward.timeline()}",
        _RECOVERY_TIMEOUT_S,
    )
    await scene.forward.wait_until(
        lambda forward: forward.state is ForwardState.READY, "ready again"
    )
    await wait_for_served(load, _WARM_UP_CONNECTIONS)
    return _evaluate(load.attempts[first:], times)


async def wait_for_served(load: Load, count: int) -> None:
    """Wait until a number of further connections have been served."""
    served = load.served
    await wait_until(lambda: load.served >= served + count, f"{count} served connections")


def _evaluate(attempts: Sequence[Attempt], times: OutageTimes) -> OutageResult:
    failures = [each for each in attempts if each.ended and each.failure]
    violations = [
        f"{'refused' if each.refused else 'failed'}: began {each.began - times.failed:+.3f} s "
        f"after the failure ({times.restored - times.failed:.3f} s long), ended after "
        f"{each.ended - each.began:.3f} s: {each.failure}"
        for each in failures
        if each.refused or each.began > times.failed
    ]
    first_bytes = [
        each.first_byte - times.restored
        for each in attempts
        if each.served
        and times.began < each.began < times.restored
        and each.first_byte - each.began > _HELD_S
        and each.first_byte > times.restored - _HELD_S
    ]
    return OutageResult(
        down_s=times.restored - times.failed,
        first_bytes_s=tuple(first_bytes),
        cut=len(failures) - len(violations),
        violations=tuple(violations),
    )


async def repeat_outage(
    scene: OutageScene, name: str, fault: Fault, count: int = 1, *, rest_s: float = 0.0
) -> OutageResults:
    """Measure several outages of one kind.

    Args:
        name: Name of the outage in results.
        rest_s: How long the forward has been ready before each outage. Without a rest, the
            engine's backoff grows with each failure.
    """
    results = OutageResults(name)
    for _ in range(count):
        await scene.forward.wait_until(
            lambda forward: time.time() - forward.since >= rest_s, "ready for a while"
        )
        results.outages.append(await measure_outage(scene, fault))
    return results


# --------------------------------------------------------------------------------------
# Faults
# --------------------------------------------------------------------------------------


def delete_pod(grace_s: int) -> Fault:
    """Return a fault that deletes the pod; its Deployment replaces it."""

    async def fault(scene: OutageScene) -> OutageTimes:
        pod = await scene.pods.wait_for_ready_pod()
        process_exit = watch_process_exit(await find_container_pid(scene.cluster, pod))
        began = time.monotonic()
        await scene.cluster.fault(
            "delete-pod", namespace=toolbox.NAMESPACE, pod=pod.name, grace=grace_s
        )
        replacement = await scene.pods.wait_for_ready_pod(exclude_uid=pod.uid)
        async with asyncio.timeout(60):
            failed = await process_exit
        return OutageTimes(began, failed, replacement.ready_at)

    return fault


async def delete_pod_after_compaction(scene: OutageScene) -> OutageTimes:
    """Delete the pod after the history that watches would resume from is gone."""
    await scene.cluster.fault("gone", times=2)
    await scene.cluster.fault("compact")
    await scene.cluster.fault("cut", component="apiserver", what="watches")
    return await delete_pod(0)(scene)


async def crash_container(scene: OutageScene) -> OutageTimes:
    """Kill the container; it is restarted in the same pod."""
    pod = await scene.pods.wait_for_ready_pod()
    restarts = pod.restarts
    process_exit = watch_process_exit(await find_container_pid(scene.cluster, pod))
    began = time.monotonic()
    await scene.cluster.fault("crash-pod", namespace=toolbox.NAMESPACE, pod=pod.name)
    restarted = await scene.pods.wait_until(
        lambda: pod if pod.restarts > restarts and pod.ready else None, "the restart"
    )
    return OutageTimes(began, await process_exit, restarted.ready_at)


def restart_component(component: str, *, down_s: float = 0.0, kill: bool = False) -> Fault:
    """Return a fault that stops or kills a component of the cluster and starts it again."""

    async def fault(scene: OutageScene) -> OutageTimes:
        process_exits = [
            watch_process_exit(entry["pid"])
            for name, entry in (await scene.cluster.components()).items()
            if name.startswith(component)
        ]
        began = time.monotonic()
        await scene.cluster.fault(
            "restart-component", component=component, down_s=down_s, kill=kill
        )
        restored = time.monotonic()
        return OutageTimes(began, max(await asyncio.gather(*process_exits)), restored)

    return fault


def stall(component: str, *, duration_s: float) -> Fault:
    """Return a fault that stops all traffic of a component for a while, without closing."""

    async def fault(scene: OutageScene) -> OutageTimes:
        began = time.monotonic()
        await scene.cluster.fault("stall", component=component, for_s=duration_s)
        failed = time.monotonic()
        await asyncio.sleep(duration_s)  # the fault itself, not a wait for a condition
        return OutageTimes(began, failed, time.monotonic())

    return fault


def stall_until_detected(component: str) -> Fault:
    """Return a fault that stops all traffic of a component until the engine detects it."""

    async def fault(scene: OutageScene) -> OutageTimes:
        began = time.monotonic()
        await scene.cluster.fault("stall", component=component)
        failed = time.monotonic()
        await scene.forward.wait_until(
            lambda forward: forward.state is not ForwardState.READY, "detection of the silence"
        )
        await scene.cluster.fault("stall", component=component, on=False)
        return OutageTimes(began, failed, time.monotonic())

    return fault


async def expire_token(scene: OutageScene) -> OutageTimes:
    """Expire the token and cut all connections; rotate the token once the forward is blocked."""
    began = time.monotonic()
    await scene.cluster.fault("expire-token")
    await scene.cluster.fault("cut", component="apiserver", what="all")
    failed = time.monotonic()
    await scene.forward.wait_until(
        lambda forward: forward.state is ForwardState.BLOCKED, "blocked by its credentials"
    )
    await scene.cluster.fault("rotate-token")
    return OutageTimes(began, failed, time.monotonic())
