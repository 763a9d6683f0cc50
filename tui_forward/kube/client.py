"""Client of one context's API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from tui_forward.errors import ApiError, TuiForwardError
from tui_forward.kube.access.cluster_access import ClusterAccess
from tui_forward.kube.api import descriptions, details, health, pager, reviews, watch
from tui_forward.kube.api.limits import Account
from tui_forward.kube.api.permissions import AccessRules, Permission
from tui_forward.kube.api.resources import PODS, Item, Resource
from tui_forward.kube.api.rest_client import OBJECTS, RestClient
from tui_forward.kube.auth.login_handover import LoginHandover
from tui_forward.kube.auth.shared_logins import JoinedLogin, SharedLogins
from tui_forward.kube.errors import unexpected_response_error
from tui_forward.kube.kubeconfig.overrides import OptionSecrets
from tui_forward.kube.kubeconfig.source import KubeconfigSource
from tui_forward.model import NO_OPTIONS, AccessOptions, ApiHealth, ClusterKey, ObjectEvent

_LOG_TIMEOUT_S = 10.0
_CHECK_TIMEOUT_S = 3.0
# Of one pod; an API server keeps repeated events as one.
_MAX_EVENTS = 200

Decoded = TypeVar("Decoded")


class ClusterClient(ClusterAccess):
    """One context's API server: access to it, reads, lists and watches.

    All methods are safe to cancel and to call concurrently, and raise the errors of
    `RestClient.get`.
    """

    def __init__(
        self,
        source: KubeconfigSource,
        context: str = "",
        options: AccessOptions = NO_OPTIONS,
        *,
        environ: Mapping[str, str] | None = None,
        has_terminal: bool = False,
        logins: SharedLogins | None = None,
    ) -> None:
        super().__init__(
            source, context, options, environ=environ, has_terminal=has_terminal, logins=logins
        )
        self._rest = RestClient(self)
        # False once this server has refused it, until the end of the session.
        self.offers_watch_list = watch.is_watch_list_enabled(self._environ)

    async def get(self, resource: Resource[Item], namespace: str, name: str) -> Item:
        """Return one object."""
        what = resource.describe("get", namespace, name)
        return await self._get(resource.path(namespace, name), what, resource.decode)

    async def check_pod(self, namespace: str, pod: str) -> bool:
        """See `ServerAccess.check_pod`."""
        what = PODS.describe("get", namespace, pod)
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_S):
                await self._rest.get(PODS.path(namespace, pod), what, retry_wait_s=0)
        except ApiError as error:
            return error.status < 500
        except (TuiForwardError, TimeoutError):
            return False
        return True

    async def pod_details(self, namespace: str, name: str) -> details.PodDetails:
        """Return one pod and its containers."""
        what = PODS.describe("get", namespace, name)
        return await self._get(PODS.path(namespace, name), what, details.pod_details)

    async def node(self, name: str) -> details.NodeDetails:
        """Return one node."""
        path = f"/api/v1/nodes/{quote(name, safe='')}"
        return await self._get(path, f'get nodes "{name}"', details.decode_node)

    async def pod_warnings(
        self, namespace: str, name: str, uid: str
    ) -> tuple[details.PodWarning, ...]:
        """Return the warnings among the events of one pod, latest first."""
        selector = f"involvedObject.name={name},involvedObject.uid={uid},type=Warning"
        query = urlencode({"fieldSelector": selector, "limit": _MAX_EVENTS})
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/events?{query}"
        what = f"list events in namespace {namespace}"
        return await self._get(path, what, details.decode_warnings)

    async def events_of(self, namespace: str, kind: str, name: str) -> tuple[ObjectEvent, ...]:
        """Return the events of one object by kind ("Deployment") and name, latest first."""
        selector = f"involvedObject.name={name},involvedObject.kind={kind}"
        query = urlencode({"fieldSelector": selector, "limit": _MAX_EVENTS})
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/events?{query}"
        what = f"list events in namespace {namespace}"
        return await self._get(path, what, descriptions.decode_events)

    async def describe(
        self, resource: Resource[Item], namespace: str, name: str
    ) -> descriptions.ObjectFacts:
        """Return facts and conditions of one object."""
        what = resource.describe("get", namespace, name)
        return await self._get(resource.path(namespace, name), what, descriptions.decode_object)

    async def _get(self, path: str, what: str, decode: Callable[[bytes], Decoded]) -> Decoded:
        body = await self._rest.get(path, what, accept=OBJECTS)
        Account(what, self.server).check_decoded_size(body)
        try:
            return decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise unexpected_response_error(what, self.server, error) from error

    async def pod_log(
        self, namespace: str, name: str, *, container: str = "", lines: int, max_bytes: int,
        previous: bool = False, since: str = "",
    ) -> bytes:  # fmt: skip
        """Return the last lines of a container's log, unmodified, each after its time.

        An empty container means the only one. `previous` is the run before the last start; `since`
        an RFC 3339 time, of which only the seconds matter. `lines` is reduced until they fit into
        `max_bytes`; of a single longer line, its beginning is returned.
        """
        what = f'get pods/log "{name}" in namespace {namespace}'
        while True:
            query: dict[str, str | int] = {
                "tailLines": lines, "limitBytes": max_bytes, "timestamps": "true",
            }  # fmt: skip
            if container:
                query["container"] = container
            if previous:
                query["previous"] = "true"
            if since:
                query["sinceTime"] = since
            body = await self._rest.get(
                f"{PODS.path(namespace, name)}/log?{urlencode(query)}",
                what,
                read_timeout_s=_LOG_TIMEOUT_S,
                truncate_at=max_bytes,  # whatever the server makes of `limitBytes`
                accept="application/json, */*",  # as kubectl: a log is text, an error JSON
            )
            # A kubelet counts `limitBytes` from the first of these lines, so that it cuts off
            # the newest.
            if len(body) < max_bytes or lines <= 1:
                return body
            lines = max(1, lines // 4)

    def list_pages(
        self,
        resource: Resource[Item],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = pager.PAGE_LIMIT,
    ) -> AsyncGenerator[pager.Page[Item], None]:
        """Yield all objects, page by page. Close the generator (`aclosing`) to stop early.

        If the server discards the list half-way (410), it starts over with larger pages, and the
        first page of the new list is marked `restarted`.
        """
        return pager.list_pages(
            self._rest,
            resource,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
        )

    def watch(
        self,
        resource: Resource[Item],
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        send_initial_events: bool = False,
        stall_s: float = watch.STALL_S,
    ) -> AsyncGenerator[watch.WatchEvent[Item], None]:
        """Yield changes after a version, bookmarks included, until the server ends the watch.

        The first event is always a bookmark of `resource_version`: the watch has started. The end
        of the iteration is normal: watch again from the last event's version. Close the generator
        (`aclosing`) to stop early. ApiError is `expired` when the version is too old (HTTP 410 or
        an ERROR event); TransportError includes a silence of `stall_s`.

        With `send_initial_events` (a "WatchList"; without a version) the present objects come
        first, as ADDED, then a bookmark that `ends_initial_events`. A server that does not offer
        it refuses it (400 or 422), or sends the objects without that bookmark.
        """
        return watch.watch(
            self._rest,
            resource,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            send_initial_events=send_initial_events,
            stall_s=stall_s,
        )

    @property
    def is_slow(self) -> bool:
        """Whether lists had better be compressed on their way, which watches never are."""
        return self._rest.is_slow

    async def user_info(self) -> reviews.UserInfo:
        """Return who the server takes the user for; ApiError 404 before Kubernetes 1.28."""
        return await reviews.review_user(self._rest)

    async def access_rules(self, namespace: str) -> AccessRules:
        """Return what the user may do in a namespace, as far as the authorizers can list it."""
        return await reviews.review_rules(self._rest, namespace)

    async def is_allowed(self, namespace: str, permission: Permission, name: str = "") -> bool:
        """Return whether the user has a permission in a namespace, on an object if named."""
        return await reviews.review_access(self._rest, namespace, permission, name)

    async def health(self) -> ApiHealth:
        """Return reachability, latency and version of the API server. Never raises."""
        return await health.check_health(self._rest)

    async def close(self) -> None:
        """End the login in progress and close every connection; requests in progress fail."""
        await super().close()
        await self._rest.close()


class ClusterClients:
    """Clients by context and options, created on first use.

    `environ` is the environment of their plugins and proxies, by default that of the kubeconfig;
    with `has_terminal`, plugins may use the terminal of this process. `secrets` has those of the
    options, `handover` the logins of the engine before, by `environment_key`. `on_login_line` gets
    each line that a plugin writes for the user.
    """

    def __init__(
        self,
        source: KubeconfigSource,
        *,
        environ: Mapping[str, str] | None = None,
        has_terminal: bool = False,
        on_login_line: Callable[[JoinedLogin, str], None] = lambda _login, _line: None,
        secrets: OptionSecrets | None = None,
        handover: LoginHandover | None = None,
        environment_key: bytes = b"",
    ) -> None:
        self.source = source
        self._environ = environ
        self._has_terminal = has_terminal
        self.logins = SharedLogins(on_login_line, handover, environment_key)
        self._clients: dict[ClusterKey, ClusterClient] = {}
        self._secrets = secrets if secrets is not None else OptionSecrets()

    def get(self, context: str = "", options: AccessOptions = NO_OPTIONS) -> ClusterClient:
        """Return the client of a context; an empty name means the current one.

        Options without their secrets get those that were remembered for their `secret_id`.
        """
        options = self._secrets.complete(options)
        key = self.source.context_name(context, options), options
        if key not in self._clients:
            self._clients[key] = ClusterClient(
                self.source, *key, environ=self._environ, has_terminal=self._has_terminal,
                logins=self.logins,
            )  # fmt: skip
        return self._clients[key]

    @property
    def clients(self) -> tuple[ClusterClient, ...]:
        """The clients created until now."""
        return tuple(self._clients.values())

    async def close(self) -> None:
        """Close every connection of every client."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.close()
