"""Requests to one API server: credentials, one refresh, errors in words, bounded bodies.

All of them read: a POST creates a review, which no server stores.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from tui_forward.common.arguments import format_duration_arg
from tui_forward.common.redaction import redact
from tui_forward.errors import ApiError, AuthError, TransportError
from tui_forward.kube.access.cluster_access import ClusterAccess
from tui_forward.kube.api.content_encoding import ContentDecoder
from tui_forward.kube.api.limits import MAX_ERROR_BYTES, MAX_OBJECT_BYTES, Account
from tui_forward.kube.api.retries import MAX_RETRY_WAIT_S, Retries
from tui_forward.kube.auth.credentials import HeaderList
from tui_forward.kube.errors import (
    doubt_refusal,
    to_api_error,
    to_transport_error,
    unexpected_response_error,
)
from tui_forward.kube.http_import import import_in_thread
from tui_forward.model import Reason, ReasonCode
from tui_forward.transport.access import Endpoint

if TYPE_CHECKING:
    import aiohttp

    from tui_forward.kube.api.http_session import HttpSession

_log = logging.getLogger(__name__)

USER_AGENT = "tui-forward"
READ_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
JSON = "application/json"
# Objects without the part that tells who set which field, two fifths of a pod, from servers that
# can leave it out (KEP-5958); others ignore the parameter.
OBJECTS = f"{JSON};drop=metadata.managedFields,{JSON}"
# Time for one body, however slowly it keeps arriving: a large page over a slow VPN.
BODY_TIMEOUT_S = 600.0
# Below this round trip, compression costs more time than it saves.
_COMPRESS_ABOVE_S = 0.005
# As in client-go.
_SUCCESS = range(200, 207)
# Other tasks run between so many decompressed pieces of one chunk.
_PIECES_PER_PAUSE = 8


class RestClient:
    """GET requests to one API server, and reviews. Safe to use concurrently and to cancel."""

    def __init__(self, access: ClusterAccess) -> None:
        self.access = access
        self.latency_s: float | None = None  # round trip; None before the first response
        self._session: HttpSession | None = None
        self._session_lock = asyncio.Lock()
        self._retired: set[HttpSession] = set()
        self._closed = False
        self._last_failure: tuple[str, str] | None = None  # path and message

    @property
    def server(self) -> str:
        """Address of the API server, for texts."""
        return self.access.server

    async def get(
        self,
        target: str,
        what: str,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        receive: Callable[[bytes], None] | None = None,
        truncate_at: int | None = None,
        accept: str = JSON,
        retry_wait_s: float = MAX_RETRY_WAIT_S,
    ) -> bytes:
        """Return the body of a GET; `receive` gets it in pieces instead, and the result is empty.

        `what` is the request in words, for errors ("list pods in namespace shop"), `read_timeout_s`
        the longest silence. A body has at most `MAX_OBJECT_BYTES`, or is cut off at `truncate_at`;
        `receive` sets its own limit. A request is repeated as `stream` says, and, unless `receive`
        has got a piece, after a lost connection; the pauses take at most `retry_wait_s` in all.

        Raises:
            ApiError: The server responded with an error, or with more than is accepted.
            AuthError: It refused the credentials, twice if they could be refreshed.
            ConfigError: The kubeconfig cannot be used.
            TransportError: There was no response, or not within `--request-timeout`.
        """
        request = self._get(
            target,
            what,
            read_timeout_s=read_timeout_s,
            receive=receive,
            truncate_at=truncate_at,
            accept=accept,
            retry_wait_s=retry_wait_s,
        )
        return await self._within_limit(request, what)

    async def post(self, target: str, what: str, body: bytes) -> bytes:
        """Return the response to a review, which is JSON; raises what `get` does.

        A busy server is asked again; after a lost connection it is not.
        """

        async def send() -> bytes:
            async with self.stream(
                target, what, read_timeout_s=READ_TIMEOUT_S, compress=False, body=body
            ) as response:
                return await self._read_response(response, what, None, None)

        return await self._within_limit(send(), what)

    async def _within_limit(self, request: Coroutine[Any, Any, bytes], what: str) -> bytes:
        """Return the result of a request; TransportError if it exceeds `--request-timeout`."""
        limit_s = self.access.options.request_timeout_s
        timeout = asyncio.timeout(limit_s or None)
        try:
            async with timeout:
                return await request
        except TimeoutError as error:
            if not timeout.expired():
                raise
            limit = format_duration_arg(limit_s)
            raise TransportError(
                f"{self.access.server} did not answer within {limit}: {what}",
                code=ReasonCode.NETWORK_TIMEOUT,
                hint="Choose a longer --request-timeout, or check the network and VPN",
            ) from error

    async def _get(
        self,
        target: str,
        what: str,
        *,
        read_timeout_s: float,
        receive: Callable[[bytes], None] | None,
        truncate_at: int | None,
        accept: str,
        retry_wait_s: float,
    ) -> bytes:
        retries = Retries(retry_wait_s)
        received = False

        def pass_on(piece: bytes) -> None:
            nonlocal received
            received = True
            assert receive is not None
            receive(piece)

        while True:
            try:
                async with self.stream(
                    target,
                    what,
                    read_timeout_s=read_timeout_s,
                    compress=None,
                    accept=accept,
                    retries=retries,
                ) as response:
                    return await self._read_response(
                        response, what, pass_on if receive else None, truncate_at
                    )
            except TransportError as error:
                pause_s = None if received else retries.next_pause_s(error)
                if pause_s is None:
                    raise
                _log.debug("%s; again in %.1f s", error, pause_s)
            await asyncio.sleep(pause_s)

    async def _read_response(
        self,
        response: aiohttp.ClientResponse,
        what: str,
        receive: Callable[[bytes], None] | None,
        truncate_at: int | None,
    ) -> bytes:
        """Return the body of a successful response, or pass it on in pieces."""
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                if receive is not None:
                    async with aclosing(self._content(response)) as pieces:
                        async for piece in pieces:
                            receive(piece)
                    return b""
                limit = MAX_OBJECT_BYTES if truncate_at is None else truncate_at
                return await self._read_body(
                    response, what, limit=limit, truncate=truncate_at is not None
                )
        except zlib.error as error:
            raise unexpected_response_error(what, self.access.server, error) from error

    @asynccontextmanager
    async def stream(
        self,
        target: str,
        what: str,
        *,
        read_timeout_s: float,
        compress: bool | None,
        accept: str = JSON,
        retries: Retries | None = None,
        body: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield a successful response to a GET, or to a POST of `body`.

        Refreshes refused credentials once.

        `compress` requests gzip; None decides by the network. A busy server (429 or 5xx with
        `Retry-After` in seconds) is asked again when it wants, as by client-go, while `retries`
        allow it. Not after a lost connection: the reader of a stream knows where to resume. Raises
        what `get` does, also for failures while the caller reads the body.
        """
        retries = retries or Retries()
        refresh = refreshed = False
        while True:
            endpoint, credentials = await self.access.request_auth(refresh=refresh)
            refresh, pause_s = False, None
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
            if body is not None:
                headers = HeaderList((*headers.items(), ("Content-Type", JSON)))
            async with self._response(endpoint, target, headers, read_timeout_s, body) as response:
                if response.status in _SUCCESS:
                    endpoint.outage.record_success()
                    self._check_encoding(response, gzip=compress)
                    yield response
                    return
                answer = b""
                with contextlib.suppress(zlib.error):
                    answer = await self._read_body(
                        response, what, limit=MAX_ERROR_BYTES, truncate=True
                    )
                if response.status == 401 and not refreshed:
                    refresh = refreshed = True
                else:
                    error = to_api_error(
                        response.status,
                        answer,
                        what=what,
                        server=self.access.server,
                        headers=response.headers.items(),
                    )
                    if isinstance(error, AuthError):
                        error = self.access.explain(error)
                    elif isinstance(error, ApiError) and error.forbidden:
                        error = doubt_refusal(error, endpoint)
                    pause_s = retries.next_pause_s(error)
                    if pause_s is None:
                        # What is forbidden, maybe in hundreds of namespaces, is shown as a state.
                        expected = isinstance(error, ApiError) and error.forbidden
                        _log.log(logging.DEBUG if expected else logging.WARNING, "%s", error)
                        raise error
                    _log.debug("%s; again in %.1f s", error, pause_s)
            if pause_s is not None:
                await asyncio.sleep(pause_s)

    @asynccontextmanager
    async def _response(
        self,
        endpoint: Endpoint,
        target: str,
        headers: HeaderList,
        read_timeout_s: float,
        body: bytes | None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        session = await self._session_for(endpoint)
        import aiohttp  # loaded with the session

        path, method = target.partition("?")[0], "GET" if body is None else "POST"
        session.users += 1
        started = time.monotonic()
        try:
            # The longest silence limits the wait for a head; here a limit for endless 1xx heads.
            async with asyncio.timeout(CONNECT_TIMEOUT_S + read_timeout_s):
                response = await session.request(
                    method, target, headers, read_timeout_s=read_timeout_s, body=body
                )
            try:
                duration_s = time.monotonic() - started
                self._record_latency(duration_s)
                self._last_failure = None
                _log.debug("%s %s: %d, %.3f s", method, path, response.status, duration_s)
                yield response
            finally:
                response.close()
        except TransportError as error:
            self._log_failure(method, path, error)
            raise
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if isinstance(error, aiohttp.ClientResponseError):  # its text quotes the response
                detail = "the head is too long or not HTTP"
                failure = TransportError(
                    Reason(
                        code=ReasonCode.NETWORK_PROTOCOL, server=endpoint.authority, detail=detail
                    )
                )
            else:
                failure = to_transport_error(error, server=endpoint.authority)
            self._log_failure(method, path, failure)
            raise failure from error
        finally:
            session.users -= 1
            if session in self._retired and not session.users:
                self._retired.discard(session)
                await session.close()

    def _log_failure(self, method: str, path: str, error: TransportError) -> None:
        """Log why there was no response; repetitions, of an outage, at a lower level."""
        failure = (path, error.message)
        repeated, self._last_failure = failure == self._last_failure, failure
        level = logging.DEBUG if repeated else logging.WARNING
        _log.log(level, "%s %s failed: %s", method, path, error)

    def _record_latency(self, duration_s: float) -> None:
        """Update the estimate, biased low: a slow response is the server's work."""
        before = self.latency_s
        self.latency_s = (
            duration_s if before is None else min(duration_s, 0.8 * before + 0.2 * duration_s)
        )

    def _check_encoding(self, response: aiohttp.ClientResponse, *, gzip: bool) -> None:
        """Refuse an encoding that was not requested: what it hides is not known."""
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding in {"", "identity"} or (gzip and encoding in {"gzip", "x-gzip"}):
            return
        reason = Reason(
            code=ReasonCode.API_UNEXPECTED_ENCODING,
            server=self.access.server,
            detail=redact(encoding, limit=40),
        )
        raise ApiError(reason, status=response.status)

    async def _content(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        """Yield a body in pieces of bounded size, decompressed; zlib.error if it is not gzip."""
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        decoder = ContentDecoder(gzip=encoding in {"gzip", "x-gzip"})
        while chunk := await response.content.readany():
            for number, piece in enumerate(decoder.decode(chunk), 1):
                yield piece
                if number % _PIECES_PER_PAUSE == 0:
                    await asyncio.sleep(0)
        decoder.finish()

    async def _read_body(
        self, response: aiohttp.ClientResponse, what: str, *, limit: int, truncate: bool
    ) -> bytes:
        """Return a body; of a longer one its beginning, or ApiError. Raises zlib.error."""
        account = Account(what, self.access.server)
        body = bytearray()
        try:
            async with aclosing(self._content(response)) as pieces:
                async for piece in pieces:
                    account.hold(len(piece))
                    body += piece
                    if len(body) > limit:
                        if truncate:
                            break
                        raise account.error(f"it has more than {limit} bytes")
            return bytes(body[:limit])
        finally:
            body.clear()  # the traceback of an error may hold it for a while
            account.close()

    @property
    def is_slow(self) -> bool:
        """Whether compression saves time on the network to the server, as far as is known."""
        return self.latency_s is not None and self.latency_s > _COMPRESS_ABOVE_S

    def _should_compress(self, endpoint: Endpoint) -> bool:
        """Whether to request gzip, as kubectl does, unless the network is fast."""
        if self.access.compression_disabled:
            return False
        if self.latency_s is not None:
            return self.is_slow
        try:
            return not ipaddress.ip_address(endpoint.host).is_loopback
        except ValueError:
            return endpoint.host != "localhost"

    async def _session_for(self, endpoint: Endpoint) -> HttpSession:
        async with self._session_lock:
            if self._closed:
                raise TransportError(f"the connection to {self.access.server} is closed")
            current = self._session
            if current is not None and current.endpoint is endpoint:
                return current
            module = await import_in_thread()
            session: HttpSession = module.HttpSession(endpoint)
            self._session = session
        if current is not None:
            if current.users:
                # Requests in progress (a watch, say) end on the old connections.
                self._retired.add(current)
            else:
                await current.close()
        return session

    async def close(self) -> None:
        """Close every connection; requests in progress fail."""
        self._closed = True
        async with self._session_lock:
            sessions = [*self._retired]
            if self._session is not None:
                sessions.append(self._session)
            self._session = None
            self._retired.clear()
        for session in sessions:
            await session.close()
