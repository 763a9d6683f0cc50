"""The `log` subresource: a container's log, fetched from the kubelet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import h11

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.http import Request, Response, StreamingResponse
from tui_forward.minicluster.apiserver.kubelet_dialer import KubeletDialer
from tui_forward.minicluster.apiserver.status_errors import StatusError, bad_request, not_found
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.socket_connection import SocketConnection

_FORWARDED_PARAMETERS = (
    *("follow", "limitBytes", "previous", "sinceSeconds", "sinceTime", "tailLines", "timestamps"),
    *("stream",),
)
HEAD_TIMEOUT_S = 30.0


async def serve(
    store: Store, kubelets: KubeletDialer, request: Request, namespace: str, name: str
) -> Response | StreamingResponse:
    """Handle GET of a container's log."""
    item = store.get(resources.PODS, namespace, name)
    if item is None:
        raise not_found("pods", name)
    spec = item.copy()["spec"]
    container = _select_container(request.param("container"), name, spec)
    node = spec.get("nodeName")
    if not node:
        return Response(content_type="text/plain")
    backend = kubelets.backend(node)
    connection = await kubelets.dial(backend)
    try:
        forwarded = [key for key in _FORWARDED_PARAMETERS if key in request.query]
        query = urlencode([(key, request.param(key)) for key in forwarded])
        path = f"/containerLogs/{quote(namespace)}/{quote(name)}/{quote(container)}"
        target = f"{path}?{query}" if query else path
        http = h11.Connection(h11.CLIENT)
        head = h11.Request(method="GET", target=target, headers=[("Host", backend.authority)])
        await connection.write((http.send(head) or b"") + (http.send(h11.EndOfMessage()) or b""))
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            event = await _next_event(connection, http)
        if not isinstance(event, h11.Response):
            raise StatusError(500, "InternalError", "the kubelet did not answer")
        if event.status_code != 200:
            body = b"".join([chunk async for chunk in _body(connection, http)])
            raise _kubelet_error(event.status_code, body.decode(errors="replace").strip(), name)
    except (OSError, h11.RemoteProtocolError) as error:
        connection.close()
        raise StatusError(500, "InternalError", f"Internal error occurred: {error}") from error
    except BaseException:
        connection.close()
        raise
    return StreamingResponse(_body(connection, http), content_type="text/plain")


def _select_container(requested: str, pod: str, spec: dict[str, list[dict[str, str]]]) -> str:
    names = [c["name"] for c in spec.get("containers") or ()]
    inits = [c["name"] for c in spec.get("initContainers") or ()]
    if not requested:
        if len(names) == 1:
            return names[0]
        extra = f" or one of the init containers: [{' '.join(inits)}]" if inits else ""
        choices = f"[{' '.join(names)}]{extra}"
        raise bad_request(
            f"a container name must be specified for pod {pod}, choose one of: {choices}"
        )
    if requested not in names + inits:
        raise bad_request(f"container {requested} is not valid for pod {pod}")
    return requested


def _kubelet_error(code: int, text: str, pod: str) -> StatusError:
    reason = {400: "BadRequest", 404: "NotFound"}.get(code, "InternalError")
    details = {"name": pod, "kind": "pods"} if code == 404 else None
    return StatusError(code, reason, text or f"the kubelet answered {code}", details=details)


async def _next_event(connection: SocketConnection, http: h11.Connection) -> object:
    while True:
        event = http.next_event()
        if event is not h11.NEED_DATA:
            return event
        http.receive_data(await connection.read())


async def _body(connection: SocketConnection, http: h11.Connection) -> AsyncIterator[bytes]:
    try:
        with contextlib.suppress(OSError, h11.RemoteProtocolError):  # a log may end at any byte
            while True:
                event = await _next_event(connection, http)
                if not isinstance(event, h11.Data):
                    return
                yield bytes(event.data)
    finally:
        connection.close()
