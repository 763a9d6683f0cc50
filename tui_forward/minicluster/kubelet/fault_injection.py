"""Faults that the control socket of a kubelet injects; `control_socket` lists them.

`cut` with `what=eof` closes the port-forwards instead of resetting them.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from tui_forward.errors import ApiError, TransportError, UsageError
from tui_forward.minicluster.kubelet.kubelet import Kubelet
from tui_forward.minicluster.kubelet.node_status import NodeReporter
from tui_forward.minicluster.kubelet.server import KubeletServer
from tui_forward.minicluster.timed_fault import TimedFault


class KubeletFaults:
    """Injects the faults requested at the control socket."""

    def __init__(self, kubelet: Kubelet, server: KubeletServer, node: NodeReporter) -> None:
        self._kubelet = kubelet
        self._server = server
        self._node = node
        self._stalling = TimedFault(self._stall)

    async def handle(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Inject or end one fault. Raises `UsageError`: the request cannot be carried out."""
        match request.get("fault"):
            case "status":
                return self._status()
            case "not-ready":
                self._not_ready(request)
            case "cut":
                return self._cut(str(request.get("what", "tunnels")))
            case "stall":
                self._stalling.set(on=bool(request.get("on", True)), for_s=request.get("for_s"))
            case "delay":
                self._delay(float(request.get("seconds", 0)))
            case "certificate":
                self._use_certificate(str(request.get("cert", "")), str(request.get("key", "")))
            case "authorization":
                self._server.refusal_status = int(request.get("status", 0))
            case "node-ready":
                await self._set_node_ready(ready=bool(request.get("on", True)))
            case "clear":
                self._use_certificate("", "")
                self._server.refusal_status = 0
                await self._set_node_ready(ready=True)
                self._stalling.set(on=False)
                self._delay(0.0)
                for worker in self._kubelet.workers.values():
                    if worker.forced_unready:
                        worker.force_unready(None, unready=False)
            case other:
                raise UsageError(f"unknown kubelet fault: {other!r}")
        return None

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "pods": len(self._kubelet.workers),
            "tunnels": len(self._server.relays),
            "tunnels_total": self._server.port_forwards_total,
            "bytes_down": sum(relay.bytes_down for relay in self._server.relays),
            "bytes_up": sum(relay.bytes_up for relay in self._server.relays),
        }

    def _use_certificate(self, cert: str, key: str) -> None:
        try:
            self._server.use_certificate(cert, key)
        except OSError as error:
            raise UsageError(f"cannot use certificate {cert}: {error}") from error

    async def _set_node_ready(self, *, ready: bool) -> None:
        if self._node.ready != ready:
            self._node.set_ready(ready=ready)
            with contextlib.suppress(ApiError, TransportError):  # the heartbeat tries again
                await self._node.report()

    def _not_ready(self, request: dict[str, Any]) -> None:
        namespace, name = str(request.get("namespace", "default")), str(request.get("pod"))
        worker = self._kubelet.find(namespace, name)
        if worker is None:
            raise UsageError(f"no such pod on this node: {namespace}/{name}")
        container = request.get("container")
        names = [spec["name"] for spec in worker.pod["spec"]["containers"]]
        if container and container not in names:
            raise UsageError(f"no such container in pod {namespace}/{name}: {container}")
        worker.force_unready(container or None, unready=not request.get("ready", False))

    def _cut(self, what: str) -> dict[str, Any]:
        relays = list(self._server.relays)
        for relay in relays:
            if what == "eof":
                relay.cut()
            else:
                relay.reset()
        return {"cut": len(relays)}

    def _delay(self, seconds: float) -> None:
        self._server.delay_s = seconds
        for relay in self._server.relays:
            relay.delay_s = seconds

    def _stall(self, on: bool) -> None:
        self._server.stalled = on
        for relay in self._server.relays:
            if on:
                relay.stall()
            else:
                relay.resume()
