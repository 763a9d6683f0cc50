"""Requests to one endpoint over the session of `kubernetes.aio`.

Adds what that client leaves out: SOCKS5, keep-alive probes on every socket (a watch that
nobody answers any more would otherwise wait for hours), trust and certificates from memory,
and no `.netrc` and no proxy other than the one decided in `proxies`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from tui_forward.kube.lazy_imports import import_light, load_aiohttp
from tui_forward.transport.access import Endpoint

if TYPE_CHECKING:
    import aiohttp

# An idle connection that died silently (sleep, VPN) is noticed after about 30 s.
_KEEPALIVE_IDLE_S = 15
_KEEPALIVE_INTERVAL_S = 5
_KEEPALIVE_COUNT = 3
CONNECT_TIMEOUT_S = 10.0


def _probe_when_idle(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
        ("TCP_KEEPALIVE", _KEEPALIVE_IDLE_S),  # what macOS calls TCP_KEEPIDLE
        ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", _KEEPALIVE_COUNT),
    ):
        number = getattr(socket, option, None)
        if number is not None:
            sock.setsockopt(socket.IPPROTO_TCP, number, value)


def _open_socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol = address[0], address[1], address[2]
    sock = socket.socket(family=family, type=kind, proto=protocol)
    try:
        sock.setblocking(False)
        _probe_when_idle(sock)
    except OSError:
        sock.close()
        raise
    return sock


@lru_cache(maxsize=1)
def _rest_client() -> type[Any]:
    """`RESTClientObject` of kubernetes.aio with our connections; built when first needed."""
    load_aiohttp()
    rest = import_light("kubernetes.aio.client.rest")
    import aiohttp

    class RestClient(rest.RESTClientObject):  # type: ignore[misc, name-defined]
        def __init__(self, configuration: Any, endpoint: Endpoint) -> None:
            super().__init__(configuration)
            self._endpoint = endpoint
            if endpoint.tls is not None:
                self.ssl_context = endpoint.tls
            if _is_socks(endpoint):
                self.proxy = None  # the connector goes through it, not the request

        def _create_connector(self) -> aiohttp.TCPConnector:
            options: dict[str, Any] = {
                "limit": 0,  # each watch holds a connection of its own
                "ssl": self.ssl_context,
                "keepalive_timeout": 60.0,
                "socket_factory": _open_socket,
            }
            if _is_socks(self._endpoint):
                return _socks_connector(self._endpoint.proxy or "", options)
            return aiohttp.TCPConnector(**options)

    return RestClient


def _is_socks(endpoint: Endpoint) -> bool:
    return (endpoint.proxy or "").startswith("socks5")


def _socks_connector(proxy_url: str, options: dict[str, Any]) -> aiohttp.TCPConnector:
    from aiohttp_socks import ProxyConnector
    from python_socks import ProxyError, ProxyType
    from python_socks.async_.asyncio import Proxy

    parts = urlsplit(proxy_url)
    host, port = parts.hostname or "", parts.port or 1080
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None

    class SocksConnector(ProxyConnector):
        # The base class verifies against the dialled name, so `tls-server-name` would be lost.
        async def _wrap_create_connection(
            self,
            *args: Any,
            addr_infos: list[Any],
            req: Any,
            timeout: Any,  # noqa: ASYNC109 - the name is aiohttp's
            client_error: Any = None,
            **kwargs: Any,
        ) -> Any:
            del req, client_error
            proxy = Proxy(
                ProxyType.SOCKS5, host, port, username=username, password=password, rdns=True
            )
            address = addr_infos[0][4]
            try:
                sock = await proxy.connect(address[0], address[1], timeout=timeout.sock_connect)
            except ProxyError as error:
                raise ConnectionError(str(error)) from error
            try:
                _probe_when_idle(sock)
                async with asyncio.timeout(timeout.sock_connect):
                    return await self._loop.create_connection(*args, **kwargs, sock=sock)
            except BaseException:
                sock.close()
                raise

    # The name is resolved by the proxy, as Go does for socks5 and socks5h alike.
    return SocksConnector(host=host, port=port, rdns=True, **options)


class HttpSession:
    """A pool of connections to one endpoint.

    Args:
        endpoint: Where and how.
        authority_pem: The cluster's own authority; spares loading the system's for nothing.
    """

    def __init__(self, endpoint: Endpoint, authority_pem: bytes = b"") -> None:
        configuration_module = import_light("kubernetes.aio.client.configuration")
        configuration: Any = configuration_module.Configuration(
            host=f"{'https' if endpoint.tls else 'http'}://{endpoint.authority}",
            ca_cert_data=authority_pem.decode("ascii") or None,
            proxy=endpoint.proxy,
            tls_server_name=endpoint.server_hostname if endpoint.tls else None,
        )
        configuration.client_session_kwargs = {
            "trust_env": False,
            # The client's default lets 4 MiB pile up for each connection, so that a watch's
            # lines fit; ours are put together elsewhere.
            "read_bufsize": 2**17,
        }
        self.endpoint = endpoint
        self._root = f"{configuration.host}{endpoint.path_prefix}"
        self._client: Any = _rest_client()(configuration, endpoint)
        # How many requests are under way; whoever replaces a session closes it at zero.
        self.users = 0

    async def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        read_timeout_s: float | None,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the response once its head is there.

        The caller must `close()` the response or read it to its end.

        Args:
            method: HTTP method.
            target: Path and query, percent-encoded, below the endpoint's prefix.
            headers: Header lines; repeated names are sent repeatedly.
            read_timeout_s: Longest silence while reading, None for none.

        Raises:
            aiohttp.ClientError, OSError, TimeoutError, python_socks errors: Mapped by
                the caller, who knows what the request was for.
        """
        import aiohttp
        from multidict import CIMultiDict
        from yarl import URL

        response = await self._client.request(
            method,
            URL(self._root + target, encoded=True),
            headers=CIMultiDict(list(headers.items())),
            _request_timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=read_timeout_s
            ),
        )
        return cast("aiohttp.ClientResponse", response.response)

    async def close(self) -> None:
        """Close every connection, those in use included."""
        await self._client.close()
