"""Runs all checks of the demo."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING

from tui_forward.api.embedded_cluster import EmbeddedCluster, embedded_cluster
from tui_forward.cli.demo import isolation_checks, recovery_checks, transport_checks
from tui_forward.cli.demo.check_result import CheckFailedError, CheckResult
from tui_forward.cli.demo.environment import DemoEnvironment
from tui_forward.cli.demo.report import Check, Renderer
from tui_forward.cli.sessions import remote_session
from tui_forward.common.formatting import milliseconds
from tui_forward.errors import TuiForwardError
from tui_forward.kube.official_client import import_client
from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.model import TransportChoice

if TYPE_CHECKING:
    from tui_forward.session import Session

_CHECK_S = 25.0

_TRANSPORT_NAMES = {
    TransportChoice.SPDY: "SPDY/3.1",
    TransportChoice.WEBSOCKET: "WebSocket tunnel",
    TransportChoice.CHANNELS: "WebSocket channels",
}


class DemoRunner:
    """Runs checks one after the other and renders each when it is done."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self.checks: list[Check] = []

    async def run(self, name: str, check: Awaitable[CheckResult]) -> None:
        """Run a check; an error fails the check, not the program."""
        self.record(await self._run(name, check))

    def start(self, name: str, check: Awaitable[CheckResult]) -> asyncio.Task[Check]:
        """Start a check that mostly waits; pass its result to `record` later."""
        return asyncio.create_task(self._run(name, check), name=name)

    def record(self, check: Check) -> None:
        """Store and render a check."""
        self.checks.append(check)
        self._renderer.check(check)

    async def _run(self, name: str, check: Awaitable[CheckResult]) -> Check:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_CHECK_S):
                result = await check
        except TimeoutError:
            failure = f"not done within {_CHECK_S:.0f} s"
        except (CheckFailedError, TuiForwardError, OSError) as error:
            failure = str(error) or type(error).__name__
        else:
            return Check(name, True, result.summary, time.perf_counter() - began, result.figures)
        return Check(name, False, failure, time.perf_counter() - began)


async def run_demo(renderer: Renderer) -> bool:
    """Run all checks and render them; return whether all passed."""
    began = time.perf_counter()
    renderer.begin()
    runner = DemoRunner(renderer)
    # Beside the start of the cluster: it is no part of what the first check tests.
    importing = asyncio.create_task(import_client(), name="import of the official client")
    async with embedded_cluster() as cluster:
        renderer.section("Cluster")
        seconds = time.perf_counter() - began
        runner.record(
            Check(
                "starts", True, f"{cluster.server}, {milliseconds(seconds)}", seconds,
                {"start_s": seconds},
            )
        )  # fmt: skip
        await asyncio.wait([importing])  # if it failed, the check fails
        async with remote_session(cluster.kubeconfig) as session:
            await _run_checks(runner, renderer, cluster, session)
    renderer.end(runner.checks, time.perf_counter() - began)
    return all(check.passed for check in runner.checks)


async def _run_checks(
    runner: DemoRunner, renderer: Renderer, cluster: EmbeddedCluster, session: Session
) -> None:
    context = next(c.name for c in await session.contexts() if c.current)
    demo = DemoEnvironment(
        session, ControlClient(cluster.control), Path(cluster.kubeconfig), context
    )
    await runner.run("is listed", transport_checks.check_cluster_listing(demo))
    late = runner.start("late reply arrives", isolation_checks.check_late_reply(demo))

    renderer.section("Every transport", "download, upload, and byte counts of both ends")
    for transport, name in _TRANSPORT_NAMES.items():
        await runner.run(name, transport_checks.check_byte_counts(demo, transport))

    renderer.section("Connections do not affect each other")
    await runner.run("connection refused", isolation_checks.check_refused_connection(demo))
    await runner.run("connection reset", isolation_checks.check_reset_connection(demo))
    runner.record(await late)
    await runner.run("stalled readers", isolation_checks.check_stalled_reader(demo))
    await runner.run("stalled servers", isolation_checks.check_stalled_server(demo))

    workers = recovery_checks.WORKERS
    renderer.section("Forwards recover", f"{workers} clients connect all the time")
    await runner.run("pod deleted", recovery_checks.check_pod_deleted(demo))
    await runner.run("container crashed", recovery_checks.check_container_crash(demo))
    for component, name in (("apiserver", "API server"), ("kubelet", "kubelet")):
        await runner.run(
            f"{name} restarted", recovery_checks.check_component_restart(demo, component)
        )
