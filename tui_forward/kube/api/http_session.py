"""Pool of connections to one API server, and requests over it.

Connections are those of `http_connector`; there is no `.netrc`, and no proxy other than the
endpoint's. Importing aiohttp takes a while: import this module through `http_import`.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
from yarl import URL

from tui_forward.kube.http_connector import CONNECT_TIMEOUT_S, create_session, send
from tui_forward.transport.access import Endpoint


class HttpSession:
    """Pool of connections to one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        # Requests in progress; a replaced session is closed at zero.
        self.users = 0
        self._root = f"{'https' if endpoint.tls else 'http'}://{endpoint.authority}"
        self._root += endpoint.path_prefix
        self._session = create_session(lambda _: endpoint)

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        read_timeout_s: float | None,
        body: bytes | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the response once its head has arrived.

        The caller must `close()` the response or read it to its end. `target` is percent-encoded
        and below the endpoint's prefix; `read_timeout_s` is the longest silence. Redirects within
        the server are followed, as in client-go; credentials and certificate are meant for no
        other server. Errors of aiohttp and of the system are mapped by the caller, which has the
        purpose of the request; TransportError: there is no connection, or a redirect to elsewhere.
        """
        return await send(
            self._session,
            method,
            URL(self._root + target, encoded=True),
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=read_timeout_s
            ),
            server=self.endpoint.authority,
            body=body,
        )

    async def close(self) -> None:
        """Close every connection, those in use included."""
        await self._session.close()
