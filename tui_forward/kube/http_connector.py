"""aiohttp connections dialed by `transport.connect`, as tunnels are, and requests over them.

The only module that overrides private parts of aiohttp: `BaseConnector._create_connection` is
where its own `TCPConnector` and `UnixConnector` differ, and there is no public counterpart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict
from yarl import URL

from tui_forward.common.redaction import redact
from tui_forward.errors import TransportError
from tui_forward.model import Reason, ReasonCode
from tui_forward.transport import Endpoint, connect
from tui_forward.transport.stream_transport import StreamTransport

CONNECT_TIMEOUT_S = 10.0
_IDLE_S = 60.0  # an idle connection is kept for the next request
_READ_BYTES = 2**17
# As many as Go's HTTP client follows.
_MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


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


def create_session(endpoint_for: Callable[[URL], Endpoint]) -> aiohttp.ClientSession:
    """Return a session without `.netrc`, cookies, and proxies other than the endpoint's.

    A server could fill the memory with cookies; client-go keeps none. Bodies stay compressed: a
    caller that accepts an encoding decodes it in bounded pieces.
    """
    return aiohttp.ClientSession(
        connector=HttpConnector(endpoint_for),
        trust_env=False,
        read_bufsize=_READ_BYTES,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


async def send(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    *,
    headers: Mapping[str, str],
    timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's interface
    server: str,
    body: Mapping[str, str] | bytes | None = None,
) -> aiohttp.ClientResponse:
    """Send a request and return the response once its head has arrived; close it.

    A mapping is sent as a form.
    Redirects of a GET within the server are followed, as in client-go; credentials and the client
    certificate are meant for no other server. TransportError: there is no connection, or a
    redirect to elsewhere. Errors of aiohttp and of the system are the caller's to map.
    """
    for _ in range(_MAX_REDIRECTS + 1):
        response = await session.request(
            method,
            url,
            headers=CIMultiDict(list(headers.items())),
            data=body,
            timeout=timeout,
            allow_redirects=False,
        )
        location = response.headers.get("Location")
        if method != "GET" or response.status not in _REDIRECTS or not location:
            return response
        response.close()
        url = _redirect_target(url, location, server)
    raise _redirect_error(server, "itself, again and again")


def _redirect_target(url: URL, location: str, server: str) -> URL:
    """Return where a redirect leads, without user and password; TransportError if elsewhere."""
    try:
        target = url.join(URL(location, encoded=True))
        if target.origin() == url.origin():
            return url.origin().join(URL(target.raw_path_qs, encoded=True))
        address = f"{target.host}:{target.port}" if target.port else target.host or target.scheme
    except ValueError:
        address = "an invalid address"
    raise _redirect_error(server, address)


def _redirect_error(server: str, address: str) -> TransportError:
    return TransportError(
        Reason(code=ReasonCode.API_REDIRECTED, server=server, address=redact(address, limit=200))
    )
