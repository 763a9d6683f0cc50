"""Opening of a forward's local port, retried until it succeeds."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from msgspec.structs import replace

from tui_forward.common.blocking_call import ThreadSlots
from tui_forward.engine.connections.listener import Listener
from tui_forward.engine.connections.local_ports import PortRequest, bind_missing, bind_sockets
from tui_forward.engine.context import EngineContext
from tui_forward.engine.forwards import state_machine
from tui_forward.engine.forwards.auto_reset_event import AutoResetEvent
from tui_forward.engine.forwards.status_recorder import StatusRecorder
from tui_forward.engine.host.socket_owners import find_port_owner
from tui_forward.errors import ForwardError
from tui_forward.model import (
    EventKind,
    ForwardSpec,
    LocalAddress,
    Reason,
    ReasonCode,
    Resolution,
    TimelineKind,
    Unresolved,
)
from tui_forward.reasons import reason_hint, reason_text

# Retry interval for a taken port: one attempt costs one bind(2).
_RETRY_S = 1.0
# For an address that is not needed, it grows to this.
_MAX_RETRY_S = 30.0
# Each reads the descriptors of all processes; the others are named at the next attempt.
_owner_lookups = ThreadSlots(4)


async def open_listener(
    spec: ForwardSpec,
    *,
    resolution: Callable[[], Resolution],
    wake: AutoResetEvent,
    recorder: StatusRecorder,
    engine: EngineContext,
    on_accept: Callable[[socket.socket, LocalAddress, LocalAddress], None],
) -> Listener:
    """Bind the forward's addresses and accept on them; wait until the port is free.

    `wake` is set when `resolution` (for ports given by name) changes, or a retry is requested.
    """
    while True:
        request = _port_request(spec, resolution())
        if request is None:
            missing = resolution()
            assert isinstance(missing, Unresolved)
            recorder.advance(state_machine.PodMissing(missing.reason))
            await wake.wait()
            continue
        try:
            sockets = bind_sockets(spec.addresses, request, engine.inherited_sockets)
        except ForwardError as error:
            reason = await name_port_owner(error.reason, engine)
            recorder.advance(state_machine.ListenerBlocked(reason))
            await wake.wait(_RETRY_S)
            continue
        for sock in sockets:
            engine.socket_holder.hold(sock.fileno())
        listener = Listener(
            sockets,
            on_accept=on_accept,
            on_exhausted=lambda reason: recorder.record_problem(
                TimelineKind.NOTE,
                f"new connections wait: {reason_text(reason)} → {reason_hint(reason)}",
                reason.code,
            ),
        )
        addresses = ", ".join(str(address) for address in listener.addresses)
        recorder.record(TimelineKind.STATE, f"listening on {addresses}")
        recorder.emit(EventKind.LISTENING, listening=listener.addresses)
        return listener


async def open_missing_addresses(
    listener: Listener, spec: ForwardSpec, *, recorder: StatusRecorder, engine: EngineContext
) -> None:
    """Open the addresses of localhost that other programs hold as soon as they are free.

    Until then the forward has a warning: a client that connects to localhost may reach the other
    program. Returns when all are open.
    """
    delay_s = _RETRY_S
    while not listener.is_closed:
        sockets, taken = bind_missing(spec.addresses, listener.addresses)
        for sock in sockets:
            engine.socket_holder.hold(sock.fileno())
            listener.add(sock)
        if sockets:
            addresses = ", ".join(str(address) for address in listener.addresses)
            recorder.record(TimelineKind.STATE, f"listening on {addresses}")
            recorder.emit(EventKind.LISTENING, listening=listener.addresses)
        if not taken:
            recorder.advance(state_machine.AddressOpened())
            return
        reason = Reason(
            code=ReasonCode.LOCAL_ADDRESS_TAKEN,
            address=str(taken[0]),
            name=str(listener.addresses[0]),
            process=await find_owner(taken[0], engine),
        )
        recorder.advance(state_machine.AddressTaken(reason))
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, _MAX_RETRY_S)


async def find_owner(address: LocalAddress, engine: EngineContext) -> str:
    """Return the forward or the process that holds an address, in words."""
    owner = engine.own_forward_on(address)
    if not owner:
        found = await _owner_lookups.run(
            lambda: find_port_owner(address.host, address.port), name="port owner"
        )
        owner = str(found) if found is not None else "another process"
    return owner


def _port_request(spec: ForwardSpec, resolution: Resolution) -> PortRequest | None:
    """Return the local port to bind; None until a port name is resolved."""
    if spec.local_port is not None:
        return PortRequest(spec.local_port, required=True)
    if spec.target.port.isdecimal():
        return PortRequest(int(spec.target.port), required=False)
    # Of a service by its number, as kubectl does for `svc/web http`.
    port = resolution.service_port or resolution.port
    if port is not None:
        return PortRequest(port, required=False)
    return None


async def name_port_owner(reason: Reason, engine: EngineContext) -> Reason:
    """Add the forward or process that holds a taken port."""
    if reason.code is not ReasonCode.LOCAL_PORT_TAKEN:
        return reason
    address = LocalAddress(reason.address, int(reason.port))
    if engine.own_forward_on(address):
        hint = "Stop that forward, or choose another local port"
        reason = replace(reason, hint=hint)
    return replace(reason, process=await find_owner(address, engine))
