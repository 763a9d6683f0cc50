"""From an HTTP request to its response: authentication, authorization and dispatch."""

from __future__ import annotations

import traceback

from tui_forward.minicluster.apiserver import (
    access_reviews,
    auth,
    create_update_delete,
    discovery,
    get_and_list,
    pod_logs,
    resources,
    watch,
)
from tui_forward.minicluster.apiserver.auth import Attributes, Authenticator, User
from tui_forward.minicluster.apiserver.fault_injection import Faults
from tui_forward.minicluster.apiserver.get_and_list import Selection
from tui_forward.minicluster.apiserver.http import HandlerResult, Request, Response
from tui_forward.minicluster.apiserver.kubelet_dialer import KubeletDialer
from tui_forward.minicluster.apiserver.long_running_requests import LongRunningRequests
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter
from tui_forward.minicluster.apiserver.portforward import PortForward
from tui_forward.minicluster.apiserver.router import Target, route
from tui_forward.minicluster.apiserver.status_errors import StatusError, method_not_allowed


class RequestHandler:
    """Handles the requests of all connections.

    Args:
        writer: Writes objects; its store is read.
        kubelets: Connects to kubelets for logs and port-forwards.
        authenticator: Identifies users.
        faults: Faults in force.
        long_running: Tracks port-forwards and watches.
        server_address: Address of this server, for discovery.
        allow_anonymous: Treat anonymous users as the administrator.
    """

    def __init__(
        self,
        writer: ObjectWriter,
        kubelets: KubeletDialer,
        authenticator: Authenticator,
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
        self._faults = faults
        self._long_running = long_running
        self._server_address = server_address
        self._allow_anonymous = allow_anonymous
        self._portforward = PortForward(self._store, kubelets, faults, long_running.add_tunnel)

    async def handle(self, request: Request) -> HandlerResult:
        """Return the response to a request; a `StatusError` becomes a response.

        Raises `OSError`: a connection failed.
        """
        try:
            user = auth.impersonate(self._authenticate(request), request)
            target = self._route(request, user)
            if target is None:
                auth.authorize(user, _path_attributes(request))
                return discovery.respond(request, self._server_address)
            auth.authorize(user, target.attributes)
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
        if self._allow_anonymous and user.name == auth.ANONYMOUS:
            return User("kubernetes-admin", frozenset({auth.ADMINS, auth.AUTHENTICATED}))
        return user

    def _route(self, request: Request, user: User) -> Target | None:
        try:
            return route(request)
        except StatusError as error:
            # Do not reveal to unauthorized users which paths exist.
            if error.code == 404 and auth.ADMINS not in user.groups:
                auth.authorize(user, _path_attributes(request))
            raise

    async def _dispatch(self, request: Request, user: User, target: Target) -> HandlerResult:
        resource, name = target.resource, target.name
        namespace = target.namespace if resource.namespaced else ""
        if resource in resources.REVIEWS:
            return access_reviews.review(request, resource, user)
        match target.subresource:
            case "portforward":
                if target.verb == "get":
                    # Since Kubernetes 1.35 the GET of a WebSocket requires `create` as well.
                    attributes = Attributes(
                        "create", resource="pods/portforward", namespace=namespace, name=name
                    )
                    auth.authorize(user, attributes)
                return await self._portforward.handle(request, namespace, name)
            case "log":
                return await pod_logs.serve(self._store, self._kubelets, request, namespace, name)
            case "binding" if target.verb == "create":
                return create_update_delete.bind(self._writer, request, namespace, name)
        return self._handle_object(request, target, namespace)

    def _handle_object(self, request: Request, target: Target, namespace: str) -> HandlerResult:
        resource, name, subresource = target.resource, target.name, target.subresource
        store, writer = self._store, self._writer
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
                return create_update_delete.update(
                    writer, request, resource, namespace, name, subresource
                )
            case "patch" if name:
                return create_update_delete.patch(
                    writer, request, resource, namespace, name, subresource
                )
            case "delete" if not subresource:
                return create_update_delete.delete(writer, request, resource, namespace, name)
            case "deletecollection":
                selection = Selection.from_request(request, resource, namespace)
                return create_update_delete.delete_collection(writer, request, selection)
        raise method_not_allowed()

    def _watch(self, request: Request, selection: Selection) -> HandlerResult:
        if self._faults.consume_gone():
            return watch.gone_response()
        running, response = watch.start_watch(self._store, request, selection)
        if running is not None:
            self._long_running.add_watch(running)
        return response


def _path_attributes(request: Request) -> Attributes:
    return Attributes(request.method.lower(), path=request.path)
