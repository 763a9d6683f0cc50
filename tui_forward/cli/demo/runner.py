"""The demonstration from beginning to end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from tui_forward.cli.demo import checks
from tui_forward.cli.demo.checks import Broken, Outcome
from tui_forward.cli.demo.environment import Stage
from tui_forward.cli.demo.report import Claim, Renderer
from tui_forward.cli.embedded_cluster import EmbeddedCluster, embedded_cluster
from tui_forward.cli.sessions import remote_session
from tui_forward.common.formatting import milliseconds
from tui_forward.errors import TuiForwardError
from tui_forward.minicluster.control_socket import Control
from tui_forward.model import TransportChoice

if TYPE_CHECKING:
    from tui_forward.session import Session

_CLAIM_S = 25.0

_TRANSPORT_NAMES = {
    TransportChoice.SPDY: "SPDY/3.1",
    TransportChoice.WEBSOCKET: "WebSocket tunnel",
    TransportChoice.CHANNELS: "WebSocket channels",
}


class Demonstration:
    """Tests claims one after the other and shows each as soon as it is known."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self.claims: list[Claim] = []

    async def test(self, name: str, outcome: Awaitable[Outcome]) -> None:
        """One claim; whatever goes wrong is the claim's failure, not the program's."""
        self.record(await self._tested(name, outcome))

    def begin(self, name: str, outcome: Awaitable[Outcome]) -> asyncio.Task[Claim]:
        """A claim that mostly waits: tested meanwhile, shown by `record` when it is its turn."""
        return asyncio.create_task(self._tested(name, outcome), name=name)

    def record(self, claim: Claim) -> None:
        """Keep and show."""
        self.claims.append(claim)
        self._renderer.claim(claim)

    async def _tested(self, name: str, outcome: Awaitable[Outcome]) -> Claim:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_CLAIM_S):
                result = await outcome
        except TimeoutError:
            failure = f"not done within {_CLAIM_S:.0f} s"
        except (Broken, TuiForwardError, OSError) as error:
            failure = str(error) or type(error).__name__
        else:
            return Claim(name, True, result.words, time.perf_counter() - began, result.figures)
        return Claim(name, False, failure, time.perf_counter() - began)


async def run_demo(renderer: Renderer) -> bool:
    """Run everything once and show it; returns whether every claim held.

    Raises:
        TuiForwardError: The embedded cluster or the engine could not be started.
    """
    began = time.perf_counter()
    renderer.begin()
    show = Demonstration(renderer)
    async with embedded_cluster() as cluster:
        renderer.section("The chain")
        seconds = time.perf_counter() - began
        show.record(
            Claim(
                "starts", True, f"{cluster.server}, {milliseconds(seconds)}", seconds,
                {"start_s": seconds},
            )
        )  # fmt: skip
        async with remote_session(cluster.kubeconfig) as session:
            await _run_claims(show, renderer, cluster, session)
    renderer.end(show.claims, time.perf_counter() - began)
    return all(claim.held for claim in show.claims)


async def _run_claims(
    show: Demonstration, renderer: Renderer, cluster: EmbeddedCluster, session: Session
) -> None:
    context = next(c.name for c in await session.contexts() if c.current)
    stage = Stage(session, Control(cluster.control), context)
    await show.test("is listed", checks.cluster_listed(stage))
    late = show.begin("late reply arrives", checks.late_reply_arrives(stage))

    renderer.section("Every transport", "download, upload and both ends' count of the bytes")
    for transport, name in _TRANSPORT_NAMES.items():
        await show.test(name, checks.moves_bytes(stage, transport))

    renderer.section("One connection never harms another")
    await show.test("refused ends alone", checks.refused_ends_alone(stage))
    await show.test("reset ends alone", checks.reset_ends_alone(stage))
    show.record(await late)
    await show.test("stopped reader", checks.stalled_reader_harms_nobody(stage))
    await show.test("stopped server", checks.stalled_server_harms_nobody(stage))

    renderer.section("What goes away comes back", f"{checks.WORKERS} clients connect all the time")
    await show.test("pod deleted", checks.pod_deleted(stage))
    await show.test("container crashed", checks.container_crashed(stage))
    await show.test("API server restarted", checks.hop_restarted(stage, "apiserver"))
    await show.test("kubelet restarted", checks.hop_restarted(stage, "kubelet"))
