"""Every state of a forward, brought about and held on an embedded cluster of one's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.model import ForwardSpec, ForwardState, Target, TargetKind
from tui_forward.session import Session

Do = Callable[["StateScenario"], Awaitable[object]]


@dataclass
class StateScenario:
    """Where it happens.

    Attributes:
        forward_id: Of the forward it happens to; a step that starts one sets it.
    """

    session: Session
    control: ControlClient
    context: str
    forward_id: str = ""

    async def start(self, name: str, port: str, kind: TargetKind, namespace: str = "shop") -> None:
        """One more forward, at any free port."""
        target = Target(
            context=self.context, namespace=namespace, kind=kind, name=name, port=port
        )  # fmt: skip
        self.forward_id = await self.session.start(ForwardSpec(target=target, local_port=0))

    async def stop(self) -> None:
        """End it."""
        await self.session.stop(self.forward_id)


@dataclass(frozen=True)
class Step:
    """One thing that happens to a forward.

    Attributes:
        state: What it leads to, and what stays so until the next step.
        mark: As on the screen, in the forward's row.
        perform: What happens.
        because: In the reason.
    """

    state: ForwardState
    mark: str
    perform: Do
    because: str


async def _start_unheard(stage: StateScenario) -> None:
    await stage.control.request("stall", component="apiserver", what="all", on=True)
    await stage.start("echo", "echo", TargetKind.POD, "default")


async def _hear_all_but_tunnels(stage: StateScenario) -> None:
    await stage.stop()
    await stage.control.request("clear")
    await stage.control.request("stall", component="apiserver", what="tunnels", on=True)
    await stage.start("echo", "echo", TargetKind.DEPLOYMENT)


STEPS = (
    Step(ForwardState.STARTING, "◌ starting", _start_unheard, ""),
    Step(ForwardState.CONNECTING, "◐ connecting", _hear_all_but_tunnels, "echo-"),
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
