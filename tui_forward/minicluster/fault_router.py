"""Routes the requests of the supervisor's control socket to the components."""

from __future__ import annotations

import asyncio
from typing import Any

from tui_forward.errors import ApiError, TransportError, UsageError
from tui_forward.minicluster.cluster_components import ClusterComponents
from tui_forward.minicluster.cluster_credentials import ClusterCredentials
from tui_forward.minicluster.component_process import ComponentProcess
from tui_forward.minicluster.control_socket import Reply, Request


class FaultRouter:
    """Handles faults of whole processes and passes all others to the components."""

    def __init__(self, components: ClusterComponents, credentials: ClusterCredentials) -> None:
        self._components = components
        self._credentials = credentials

    async def handle(self, request: Request) -> Reply | None:
        """Handle one request.

        Raises:
            UsageError: The request is invalid.
            ApiError: A component rejects the request.
            TransportError: A component does not respond.
        """
        components = self._components
        fault = request.get("fault")
        match fault:
            case "restart-component":
                down_s = float(request.get("down_s", 0))
                kill = bool(request.get("kill", False))
                selected = self._select(request)
                await asyncio.gather(*(each.restart(down_s=down_s, kill=kill) for each in selected))
            case "stop-component":
                kill = bool(request.get("kill", False))
                await asyncio.gather(*(each.stop(kill=kill) for each in self._select(request)))
            case "start-component":
                await asyncio.gather(*(each.start() for each in self._select(request)))
            case "rotate-token":
                return {"contexts": self._credentials.rotate(str(request.get("user", "")))}
            case "crash-pod" | "stop-sandbox":
                return await self._send_to_first(components.runtimes, request)
            case "not-ready":
                return await self._send_to_first(components.kubelets, request)
            case "streaming" | "expire-tokens":
                return await self._send_to_all(components.runtimes, request)
            case "cut" | "stall" | "delay":
                name = str(request.get("component", ""))
                if name == "apiserver":
                    return await self._send_to_apiserver(request)
                return await self._send_to_all(components.group(name), request)
            case "clear":
                await self._send_to_apiserver(request)
                await self._send_to_all(components.kubelets, request, ignore_errors=True)
                await self._send_to_all(components.runtimes, request, ignore_errors=True)
            case str():
                return await self._send_to_apiserver(request)
            case _:
                raise UsageError("the request has no fault")
        return None

    def _select(self, request: Request) -> list[ComponentProcess]:
        name, node = str(request.get("component", "")), str(request.get("node", ""))
        return self._components.select(name, node)

    async def _send(self, component: ComponentProcess, request: Request) -> Reply:
        fields = {k: v for k, v in request.items() if k not in ("fault", "component", "node")}
        client = self._components.control_client(component)
        return await client.request(str(request["fault"]), **fields)

    async def _send_to_apiserver(self, request: Request) -> Reply:
        return await self._send(self._components.apiserver, request)

    async def _send_to_all(
        self, group: dict[str, ComponentProcess], request: Request, *, ignore_errors: bool = False
    ) -> Reply:
        """Pass a request to the components of a group, or to that of the request's node."""
        replies: dict[str, Any] = {}
        for node, component in _on_requested_node(group, request):
            try:
                reply = await self._send(component, request)
                replies[node] = {key: value for key, value in reply.items() if key != "ok"}
            except (ApiError, TransportError):
                if not ignore_errors:
                    raise
        return {"nodes": replies}

    async def _send_to_first(self, group: dict[str, ComponentProcess], request: Request) -> Reply:
        """Pass a request to the components of a group until one of them succeeds."""
        last_error: ApiError | TransportError | None = None
        for _, component in _on_requested_node(group, request):
            try:
                return await self._send(component, request)
            except (ApiError, TransportError) as error:
                last_error = error
        raise last_error or UsageError("no component can handle the request")


def _on_requested_node(
    group: dict[str, ComponentProcess], request: Request
) -> list[tuple[str, ComponentProcess]]:
    requested = request.get("node")
    return [(node, each) for node, each in group.items() if requested in (None, "", node)]
