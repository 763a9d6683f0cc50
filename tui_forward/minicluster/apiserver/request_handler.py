"""From an HTTP request to its response: routing, authentication, authorization, dispatch.

Paths follow the Kubernetes API conventions: `/api/v1/…` and `/apis/{group}/{version}/…`, then
`[namespaces/{namespace}/]{resource}[/{name}[/{subresource}]]`.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace

from tui_forward.minicluster.apiserver import (
    auth,
    authorization,
    create_update_delete,
    discovery,
    get_and_list,
    pod_logs,
    resources,
    users,
    watch,
)
from tui_forward.minicluster.apiserver.access_reviews import AccessReviews
from tui_forward.minicluster.apiserver.auth import Authenticator, User
from tui_forward.minicluster.apiserver.authorization import Attributes, Authorizer
from tui_forward.minicluster.apiserver.fault_injection import Faults
from tui_forward.minicluster.apiserver.get_and_list import Selection
from tui_forward.minicluster.apiserver.http import HandlerResult, Request, Response
from tui_forward.minicluster.apiserver.kubelet_dialer import KubeletDialer
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter
from tui_forward.minicluster.apiserver.portforward import PortForward
from tui_forward.minicluster.apiserver.resources import Resource
from tui_forward.minicluster.apiserver.selectors import selected_name
from tui_forward.minicluster.apiserver.status_errors import (
    StatusError,
    method_not_allowed,
    no_such_path,
    too_many_requests,
    unauthorized,
)
from tui_forward.minicluster.apiserver.watch import Watch
from tui_forward.minicluster.relay import Relay
from tui_forward.protocol.upgrade_server import is_upgrade


class LongRunningRequests:
    """The port-forwards and watches in progress."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.tunnels: set[Relay] = set()
        self.watches: set[Watch] = set()

    def add_tunnel(self, tunnel: Relay) -> Callable[[], None]:
        """Track a tunnel until the returned function is called."""
        self.tunnels.add(tunnel)
        tunnel.delay_s = self._faults.delay_s
        if self._faults.tunnel_life_s:
            asyncio.get_running_loop().call_later(self._faults.tunnel_life_s, tunnel.cut)
        if self._faults.stalled in ("tunnels", "all"):
            tunnel.stall()
        return lambda: self.tunnels.discard(tunnel)

    def add_watch(self, watch: Watch) -> None:
        """Track a watch until it closes."""
        self.watches.add(watch)
        watch.on_close = lambda: self.watches.discard(watch)
        if self._faults.stalled in ("watches", "all"):
            watch.stall()

    def end_watches(self) -> None:
        """End all watches gracefully."""
        for each in list(self.watches):
            each.end()

    def reset_tunnels(self) -> int:
        """Close all tunnels with a reset; return their number."""
        tunnels = list(self.tunnels)
        for tunnel in tunnels:
            tunnel.reset()
        return len(tunnels)

    def delay(self, seconds: float) -> None:
        """Delay every byte of current and new tunnels."""
        self._faults.delay_s = seconds
        for tunnel in list(self.tunnels):
            tunnel.delay_s = seconds

    def stall(self, target: str) -> None:
        """Stall "tunnels", "watches" or "all" and resume the others; empty resumes everything."""
        self._faults.stalled = target
        for tunnel in list(self.tunnels):
            if target in ("tunnels", "all"):
                tunnel.stall()
            else:
                tunnel.resume()
        for each in list(self.watches):
            if target in ("watches", "all"):
                each.stall()
            else:
                each.resume()


@dataclass(frozen=True, slots=True)
class Target:
    """The objects that a request is for."""

    resource: Resource
    verb: str  # `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    selected_name: str = ""  # by the field selector of a list or watch

    @property
    def attributes(self) -> Attributes:
        """The attributes that authorization checks."""
        plural = self.resource.plural
        return Attributes(
            self.verb,
            group=self.resource.group,
            resource=f"{plural}/{self.subresource}" if self.subresource else plural,
            namespace=self.namespace,
            name=self.name or self.selected_name,
        )


_WITH_NAME = {"GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "POST": "create"}
_WITHOUT_NAME = {"GET": "list", "HEAD": "list", "POST": "create", "DELETE": "deletecollection"}
_WITHOUT_NAME_VERBS = frozenset({"list", "watch", "deletecollection"})


def route(request: Request) -> Target | None:
    """Return the objects that a request is for; None for other paths, such as discovery."""
    parts = request.path.strip("/").split("/")
    if len(parts) >= 3 and parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    # `namespaces/x` is the namespace itself; a longer path is an object in the namespace.
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    resource = resources.BY_PATH.get((group, version, rest[0]))
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        raise no_such_path()
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if resource is resources.NAMESPACES:
        namespace = name
    if subresource and subresource not in {each.name for each in resource.subresources}:
        raise no_such_path()
    verb = (_WITH_NAME | {"DELETE": "delete"} if name else _WITHOUT_NAME).get(request.method)
    if verb is None:
        raise method_not_allowed()
    if verb in ("get", "list") and not subresource and request.flag("watch"):
        verb = "watch"
    selected = selected_name(request.param("fieldSelector")) if verb in _WITHOUT_NAME_VERBS else ""
    return Target(resource, verb, namespace, name, subresource, selected)


class RequestHandler:
    """Handles all requests; `allow_anonymous` makes anonymous users the administrator."""

    def __init__(
        self,
        writer: ObjectWriter,
        kubelets: KubeletDialer,
        authenticator: Authenticator,
        authorizer: Authorizer,
        faults: Faults,
        long_running: LongRunningRequests,
        *,
        server_address: str,
        allow_anonymous: bool,
    ) -> None:
        self._store = writer.store
        self._writer = writer
        self._kubelets = kubelets
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._reviews = AccessReviews(authorizer)
        self._faults = faults
        self._long_running = long_running
        self._server_address = server_address
        self._allow_anonymous = allow_anonymous
        self._portforward = PortForward(self._store, kubelets, faults, long_running.add_tunnel)

    async def handle(self, request: Request) -> HandlerResult:
        """Return the response to a request; a `StatusError` becomes a response."""
        try:
            user = self._impersonate(self._authenticate(request), request)
            if self._is_throttled(request, user):
                raise too_many_requests()
            target = self._route(request, user)
            if target is None:
                self._authorizer.authorize(user, _path_attributes(request))
                return discovery.respond(request, self._server_address)
            self._authorizer.authorize(user, target.attributes)
            return await self._dispatch(request, user, target)
        except StatusError as error:
            return Response.of_error(error)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - one request must not stop the server
            traceback.print_exc()
            message = f"Internal error occurred: {error!r}"
            return Response.of_error(StatusError(500, "InternalError", message))

    def _authenticate(self, request: Request) -> User:
        user = self._authenticator.authenticate(request)
        if self._faults.credentials and users.NODES not in user.groups:
            if self._faults.credentials == "refused":
                raise unauthorized()
            user = User(users.ANONYMOUS, (users.UNAUTHENTICATED,))
        if self._allow_anonymous and user.name == users.ANONYMOUS:
            return User("kubernetes-admin", (users.ADMINS, users.AUTHENTICATED))
        return user

    def _is_throttled(self, request: Request, user: User) -> bool:
        """Return whether a request is one too many; long-running ones and some users never are."""
        if not self._faults.throttles or not {users.ADMINS, users.NODES}.isdisjoint(user.groups):
            return False
        return not (is_upgrade(request.headers) or request.flag("watch"))

    def _impersonate(self, user: User, request: Request) -> User:
        """Return the user that a request impersonates, else the user itself."""
        other = auth.impersonated_user(request)
        if other is None:
            return user
        account = users.parse_service_account(other.name)
        if account is not None:
            namespace, name = account
            what = Attributes(
                "impersonate", resource="serviceaccounts", namespace=namespace, name=name
            )
        else:
            what = Attributes("impersonate", resource="users", name=other.name)
        self._authorizer.authorize(user, what)
        for group in other.groups:
            what = Attributes("impersonate", resource="groups", name=group)
            self._authorizer.authorize(user, what)
        groups = other.groups or users.implied_groups(other.name)
        if other.name == users.ANONYMOUS:
            return User(other.name, (*groups, users.UNAUTHENTICATED))
        return User(other.name, (*groups, users.AUTHENTICATED))

    def _route(self, request: Request, user: User) -> Target | None:
        try:
            return route(request)
        except StatusError as error:
            # Do not reveal to unauthorized users which paths exist.
            if error.code == 404 and users.ADMINS not in user.groups:
                self._authorizer.authorize(user, _path_attributes(request))
            raise

    async def _dispatch(self, request: Request, user: User, target: Target) -> HandlerResult:
        resource, name = target.resource, target.name
        namespace = target.namespace if resource.namespaced else ""
        if resource in resources.REVIEWS:
            return self._reviews.create(request, resource, user, namespace)
        match target.subresource:
            case "portforward":
                if target.verb == "get":
                    # Since Kubernetes 1.35 the GET of a WebSocket requires `create` as well.
                    attributes = replace(target.attributes, verb="create")
                    if not self._authorizer.decide(user, attributes).allowed:
                        raise authorization.forbidden_without_cause(attributes)
                return await self._portforward.handle(request, namespace, name)
            case "log":
                return await pod_logs.serve(self._store, self._kubelets, request, namespace, name)
            case "binding" if target.verb == "create":
                return create_update_delete.bind(self._writer, request, namespace, name)
        return self._handle_object(request, target, namespace)

    def _handle_object(self, request: Request, target: Target, namespace: str) -> HandlerResult:
        resource, name, subresource = target.resource, target.name, target.subresource
        store, writer = self._store, self._writer
        path = (resource, namespace, name, subresource)
        match target.verb:
            case "watch":
                selection = Selection.from_request(request, resource, namespace, name)
                return self._watch(request, selection)
            case "list":
                if request.param("continue") and self._faults.consume_gone():
                    return watch.gone_response()
                selection = Selection.from_request(request, resource, namespace)
                return get_and_list.list_objects(store, request, selection)
            case "get" if subresource == "scale":
                return get_and_list.get_scale(store, resource, namespace, name)
            case "get":
                return get_and_list.get(store, request, resource, namespace, name)
            case "create" if not name:
                return create_update_delete.create(writer, request, resource, namespace)
            case "update" if name:
                return create_update_delete.update(writer, request, *path)
            case "patch" if name:
                return create_update_delete.patch(writer, request, *path)
            case "delete" if not subresource:
                return create_update_delete.delete(writer, request, resource, namespace, name)
            case "deletecollection":
                selection = Selection.from_request(request, resource, namespace)
                return create_update_delete.delete_collection(writer, request, selection)
        raise method_not_allowed()

    def _watch(self, request: Request, selection: Selection) -> HandlerResult:
        if self._faults.consume_gone():
            return watch.expired_response(self._store)
        running, response = watch.start_watch(self._store, request, selection)
        if running is not None:
            self._long_running.add_watch(running)
        return response


def _path_attributes(request: Request) -> Attributes:
    return Attributes(request.method.lower(), path=request.path)
