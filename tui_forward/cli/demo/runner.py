"""The demonstration from beginning to end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from tui_forward.cli.demo import checks
from tui_forward.cli.demo.checks import CheckFailedError, CheckResult
from tui_forward.cli.demo.environment import DemoEnvironment
from tui_forward.cli.demo.report import Check, Renderer
from tui_forward.cli.embedded_cluster import EmbeddedCluster, embedded_cluster
from tui_forward.cli.sessions import remote_session
from tui_forward.common.formatting import milliseconds
from tui_forward.errors import TuiForwardError
from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.model import TransportChoice

if TYPE_CHECKING:
    from tui_forward.session import Session

_CLAIM_S = 25.0

_TRANSPORT_NAMES = {
    TransportChoice.SPDY: "SPDY/3.1",
    TransportChoice.WEBSOCKET: "WebSocket tunnel",
    TransportChoice.CHANNELS: "WebSocket channels",
}


class DemoRunner:
    """Tests claims one after the other and shows each as soon as it is known."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self.claims: list[Check] = []

    async def test(self, name: str, outcome: Awaitable[CheckResult]) -> None:
        """One claim; whatever goes wrong is the claim's failure, not the program's."""
        self.record(await self._tested(name, outcome))

    def begin(self, name: str, outcome: Awaitable[CheckResult]) -> asyncio.Task[Check]:
        """A claim that mostly waits: tested meanwhile, shown by `record` when it is its turn."""
        return asyncio.create_task(self._tested(name, outcome), name=name)

    def record(self, claim: Check) -> None:
        """Keep and show."""
        self.claims.append(claim)
        self._renderer.claim(claim)

    async def _tested(self, name: str, outcome: Awaitable[CheckResult]) -> Check:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_CLAIM_S):
                result = await outcome
        except TimeoutError:
            failure = f"not done within {_CLAIM_S:.0f} s"
        except (CheckFailedError, TuiForwardError, OSError) as error:
            failure = str(error) or type(error).__name__
        else:
            return Check(name, True, result.words, time.perf_counter() - began, result.figures)
        return Check(name, False, failure, time.perf_counter() - began)


async def run_demo(renderer: Renderer) -> bool:
    """Run everything once and show it; returns whether every claim held.

    Raises:
        TuiForwardError: The embedded cluster or the engine could not be started.
    """
    began = time.perf_counter()
    renderer.begin()
    show = DemoRunner(renderer)
    async with embedded_cluster() as cluster:
        renderer.section("The chain")
        seconds = time.perf_counter() - began
        show.record(
            Check(
                "starts", True, f"{cluster.server}, {milliseconds(seconds)}", seconds,
                {"start_s": seconds},
            )
        )  # fmt: skip
        async with remote_session(cluster.kubeconfig) as session:
            await _run_claims(show, renderer, cluster, session)
    renderer.end(show.claims, time.perf_counter() - began)
    return all(claim.passed for claim in show.claims)


async def _run_claims(
    show: DemoRunner, renderer: Renderer, cluster: EmbeddedCluster, session: Session
) -> None:
    context = next(c.name for c in await session.contexts() if c.current)
    stage = DemoEnvironment(session, ControlClient(cluster.control), context)
    await show.test("is listed", checks.check_cluster_listing(stage))
    late = show.begin("late reply arrives", checks.check_late_reply(stage))

    renderer.section("Every transport", "download, upload and both ends' count of the bytes")
    for transport, name in _TRANSPORT_NAMES.items():
        await show.test(name, checks.check_byte_counts(stage, transport))

    renderer.section("One connection never harms another")
    await show.test("refused ends alone", checks.check_refused_connection(stage))
    await show.test("reset ends alone", checks.check_reset_connection(stage))
    show.record(await late)
    await show.test("stopped reader", checks.check_stalled_reader(stage))
    await show.test("stopped server", checks.check_stalled_server(stage))

    renderer.section("What goes away comes back", f"{checks.WORKERS} clients connect all the time")
    await show.test("pod deleted", checks.check_pod_deleted(stage))
    await show.test("container crashed", checks.check_container_crash(stage))
    await show.test("API server restarted", checks.check_component_restart(stage, "apiserver"))
    await show.test("kubelet restarted", checks.check_component_restart(stage, "kubelet"))
