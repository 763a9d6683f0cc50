"""Requests to one API server: credentials, one refresh, errors in words, bounded bodies."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tui_forward.errors import ApiError, AuthError, TransportError
from tui_forward.kube.access.cluster_access import ClusterAccess
from tui_forward.kube.api.pager import MAX_PAGE_BYTES
from tui_forward.kube.auth.credentials import HeaderList
from tui_forward.kube.errors import to_api_error, to_transport_error
from tui_forward.transport.access import Endpoint

if TYPE_CHECKING:
    import aiohttp

    from tui_forward.kube.api.http_session import HttpSession

USER_AGENT = "tui-forward"
READ_TIMEOUT_S = 30.0
JSON = "application/json"
_MAX_ERROR_BYTES = 64 * 1024
# Below this round trip, compressing costs more time than it saves.
_COMPRESS_ABOVE_S = 0.005


class RestClient:
    """GETs to one API server. Safe to use concurrently and to cancel.

    Args:
        access: Where it is and how to be let in.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._session: HttpSession | None = None
        self._retired: set[HttpSession] = set()
        self._closed = False
        self.latency_s: float | None = None

    async def get(
        self,
        target: str,
        what: str,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        receive: Callable[[bytes], None] | None = None,
        accept: str = JSON,
    ) -> bytes:
        """The body of a GET.

        Args:
            target: Path and query below the server URL.
            what: The request in words, for errors ("list pods in namespace shop").
            read_timeout_s: Longest silence.
            receive: Takes the body as it arrives; nothing is returned then.
            accept: Media types wanted.

        Raises:
            ApiError: The server answered with an error.
            AuthError: It refused the credentials, twice if they could be refreshed.
            ConfigError: The kubeconfig cannot be used.
            TransportError: There was no answer.
        """
        async with self.stream(
            target, what, read_timeout_s=read_timeout_s, compress=None, accept=accept
        ) as response:
            return await self._body(response, what, receive=receive)

    @asynccontextmanager
    async def stream(
        self,
        target: str,
        what: str,
        *,
        read_timeout_s: float,
        compress: bool | None,
        accept: str = JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful response to a GET; refreshes refused credentials once.

        Args:
            target: Path and query below the server URL.
            what: The request in words, for errors.
            read_timeout_s: Longest silence.
            compress: Ask for gzip; None decides by the network.
            accept: Media types wanted.

        Raises:
            As `read`. Trouble while the body is read is mapped, too.
        """
        refresh = False
        while True:
            if self._closed:
                raise TransportError(f"the connection to {self._access.server} is closed")
            endpoint, credentials, advice = await self._access.request_auth(refresh=refresh)
            if compress is None:
                compress = self._should_compress(endpoint)
            headers = HeaderList(
                (
                    *credentials.items(),
                    ("Accept", accept),
                    ("Accept-Encoding", "gzip" if compress else "identity"),
                    ("User-Agent", USER_AGENT),
                )
            )
            async with self._response(endpoint, target, headers, read_timeout_s) as response:
                if response.status < 400:
                    yield response
                    return
                body = await self._body(response, what, limit=_MAX_ERROR_BYTES)
                if response.status != 401 or refresh:
                    error = to_api_error(
                        response.status, body, what=what, server=self._access.server
                    )
                    if isinstance(error, AuthError):
                        error.hint = advice
                    raise error
            refresh = True

    @asynccontextmanager
    async def _response(
        self, endpoint: Endpoint, target: str, headers: HeaderList, read_timeout_s: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        session = self._session_to(endpoint)
        import aiohttp  # loaded with the session

        session.users += 1
        try:
            began = time.monotonic()
            response = await session.request("GET", target, headers, read_timeout_s=read_timeout_s)
            try:
                self._measured(time.monotonic() - began)
                yield response
            finally:
                response.close()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            shown = urlsplit(endpoint.proxy or "").netloc.rpartition("@")[2]
            raise to_transport_error(error, server=endpoint.authority, proxy=shown) from error
        finally:
            session.users -= 1
            if session in self._retired and not session.users:
                self._retired.discard(session)
                await session.close()

    def _measured(self, took_s: float) -> None:
        """Keep the latency low: a slow answer is the server's work, not the network's."""
        known = self.latency_s
        self.latency_s = took_s if known is None else min(took_s, 0.8 * known + 0.2 * took_s)

    async def _body(
        self,
        response: aiohttp.ClientResponse,
        what: str,
        *,
        limit: int = MAX_PAGE_BYTES,
        receive: Callable[[bytes], None] | None = None,
    ) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > limit:
                if response.status >= 400:
                    break  # enough of an error message
                raise ApiError(
                    f"the answer to {what} is longer than {limit} bytes",
                    status=response.status,
                    hint="Check that `server` in the kubeconfig is a Kubernetes API server",
                )
            if receive is None:
                chunks.append(chunk)
            else:
                receive(chunk)
        return b"".join(chunks)

    def _should_compress(self, endpoint: Endpoint) -> bool:
        """Whether to ask for gzip, as kubectl does: not where the network outruns it."""
        if self._access.compression_disabled:
            return False
        if self.latency_s is not None:
            return self.latency_s > _COMPRESS_ABOVE_S
        try:
            return not ipaddress.ip_address(endpoint.host).is_loopback
        except ValueError:
            return endpoint.host != "localhost"

    def _session_to(self, endpoint: Endpoint) -> HttpSession:
        if self._session is not None and self._session.endpoint is endpoint:
            return self._session
        from tui_forward.kube.api.http_session import HttpSession

        old, self._session = self._session, HttpSession(endpoint, self._access.ca_pem())
        if old is not None:
            # What is under way (a watch, say) ends on the old connections.
            self._retired.add(old)
        return self._session

    async def close(self) -> None:
        """Close every connection; requests under way fail."""
        self._closed = True
        sessions = [*self._retired]
        if self._session is not None:
            sessions.append(self._session)
        self._session = None
        self._retired.clear()
        for session in sessions:
            await session.close()
