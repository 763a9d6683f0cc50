"""One context's API server: where it is, how to be let in, and what it says."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from urllib.parse import quote, urlencode

import msgspec

from tui_forward.errors import ApiError, AuthError, ConfigError, TransportError, TuiForwardError
from tui_forward.kube.access.cluster_access import ClusterAccess
from tui_forward.kube.api import details
from tui_forward.kube.api.api_types import ListMetadata
from tui_forward.kube.api.pager import (
    PAGE_LIMIT,
    Page,
    PageDecoder,
    Pager,
    unexpected_response_error,
)
from tui_forward.kube.api.resources import PODS, Item, Resource
from tui_forward.kube.api.rest_client import RestClient
from tui_forward.kube.api.watch import (
    BOOKMARK,
    EVENT,
    STALL_S,
    LineSplitter,
    WatchEvent,
    WatchEventType,
)
from tui_forward.kube.errors import parse_status, to_api_error
from tui_forward.kube.kubeconfig.source import KubeconfigSource
from tui_forward.model import ApiHealth, BlockedBy

_HEALTH_TIMEOUT_S = 10.0
_LOG_TIMEOUT_S = 10.0


class _Version(msgspec.Struct, rename="camel"):
    git_version: str = ""


class ClusterClient(ClusterAccess):
    """One context's API server: access to it, and what it says.

    All methods are safe to cancel and to call concurrently.

    Args:
        source: Where the kubeconfig comes from.
        context: Context name; empty means the current one at this moment.

    Raises:
        ConfigError: There is no such context.
    """

    def __init__(self, source: KubeconfigSource, context: str = "") -> None:
        super().__init__(source, context)
        self._requests = RestClient(self)

    async def get(self, resource: Resource[Item], namespace: str, name: str) -> Item:
        """One object.

        Raises:
            ApiError: As the server says; `not_found` when there is none.
            AuthError, ConfigError, TransportError: See `Requests.read`.
        """
        what = resource.words("get", namespace, name)
        body = await self._requests.get(resource.path(namespace, name), what)
        try:
            return resource.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unexpected_response_error(what, self.server, error) from error

    async def pod_details(self, namespace: str, name: str) -> details.PodDetails:
        """One pod and its containers.

        Raises:
            ApiError, AuthError, ConfigError, TransportError: See `get`.
        """
        what = PODS.words("get", namespace, name)
        body = await self._requests.get(PODS.path(namespace, name), what)
        try:
            return details.pod_details(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unexpected_response_error(what, self.server, error) from error

    async def node(self, name: str) -> details.NodeDetails:
        """One node.

        Raises:
            ApiError, AuthError, ConfigError, TransportError: See `get`.
        """
        what = f'get nodes "{name}"'
        body = await self._requests.get(f"/api/v1/nodes/{quote(name, safe='')}", what)
        try:
            return details.decode_node(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unexpected_response_error(what, self.server, error) from error

    async def pod_log(
        self, namespace: str, name: str, *, container: str = "", lines: int, max_bytes: int
    ) -> bytes:
        """The last lines a container has written, as it wrote them.

        Args:
            namespace: The pod's.
            name: The pod's.
            container: Empty lets the server choose, which it does if there is but one.
            lines: How many; fewer if those are more than `max_bytes`.
            max_bytes: Bound of the answer. Of a single line that is longer: its beginning.

        Raises:
            ApiError, AuthError, ConfigError, TransportError: See `get`.
        """
        what = f'get pods/log "{name}" in namespace {namespace}'
        while True:
            query: dict[str, str | int] = {"tailLines": lines, "limitBytes": max_bytes}
            if container:
                query["container"] = container
            body = await self._requests.get(
                f"{PODS.path(namespace, name)}/log?{urlencode(query)}",
                what,
                read_timeout_s=_LOG_TIMEOUT_S,
                accept="application/json, */*",  # kubectl's; a log is text, an error JSON
            )
            # A kubelet counts the limit from the first of these lines: what it cuts off is
            # the newest.
            if len(body) < max_bytes or lines <= 1:
                return body[:max_bytes]
            lines = max(1, lines // 4)

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
            ApiError, AuthError, ConfigError, TransportError: See `Requests.read`.
        """
        what = resource.words("list", namespace)
        path = resource.path(namespace)

        async def fetch(token: str, on_head: Callable[[ListMetadata], None]) -> PageDecoder[Item]:
            query: dict[str, str | int] = {}
            if limit:
                query["limit"] = limit
            if label_selector:
                query["labelSelector"] = label_selector
            if field_selector:
                query["fieldSelector"] = field_selector
            if token:
                query["continue"] = token
            page = PageDecoder(resource)
            # Somebody looks at an empty screen until the first page is there: nothing else
            # shall use the network meanwhile.
            announced = not token

            def receive(chunk: bytes) -> None:
                nonlocal announced
                page.receive(chunk)
                if page.head is not None and not announced:
                    announced = True
                    on_head(page.head)

            try:
                await self._requests.get(
                    f"{path}?{urlencode(query)}" if query else path, what, receive=receive
                )
                page.finish()
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise unexpected_response_error(what, self.server, error) from error
            return page

        restarted = False
        feed = Pager(fetch)
        feed.start()
        try:
            more = True
            while more:
                try:
                    page = await feed.next_page()
                except ApiError as error:
                    if not error.expired or not limit:
                        raise
                    # Slower than the server's memory: fewer, larger pages, then no pages.
                    limit = limit * 4 if limit < PAGE_LIMIT * 16 else 0
                    restarted = True
                    await feed.close()
                    feed.start()
                    continue
                head = page.head or ListMetadata()
                more = feed.prefetch(head.continue_token)
                yield Page(
                    items=tuple(page.items),
                    resource_version=head.resource_version,
                    remaining=head.remaining_item_count,
                    last=not more,
                    restarted=restarted,
                )
                del page
                restarted = False
        finally:
            await feed.close()

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
            AuthError, ConfigError: See `Requests.read`.
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
        async with self._requests.stream(
            target, what, read_timeout_s=stall_s, compress=False
        ) as response:
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
                status = parse_status(bytes(raw.object))
                raise to_api_error(
                    status.code or 500, bytes(raw.object), what=what, server=self.server
                )
            if raw.type == WatchEventType.BOOKMARK:
                version = BOOKMARK.decode(raw.object).metadata.resource_version
                return WatchEvent(WatchEventType.BOOKMARK, None, version)
            if raw.type not in _CHANGES:
                return None  # a kind of event this program does not know
            item = resource.decode(raw.object)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unexpected_response_error(what, self.server, error) from error
        return WatchEvent(WatchEventType(raw.type), item, item.resource_version)

    async def health(self) -> ApiHealth:
        """Whether the API server answers, how fast, and which version it is. Never raises."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(_HEALTH_TIMEOUT_S):
                body = await self._requests.get("/version", "get the version")
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
            latency_s=self._requests.latency_s,
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
        await self._requests.close()


_CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})


class ClusterClients:
    """One `Cluster` per context, made when first asked for.

    Args:
        source: Where the kubeconfig comes from.
    """

    def __init__(self, source: KubeconfigSource) -> None:
        self.source = source
        self._clusters: dict[str, ClusterClient] = {}

    def get(self, context: str = "") -> ClusterClient:
        """The cluster of a context; an empty name means the current one.

        Raises:
            ConfigError: There is no such context.
        """
        name = self.source.context_name(context)
        if name not in self._clusters:
            self._clusters[name] = ClusterClient(self.source, name)
        return self._clusters[name]

    async def close(self) -> None:
        """Close every connection of every cluster."""
        clusters = list(self._clusters.values())
        self._clusters.clear()
        for cluster in clusters:
            await cluster.close()
