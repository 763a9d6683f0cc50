"""Outages under load: inject a fault, wait for recovery, measure what clients observed.

In every outage no local connect is refused, and a connection that begins after the fault is
served. One that was open at the time may be cut, since only the application could repeat it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tests.endurance.clients import Attempt, Load
from tests.endurance.engine_process import ForwardHandle, wait_until
from tests.endurance.pod_watch import NAMESPACE, PodWatch, find_container_pid, watch_process_exit
from tests.support.cluster_process import ClusterProcess
from tui_forward.model import ForwardState

# A connection that took longer was queued. Also the lead that the engine may have over the
# observer in seeing a ready pod.
_HELD_S = 0.05
_WARM_UP_CONNECTIONS = 20


@dataclass(frozen=True)
class OutageTimes:
    """Monotonic times of one outage.

    Attributes:
        began: The fault was requested.
        died: The component was gone.
        back: New connections can be served again.
    """

    began: float
    died: float
    back: float


@dataclass
class OutageScene:
    """Forward under load that an outage affects."""

    cluster: ClusterProcess
    pods: PodWatch
    line: ForwardHandle
    load: Load


Fault = Callable[[OutageScene], Awaitable[OutageTimes]]


@dataclass(frozen=True)
class OutageResult:
    """What clients observed of one outage.

    Attributes:
        down_s: Length of the outage.
        first_bytes_s: First byte of each queued connection, from the end of the outage.
        cut: Connections that were open at the start and failed.
        wrong: Descriptions of violations.
    """

    down_s: float
    first_bytes_s: tuple[float, ...]
    cut: int
    wrong: tuple[str, ...]


@dataclass
class OutageResults:
    """Results of several outages of one kind."""

    what: str
    each: list[OutageResult] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        return [
            f"{self.what} {n}: {text}" for n, one in enumerate(self.each, 1) for text in one.wrong
        ]

    @property
    def held(self) -> int:
        return sum(len(one.first_bytes_s) for one in self.each)

    @property
    def first_bytes_s(self) -> list[float]:
        """Return when the first queued connection was served, for each outage."""
        return [min(one.first_bytes_s) for one in self.each if one.first_bytes_s]

    @property
    def p50_s(self) -> float:
        """Return the median of `first_bytes_s`."""
        return statistics.median(self.first_bytes_s or [float("nan")])

    def row(self) -> str:
        """Return a row of the result table."""
        held = sorted(s for one in self.each for s in one.first_bytes_s) or [float("nan")]
        first = sorted(self.first_bytes_s) or [float("nan")]
        down = statistics.median(one.down_s for one in self.each)
        return (
            f"{self.what:30} {len(self.each):2}×   down {_ms(down)}   first byte after: "
            f"{_ms(self.p50_s)}, at most {_ms(first[-1])}   held {self.held:4}, served after "
            f"{_ms(statistics.median(held))}, at most {_ms(held[-1])}   "
            f"cut {sum(one.cut for one in self.each):3}   wrong {len(self.wrong)}"
        )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:6.0f} ms"


async def measure_outage(
    scene: OutageScene, fault: Fault, *, patience_s: float = 45.0
) -> OutageResult:
    """Inject a fault under load and wait until no connection is queued any more."""
    load = scene.load
    warm = load.served + _WARM_UP_CONNECTIONS
    await wait_until(lambda: load.served >= warm, "connections before the outage")
    first = len(load.attempts)
    moments = await fault(scene)
    await wait_until(
        lambda: not load.count_pending(moments.back),
        f"the end of all connections that were held; {await scene.line.timeline()}",
        patience_s,
    )
    await scene.line.wait_until(lambda forward: forward.state is ForwardState.READY, "ready again")
    warm = load.served + _WARM_UP_CONNECTIONS
    await wait_until(lambda: load.served >= warm, "connections after the outage")
    return _judged(load.attempts[max(0, first - _WARM_UP_CONNECTIONS) :], moments)


def _judged(attempts: Sequence[Attempt], moments: OutageTimes) -> OutageResult:
    failures = [each for each in attempts if each.ended and each.failure]
    wrong = [
        f"{'refused' if each.refused else 'failed'} {each.began - moments.died:+.3f} s after it "
        f"began ({moments.back - moments.died:.3f} s long), after {each.ended - each.began:.3f} s: "
        f"{each.failure}"
        for each in failures
        if each.refused or each.began > moments.died
    ]
    held = [
        each.first_byte - moments.back
        for each in attempts
        if each.served
        and moments.began < each.began < moments.back
        and each.first_byte - each.began > _HELD_S
        and each.first_byte > moments.back - _HELD_S
    ]
    return OutageResult(
        down_s=moments.back - moments.died,
        first_bytes_s=tuple(held),
        cut=len(failures) - len(wrong),
        wrong=tuple(wrong),
    )


async def repeat_outage(
    scene: OutageScene, what: str, fault: Fault, times: int, *, rest_s: float = 0.0
) -> OutageResults:
    """Repeat an outage.

    Args:
        scene: Forward under load.
        what: Name of the outage.
        fault: Injects the fault.
        times: Number of repetitions.
        rest_s: How long the forward is ready in between; frequent failures increase its backoff.
    """
    outages = OutageResults(what)
    for _ in range(times):
        await scene.line.wait_until(
            lambda forward: time.time() - forward.since >= rest_s, "ready for a while"
        )
        outages.each.append(await measure_outage(scene, fault))
    return outages


# --------------------------------------------------------------------------------------
# Troubles
# --------------------------------------------------------------------------------------


def delete_pod(grace: int) -> Fault:
    """Delete the pod; its Deployment replaces it."""

    async def fault(scene: OutageScene) -> OutageTimes:
        pod = await scene.pods.wait_for_ready_pod()
        death = watch_process_exit(await find_container_pid(scene.cluster, pod))
        began = time.monotonic()
        await scene.cluster.fault("delete-pod", namespace=NAMESPACE, pod=pod.name, grace=grace)
        other = await scene.pods.wait_for_ready_pod(but=pod.uid)
        async with asyncio.timeout(20):
            died = await death
        return OutageTimes(began, died, other.ready_at)

    return fault


async def crash_container(scene: OutageScene) -> OutageTimes:
    """Kill the container; it is restarted in the same pod."""
    pod = await scene.pods.wait_for_ready_pod()
    before = pod.restarts
    death = watch_process_exit(await find_container_pid(scene.cluster, pod))
    began = time.monotonic()
    await scene.cluster.fault("crash-pod", namespace=NAMESPACE, pod=pod.name)
    again = await scene.pods.wait_until(
        lambda: pod if pod.restarts > before and pod.ready else None, "the restart"
    )
    return OutageTimes(began, await death, again.ready_at)


def restart_component(hop: str, *, down_s: float = 0.0, kill: bool = False) -> Fault:
    """Restart a component of the cluster."""

    async def fault(scene: OutageScene) -> OutageTimes:
        pids = [
            entry["pid"]
            for name, entry in (await scene.cluster.components()).items()
            if name.startswith(hop)
        ]
        deaths = [watch_process_exit(pid) for pid in pids]
        began = time.monotonic()
        await scene.cluster.fault("restart-component", component=hop, down_s=down_s, kill=kill)
        back = time.monotonic()
        return OutageTimes(began, max(await asyncio.gather(*deaths)), back)

    return fault


def stall(hop: str, *, for_s: float) -> Fault:
    """Stall the network for a while without closing connections."""

    async def fault(scene: OutageScene) -> OutageTimes:
        began = time.monotonic()
        await scene.cluster.fault("stall", component=hop, for_s=for_s)
        died = time.monotonic()
        await asyncio.sleep(for_s)  # the duration of the fault
        return OutageTimes(began, died, time.monotonic())

    return fault


def stall_until_detected(hop: str) -> Fault:
    """Stall the network until the engine detects it."""

    async def fault(scene: OutageScene) -> OutageTimes:
        began = time.monotonic()
        await scene.cluster.fault("stall", component=hop)
        died = time.monotonic()
        await scene.line.wait_until(
            lambda forward: forward.state is not ForwardState.READY, "the silence to be noticed"
        )
        await scene.cluster.fault("stall", component=hop, on=False)
        return OutageTimes(began, died, time.monotonic())

    return fault
