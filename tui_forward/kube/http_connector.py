"""aiohttp connections dialed by `transport.connect`, as tunnels are.

The only module that overrides private parts of aiohttp: `BaseConnector._create_connection` is
where its own `TCPConnector` and `UnixConnector` differ, and there is no public counterpart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from tui_forward.transport import Endpoint, connect
from tui_forward.transport.stream_transport import StreamTransport

CONNECT_TIMEOUT_S = 10.0
_IDLE_S = 60.0  # an idle connection is kept for the next request


class HttpConnector(aiohttp.BaseConnector):
    """Pool of connections that go through the one dial path."""

    def __init__(self, endpoint_for: Callable[[URL], Endpoint]) -> None:
        # No limit: each watch occupies a connection.
        super().__init__(limit=0, keepalive_timeout=_IDLE_S)
        self._endpoint_for = endpoint_for

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],  # noqa: ARG002 - aiohttp's interface
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's interface
    ) -> ResponseHandler:
        """Connect to the server of a request."""
        stream = await connect(
            self._endpoint_for(req.url), timeout_s=timeout.sock_connect or CONNECT_TIMEOUT_S
        )
        protocol = ResponseHandler(loop=self._loop)
        StreamTransport(stream, protocol)
        return protocol
