"""`faulty-port`: one port that behaves as `BEHAVIOR` says. Settings: `BEHAVIOR`, `PORT` (7000).

=========== ==========================================================================
`BEHAVIOR`  what the port does
=========== ==========================================================================
`closed`    nothing listens
`ipv6-only` echoes, on ::1 only
`resets`    accepts and resets
`closes`    accepts and closes without a byte
`silent`    reads and never answers
=========== ==========================================================================
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tui_forward.minicluster.runtime.apps.connection import AppConnection, ConnectionLog
from tui_forward.minicluster.runtime.apps.context import AppContext
from tui_forward.minicluster.runtime.apps.echo import echo
from tui_forward.minicluster.runtime.apps.toolbox import hold, reset


async def close(conn: AppConnection) -> None:
    """Close at once."""
    conn.close()


_HANDLERS: dict[str, Callable[[AppConnection], Awaitable[None]]] = {
    "ipv6-only": echo,
    "resets": reset,
    "closes": close,
    "silent": hold,
}


async def main(context: AppContext) -> int:
    """Serve until the process ends."""
    port, behavior = context.get_port(7000), context.get_setting("BEHAVIOR", "closed")
    context.log(f"faulty-port: port {port} is {behavior}")
    handler = _HANDLERS.get(behavior)
    if handler is not None:
        context.serve(ConnectionLog(), port, handler, ipv6_only=behavior == "ipv6-only")
    return await context.serve_forever()
