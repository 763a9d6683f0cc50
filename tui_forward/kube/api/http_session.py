"""Requests to one endpoint with the client of `kubernetes.aio`.

Importing this module takes about half a second of processor time, since `kubernetes.aio` can
only be imported as a whole: import it through `http_import`.

Changes from that client's defaults: connections of `http_connector`, no `.netrc`, and no proxy
other than the endpoint's.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from multidict import CIMultiDict
from yarl import URL

from tui_forward.errors import TransportError
from tui_forward.kube.http_connector import CONNECT_TIMEOUT_S, HttpConnector
from tui_forward.transport.access import Endpoint


class HttpSession:
    """Pool of connections to one endpoint.

    Reads files and loads certificates: construct it outside of the event loop.

    Args:
        endpoint: The server.
        ca_pem: The cluster's own authority; saves the client from loading the system's.
    """

    def __init__(self, endpoint: Endpoint, ca_pem: bytes = b"") -> None:
        self.endpoint = endpoint
        # Requests in progress; a replaced session is closed at zero.
        self.users = 0
        self._configuration = Configuration(
            host=f"{'https' if endpoint.tls else 'http'}://{endpoint.authority}",
            ca_cert_data=ca_pem.decode("ascii") or None,
        )
        self._root = f"{self._configuration.host}{endpoint.path_prefix}"
        self._client = RESTClientObject(self._configuration)
        self._connector: HttpConnector | None = None

    def _connect(self) -> None:
        """Give the client our connections; a connector needs the running event loop."""
        self._connector = HttpConnector(self._endpoint_for)
        self._configuration.client_session_kwargs = {
            "connector": self._connector,
            "trust_env": False,
            # The client's default buffers 4 MiB per connection, so that a line of a watch fits;
            # `watch.LineSplitter` needs no more than a chunk.
            "read_bufsize": 2**17,
        }

    def _endpoint_for(self, url: URL) -> Endpoint:
        """Return the endpoint; credentials and certificate are meant for no other server."""
        endpoint = self.endpoint
        server = (endpoint.tls is not None, endpoint.host.lower(), endpoint.port)
        if (url.scheme == "https", url.host, url.port) != server:
            raise TransportError(
                f"the API server at {endpoint.authority} redirects to {url.host}:{url.port}",
                hint="Check the server URL in the kubeconfig.",
            )
        return endpoint

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        read_timeout_s: float | None,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the response once its head has arrived.

        The caller must `close()` the response or read it to its end.

        Args:
            method: HTTP method.
            target: Path and query, percent-encoded, below the endpoint's prefix.
            headers: Header lines; repeated names are sent repeatedly.
            read_timeout_s: Longest silence while reading, None for none.

        Raises:
            TransportError: There is no connection.
            aiohttp.ClientError, OSError, TimeoutError: Mapped by the caller, which knows the
                purpose of the request.
        """
        if self._connector is None:
            self._connect()
        response = await self._client.request(  # type: ignore[no-untyped-call]
            method,
            URL(self._root + target, encoded=True),
            headers=CIMultiDict(list(headers.items())),
            _request_timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=read_timeout_s
            ),
        )
        http_response: aiohttp.ClientResponse = response.response
        return http_response

    async def close(self) -> None:
        """Close every connection, those in use included."""
        await self._client.close()
        if self._connector is not None:
            await self._connector.close()
