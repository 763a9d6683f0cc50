"""How a forward comes by its local port: the port is opened once, however long that takes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from tui_forward.engine.connections.listener import Listener
from tui_forward.engine.connections.local_ports import PortRequest, PortTakenError, bind_sockets
from tui_forward.engine.context import EngineContext
from tui_forward.engine.forwards import reasons as reasons
from tui_forward.engine.forwards import state_machine as state_machine
from tui_forward.engine.forwards.auto_reset_event import AutoResetEvent
from tui_forward.engine.forwards.status_recorder import StatusRecorder
from tui_forward.engine.host.socket_owners import find_port_owner
from tui_forward.errors import ForwardError, ForwardErrorCause
from tui_forward.model import (
    BlockedBy,
    EventKind,
    ForwardSpec,
    LocalAddress,
    Resolution,
    Resolved,
    TimelineKind,
    Unresolved,
)

# A port that is taken is tried again this often: one bind(2).
_RETRY_S = 1.0


async def open_listener(
    spec: ForwardSpec,
    *,
    resolution: Callable[[], Resolution],
    alarm: AutoResetEvent,
    story: StatusRecorder,
    world: EngineContext,
    on_accept: Callable[[socket.socket, LocalAddress, LocalAddress], None],
) -> Listener:
    """Bind the forward's addresses and accept on them; waits until the port can be had.

    Args:
        spec: What was asked for.
        resolution: What the target means now, for ports given by name.
        alarm: Rings when `resolution` changes, or somebody asks to try again.
        story: Where trouble is told.
        world: The engine, which knows the ports of other forwards.
        on_accept: As in `Listener`.
    """
    while True:
        wish = _wish(spec, resolution())
        if wish is None:
            missing = resolution()
            assert isinstance(missing, Unresolved)
            story.advance(reasons.pod_missing(missing, None))
            await alarm.wait()
            continue
        try:
            sockets = bind_sockets(spec.addresses, wish, world.inherited_sockets)
        except ForwardError as error:
            story.advance(await _trouble(error, world))
            await alarm.wait(_RETRY_S)
            continue
        listener = Listener(
            sockets,
            on_accept=on_accept,
            on_exhausted=lambda text: story.record_problem(TimelineKind.NOTE, text),
        )
        addresses = ", ".join(str(address) for address in listener.addresses)
        story.record(TimelineKind.STATE, f"listening on {addresses}")
        story.emit(EventKind.LISTENING, listening=listener.addresses)
        return listener


def _wish(spec: ForwardSpec, resolution: Resolution) -> PortRequest | None:
    """The local port to bind; None until the number behind a port's name is known."""
    if spec.local_port is not None:
        return PortRequest(spec.local_port, required=True)
    if spec.target.port.isdecimal():
        return PortRequest(int(spec.target.port), required=False)
    if isinstance(resolution, Resolved):
        return PortRequest(resolution.port, required=False)
    return None


async def _trouble(error: ForwardError, world: EngineContext) -> state_machine.ListenerBlocked:
    if isinstance(error, PortTakenError):
        port = error.address.port
        who = world.own_forward_on(port)
        hint = "stop that forward, or choose another local port" if who else error.hint
        if not who:
            holder = await asyncio.to_thread(find_port_owner, error.address.host, port)
            who = str(holder) if holder is not None else "another process"
        reason = f"{error.message} by {who}; starts as soon as it is free"
        return state_machine.ListenerBlocked(reason, hint, BlockedBy.PORT)
    privileged = error.cause is ForwardErrorCause.PRIVILEGED
    by = BlockedBy.PORT if privileged else BlockedBy.CONFIG
    return state_machine.ListenerBlocked(error.message, error.hint, by)
