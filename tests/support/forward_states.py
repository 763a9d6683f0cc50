"""Steps that bring a forward into each of its states on an embedded cluster."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.model import Forward, ForwardSpec, ForwardState, Target, TargetKind
from tui_forward.session import Session

Do = Callable[["StateScenario"], Awaitable[object]]


@dataclass
class StateScenario:
    """Session and cluster of the steps.

    Attributes:
        forward_id: The affected forward; set by a step that starts one.
    """

    session: Session
    control: ControlClient
    context: str
    forward_id: str = ""

    async def start(self, name: str, port: str, kind: TargetKind, namespace: str = "shop") -> None:
        """Start a forward on any free port."""
        target = Target(
            context=self.context, namespace=namespace, kind=kind, name=name, port=port
        )  # fmt: skip
        self.forward_id = await self.session.start(ForwardSpec(target=target, local_port=0))

    async def forward(self) -> Forward:
        """Return the forward as it is now."""
        forwards = (await self.session.snapshot()).forwards
        return next(one for one in forwards if one.id == self.forward_id)

    async def stop(self) -> None:
        """Stop the forward."""
        await self.session.stop(self.forward_id)


@dataclass(frozen=True)
class Step:
    """Action on a forward, and the state that follows.

    Attributes:
        state: State until the next step.
        mark: Text in the forward's row in the dashboard.
        perform: The action.
        because: Part of the reason.
    """

    state: ForwardState
    mark: str
    perform: Do
    because: str

    @property
    def pattern(self) -> str:
        """Regular expression of the mark: symbol and word are cells with a gap between them."""
        symbol, _, word = self.mark.partition(" ")
        return rf"{re.escape(symbol)}\s+{re.escape(word)}"


async def _start_without_api_server(scenario: StateScenario) -> None:
    await scenario.control.request("stall", component="apiserver", what="all", on=True)
    await scenario.start("echo", "echo", TargetKind.POD, "default")


async def _start_without_tunnels(scenario: StateScenario) -> None:
    await scenario.stop()
    await scenario.control.request("clear")
    await scenario.control.request("stall", component="apiserver", what="tunnels", on=True)
    await scenario.start("echo", "echo", TargetKind.DEPLOYMENT)


STEPS = (
    Step(ForwardState.STARTING, "◌ starting", _start_without_api_server, ""),
    Step(ForwardState.CONNECTING, "◐ connecting", _start_without_tunnels, "echo-"),
    Step(
        ForwardState.READY, "● ready",
        lambda s: s.control.request("clear"), "forwarding to echo-",
    ),
    Step(
        ForwardState.RECONNECTING, "◐ reconnecting",
        lambda s: s.control.request("stop-component", component="kubelet", kill=True), "",
    ),
    Step(
        ForwardState.READY, "● ready",
        lambda s: s.control.request("start-component", component="kubelet"), "forwarding to echo-",
    ),
    Step(ForwardState.STOPPED, "‖ paused", lambda s: s.session.pause(s.forward_id), "paused"),
    Step(ForwardState.READY, "● ready", lambda s: s.session.resume(s.forward_id), "forwarding"),
    Step(
        ForwardState.WAITING, "◔ waiting",
        lambda s: s.start("search", "http", TargetKind.DEPLOYMENT), "search-",
    ),
    Step(
        ForwardState.BLOCKED, "■ blocked",
        lambda s: s.start("nothing", "80", TargetKind.DEPLOYMENT), "nothing",
    ),
)  # fmt: skip
