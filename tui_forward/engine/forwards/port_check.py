"""Tells whether a local port can be used before a forward asks for it."""

from __future__ import annotations

from collections.abc import Sequence

from tui_forward.engine.connections.local_ports import (
    PortTakenError,
    check_addresses,
    find_free_port,
    find_port_problem,
)
from tui_forward.engine.context import EngineContext
from tui_forward.engine.forwards.open_listener import find_owner
from tui_forward.model import PortCheck


async def check_port(addresses: Sequence[str], port: int, engine: EngineContext) -> PortCheck:
    """Return who holds a port on local addresses, and the next free one; UsageError for none."""
    check_addresses(addresses)
    problem = find_port_problem(addresses, port)
    if problem is None:
        text = ""
    elif isinstance(problem, PortTakenError):
        text = f"used by {await find_owner(problem.address, engine)}"
    else:
        text = problem.message
    return PortCheck(port=port, problem=text, next_free=find_free_port(addresses, port))
