"""One context's API server: where it is, how to be let in, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import msgspec

from tui_forward.errors import ApiError, AuthError, ConfigError, TransportError, TuiForwardError
from tui_forward.kube.credentials import Authenticator, Credentials, HeaderList, Provider
from tui_forward.kube.endpoints import make_endpoint
from tui_forward.kube.failures import api_error, status_of, transport_error
from tui_forward.kube.kubeconfig import Login
from tui_forward.kube.listing import (
    MAX_PAGE_BYTES,
    PAGE_LIMIT,
    Page,
    decode_items,
    list_head,
    not_understood,
)
from tui_forward.kube.resources import Item, Resource
from tui_forward.kube.source import KubeconfigSource, Signature, signature
from tui_forward.kube.tls import trusted
from tui_forward.kube.watching import (
    BOOKMARK,
    EVENT,
    STALL_S,
    LineSplitter,
    WatchEvent,
    WatchEventType,
)
from tui_forward.model import ApiHealth, BlockedBy
from tui_forward.transport.access import Endpoint

if TYPE_CHECKING:
    import aiohttp

    from tui_forward.kube.http import HttpSession

USER_AGENT = "tui-forward"
_READ_TIMEOUT_S = 30.0
_HEALTH_TIMEOUT_S = 10.0
_MAX_ERROR_BYTES = 64 * 1024
# Below this round trip, compressing costs more time than it saves.
_COMPRESS_ABOVE_S = 0.005


class _Version(msgspec.Struct, rename="camel"):
    git_version: str = ""


class Cluster:
    """One context's API server, with credentials; implements `transport.access.Access`.

    Follows the kubeconfig: a changed server, certificate or token is used from the next
    request on. All methods are safe to cancel and to call concurrently.

    Args:
        source: Where the kubeconfig comes from.
        context: Context name; empty means the current one at this moment.

    Raises:
        ConfigError: There is no such context.
    """

    def __init__(self, source: KubeconfigSource, context: str = "") -> None:
        self._source = source
        self._context = source.context_name(context)
        self._login: Login | None = None
        self._files: Signature = ()
        self._authenticator: Authenticator | None = None
        self._provider: Provider | None = None
        self._given: Credentials | None = None
        self._endpoint: Endpoint | None = None
        self._endpoint_for: tuple[object, ...] | None = None
        self._session: HttpSession | None = None
        self._retired: set[HttpSession] = set()
        self._latency_s: float | None = None
        self._closed = False

    # Access ---------------------------------------------------------------------------

    @property
    def context(self) -> str:
        """The kubeconfig context."""
        return self._context

    @property
    def namespace(self) -> str:
        """The context's namespace ("default" if it names none).

        Raises:
            ConfigError: The kubeconfig cannot be used.
        """
        return self._source.kubeconfig().login(self._context).namespace

    @property
    def server(self) -> str:
        """Address of the API server as shown to people; empty while it is unknown."""
        if self._endpoint is not None:
            return self._endpoint.authority
        try:
            server = self._source.kubeconfig().login(self._context).cluster.server
        except ConfigError:
            return ""
        return urlsplit(server).netloc.rpartition("@")[2] or server

    async def endpoint(self) -> Endpoint:
        """See `Access.endpoint`.

        Raises:
            ConfigError: The kubeconfig cannot be used.
            AuthError: The client certificate comes from a plugin that gave none.
        """
        authenticator = self._refreshed()
        return self._endpoint_with(await authenticator.credentials())

    async def headers(self, *, refresh: bool = False) -> HeaderList:
        """See `Access.headers`. A name may repeat: send every pair of `items()`.

        Raises:
            AuthError: No credentials can be had, or none newer than those refused.
            ConfigError: The kubeconfig cannot be used.
        """
        authenticator = self._refreshed()
        return authenticator.headers(await self._credentials(authenticator, refresh=refresh))

    async def _credentials(self, authenticator: Authenticator, *, refresh: bool) -> Credentials:
        refused = self._given
        credentials = await authenticator.credentials(refresh=refresh)
        if refresh and credentials == refused and not authenticator.can_refresh:
            raise AuthError(
                f"{self.server} refused the credentials (401)", hint=authenticator.advice
            )
        self._given = credentials
        return credentials

    def _refreshed(self) -> Authenticator:
        """The authenticator for what the kubeconfig says now."""
        login = self._source.kubeconfig().login(self._context)
        user = login.user
        files = signature((login.cluster.ca_file, user.certificate_file, user.key_file))
        if self._authenticator is not None and login == self._login and files == self._files:
            return self._authenticator
        if self._login is None or (login.user, login.cluster) != (
            self._login.user,
            self._login.cluster,
        ):
            self._provider = _provider(login, self._source)
        self._authenticator = Authenticator(login, self._provider)
        self._login, self._files = login, files
        self._endpoint_for = None
        return self._authenticator

    def _endpoint_with(self, credentials: Credentials) -> Endpoint:
        assert self._login is not None
        key = (credentials.certificate,)
        if self._endpoint is None or self._endpoint_for != key:
            self._endpoint = make_endpoint(
                self._login.cluster, credentials.certificate, self._source.environ
            )
            self._endpoint_for = key
        return self._endpoint

    async def credentials_changed(self, since: Signature | None = None) -> None:
        """Wait until a file that credentials come from changes. Safe to cancel.

        Args:
            since: What `credentials_revision` said before the credentials were tried;
                a change since then counts. Default: changes from now on.
        """
        await self._source.changed(since)

    def credentials_revision(self) -> Signature:
        """What the kubeconfig files look like now, for `credentials_changed`."""
        return self._source.revision()

    # Requests -------------------------------------------------------------------------

    async def get(self, resource: Resource[Item], namespace: str, name: str) -> Item:
        """One object.

        Raises:
            ApiError: As the server says; `not_found` when there is none.
            AuthError, ConfigError, TransportError: See `request`.
        """
        what = resource.words("get", namespace, name)
        body = await self.read(resource.path(namespace, name), what)
        try:
            return resource.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_understood(what, self.server, error) from error

    async def read(
        self, target: str, what: str, *, read_timeout_s: float = _READ_TIMEOUT_S
    ) -> bytes:
        """The body of a GET.

        Args:
            target: Path and query below the server URL.
            what: The request in words, for errors ("list pods in namespace shop").
            read_timeout_s: Longest silence.

        Raises:
            ApiError: The server answered with an error.
            AuthError: It refused the credentials, twice if they could be refreshed.
            ConfigError: The kubeconfig cannot be used.
            TransportError: There was no answer.
        """
        async with self._open(
            target, what, read_timeout_s=read_timeout_s, compress=self._compress()
        ) as response:
            return await self._body(response, what)

    async def list_pages(
        self,
        resource: Resource[Item],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = PAGE_LIMIT,
    ) -> AsyncGenerator[Page[Item], None]:
        """All objects, page by page. Close the generator (`aclosing`) if you stop early.

        If the server forgets the list half-way (410), it begins again with larger pages, and
        the first page of the new list says `restarted`.

        Raises:
            ApiError, AuthError, ConfigError, TransportError: See `read`.
        """
        what = resource.words("list", namespace)
        path = resource.path(namespace)

        async def fetch(token: str, page_limit: int) -> bytes:
            query: dict[str, str | int] = {}
            if page_limit:
                query["limit"] = page_limit
            if label_selector:
                query["labelSelector"] = label_selector
            if field_selector:
                query["fieldSelector"] = field_selector
            if token:
                query["continue"] = token
            return await self.read(f"{path}?{urlencode(query)}" if query else path, what)

        restarted = False
        following: asyncio.Task[bytes] | None = None
        try:
            body = await fetch("", limit)
            while True:
                try:
                    head = list_head(body)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    raise not_understood(what, self.server, error) from error
                token = head.continue_token
                if token:
                    following = asyncio.create_task(fetch(token, limit))
                    await asyncio.sleep(0)  # the request leaves before decoding begins
                items = await decode_items(resource, body, self.server)
                del body
                yield Page(
                    items=items,
                    resource_version=head.resource_version,
                    remaining=head.remaining_item_count,
                    last=not token,
                    restarted=restarted,
                )
                del items
                restarted = False
                if following is None:
                    return
                try:
                    body = await following
                except ApiError as error:
                    if not error.expired:
                        raise
                    # Slower than the server's memory: fewer, larger pages, then no pages.
                    limit = limit * 4 if limit and limit < PAGE_LIMIT * 16 else 0
                    restarted = True
                    body = await fetch("", limit)
                following = None
        finally:
            if following is not None:
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError, TuiForwardError):
                    await following

    async def watch(
        self,
        resource: Resource[Item],
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        stall_s: float = STALL_S,
    ) -> AsyncGenerator[WatchEvent[Item], None]:
        """Changes after a version, bookmarks included, until the server ends the watch.

        The first event is always a bookmark of the version asked for: the watch is up.

        The end of the iteration is normal: watch again from the last event's version. Close
        the generator (`aclosing`) if you stop early.

        Raises:
            ApiError: `expired` when the version is too old (HTTP 410 or an ERROR event).
            TransportError: The connection broke, or was silent for `stall_s`.
            AuthError, ConfigError: See `read`.
        """
        what = resource.words("watch", namespace)
        query: dict[str, str | int] = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            # Spread out, so that a restarted API server is not asked by everybody at once.
            "timeoutSeconds": random.randint(240, 480),
        }
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        target = f"{resource.path(namespace)}?{urlencode(query)}"
        async with self._open(target, what, read_timeout_s=stall_s, compress=False) as response:
            yield WatchEvent(WatchEventType.BOOKMARK, None, resource_version)
            splitter = LineSplitter(what)
            while chunk := await response.content.readany():
                for line in splitter.receive(chunk):
                    event = self._event(resource, line, what)
                    if event is not None:
                        yield event

    def _event(self, resource: Resource[Item], line: bytes, what: str) -> WatchEvent[Item] | None:
        try:
            raw = EVENT.decode(line)
            if raw.type == "ERROR":
                status = status_of(bytes(raw.object))
                raise api_error(
                    status.code or 500, bytes(raw.object), what=what, server=self.server
                )
            if raw.type == WatchEventType.BOOKMARK:
                version = BOOKMARK.decode(raw.object).metadata.resource_version
                return WatchEvent(WatchEventType.BOOKMARK, None, version)
            if raw.type not in _CHANGES:
                return None  # a kind of event this program does not know
            item = resource.decode(raw.object)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_understood(what, self.server, error) from error
        return WatchEvent(WatchEventType(raw.type), item, item.resource_version)

    async def health(self) -> ApiHealth:
        """Whether the API server answers, how fast, and which version it is. Never raises."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(_HEALTH_TIMEOUT_S):
                body = await self.read("/version", "get the version")
        except TimeoutError:
            slow = f"{self.server} did not answer within {_HEALTH_TIMEOUT_S:.0f} s"
            return self._unhealthy(TransportError(slow, hint="Check the network and VPN"))
        except TuiForwardError as error:
            if isinstance(error, ApiError) and error.status < 500:
                # It answers; that it does not tell us its version is no trouble.
                return ApiHealth(
                    context=self._context,
                    server=self.server,
                    ok=True,
                    latency_s=time.monotonic() - began,
                )
            return self._unhealthy(error)
        try:
            version = msgspec.json.decode(body, type=_Version).git_version
        except (msgspec.DecodeError, UnicodeDecodeError):
            version = ""
        return ApiHealth(
            context=self._context,
            server=self.server,
            ok=True,
            latency_s=self._latency_s,
            version=version,
        )

    def _unhealthy(self, error: TuiForwardError) -> ApiHealth:
        blocked_by = None
        if isinstance(error, AuthError):
            blocked_by = BlockedBy.CREDENTIALS
        elif isinstance(error, ConfigError):
            blocked_by = BlockedBy.CONFIG
        return ApiHealth(
            context=self._context,
            server=self.server,
            ok=False,
            error=error.message,
            hint=error.hint,
            blocked_by=blocked_by,
        )

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

    # The way to an answer ---------------------------------------------------------------

    def _compress(self) -> bool:
        """Whether to ask for gzip, as kubectl does: not where the network outruns it."""
        if self._login is not None and self._login.cluster.disable_compression:
            return False
        if self._latency_s is not None:
            return self._latency_s > _COMPRESS_ABOVE_S
        host = self._endpoint.host if self._endpoint is not None else ""
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host != "localhost"

    @asynccontextmanager
    async def _open(
        self, target: str, what: str, *, read_timeout_s: float, compress: bool
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful response to a GET; refreshes refused credentials once."""
        refresh = False
        while True:
            if self._closed:
                raise TransportError(f"the connection to {self.server} is closed")
            authenticator = self._refreshed()
            credentials = await self._credentials(authenticator, refresh=refresh)
            headers = HeaderList(
                (
                    *authenticator.headers(credentials).items(),
                    ("Accept", "application/json"),
                    ("Accept-Encoding", "gzip" if compress else "identity"),
                    ("User-Agent", USER_AGENT),
                )
            )
            async with self._response(
                self._endpoint_with(credentials), target, headers, read_timeout_s
            ) as response:
                if response.status < 400:
                    yield response
                    return
                body = await self._body(response, what, limit=_MAX_ERROR_BYTES)
                if response.status != 401 or refresh:
                    error = api_error(response.status, body, what=what, server=self.server)
                    if isinstance(error, AuthError):
                        error.hint = authenticator.advice or error.hint
                    raise error
            refresh = True

    @asynccontextmanager
    async def _response(
        self, endpoint: Endpoint, target: str, headers: HeaderList, read_timeout_s: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        session = self._session_to(endpoint)
        # Loaded with the session; a request before that has failed already.
        import aiohttp

        session.users += 1
        try:
            began = time.monotonic()
            response = await session.request("GET", target, headers, read_timeout_s=read_timeout_s)
            try:
                took = time.monotonic() - began
                known = self._latency_s
                self._latency_s = took if known is None else min(took, 0.8 * known + 0.2 * took)
                yield response
            finally:
                response.close()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            proxy = endpoint.proxy or ""
            shown = urlsplit(proxy).netloc.rpartition("@")[2]
            raise transport_error(error, server=endpoint.authority, proxy=shown) from error
        finally:
            session.users -= 1
            if session in self._retired and not session.users:
                self._retired.discard(session)
                await session.close()

    async def _body(
        self, response: aiohttp.ClientResponse, what: str, limit: int = MAX_PAGE_BYTES
    ) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while chunk := await response.content.readany():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                if response.status >= 400:
                    break  # enough of an error message
                raise ApiError(
                    f"the answer to {what} is longer than {limit} bytes",
                    status=response.status,
                    hint="Check that `server` in the kubeconfig is a Kubernetes API server",
                )
        return b"".join(chunks)

    def _session_to(self, endpoint: Endpoint) -> HttpSession:
        if self._session is not None and self._session.endpoint is endpoint:
            return self._session
        from tui_forward.kube.http import HttpSession

        assert self._login is not None
        old, self._session = self._session, HttpSession(endpoint, trusted(self._login.cluster))
        if old is not None:
            # What is under way (a watch, say) ends on the old connections.
            self._retired.add(old)
        return self._session


_CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})


def _provider(login: Login, source: KubeconfigSource) -> Provider | None:
    """What gives out this user's credentials, if they are not in the kubeconfig itself."""
    if login.user.exec is not None:
        from tui_forward.kube.exec_plugin import ExecPlugin

        return ExecPlugin(login.user.exec, login.cluster, source.environ)
    if login.user.auth_provider is not None:
        from tui_forward.kube.auth_providers import make_provider

        return make_provider(login.user, source.environ)
    return None


class Clusters:
    """One `Cluster` per context, made when first asked for.

    Args:
        source: Where the kubeconfig comes from.
    """

    def __init__(self, source: KubeconfigSource) -> None:
        self.source = source
        self._clusters: dict[str, Cluster] = {}

    def get(self, context: str = "") -> Cluster:
        """The cluster of a context; an empty name means the current one.

        Raises:
            ConfigError: There is no such context.
        """
        name = self.source.context_name(context)
        if name not in self._clusters:
            self._clusters[name] = Cluster(self.source, name)
        return self._clusters[name]

    async def close(self) -> None:
        """Close every connection of every cluster."""
        clusters = list(self._clusters.values())
        self._clusters.clear()
        for cluster in clusters:
            await cluster.close()
