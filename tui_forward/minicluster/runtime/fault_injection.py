"""Faults that the control socket of a runtime injects; `control_socket` lists most.

`end-pods`, from the supervisor, ends all pods and the shim. `cut` with `what=connections` breaks
the forwarded connections instead of the tunnels.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import msgspec

from tui_forward.errors import UsageError
from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.runtime import shim_protocol
from tui_forward.minicluster.runtime.config import RuntimeBehavior
from tui_forward.minicluster.runtime.shim_client import ShimClient
from tui_forward.minicluster.runtime.streaming_server import StreamingServer
from tui_forward.minicluster.timed_fault import TimedFault


class RuntimeFaults:
    """Injects the faults requested at the control socket."""

    def __init__(
        self, shim: ShimClient, streaming: StreamingServer, behavior: RuntimeBehavior
    ) -> None:
        self._shim = shim
        self._streaming = streaming
        self._behavior = behavior
        self._configured = msgspec.to_builtins(behavior)
        self._stalling = TimedFault(self._stall)

    async def handle(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Inject or end one fault. Raises `UsageError`: the request cannot be carried out."""
        match request.get("fault"):
            case "status":
                return self._status()
            case "crash-pod":
                return await self._crash(request)
            case "cut":
                return self._cut(str(request.get("what", "tunnels")))
            case "stall":
                self._stalling.set(on=bool(request.get("on", True)), for_s=request.get("for_s"))
            case "delay":
                self._delay(float(request.get("seconds", 0)))
            case "streaming":
                self._set_behavior(request)
            case "expire-tokens":
                self._streaming.tokens.expire_all()
            case "stop-sandbox":
                for sandbox in self._sandboxes(request):
                    await self._shim.request(shim_protocol.StopSandbox(id=sandbox.id))
            case "end-pods":
                await self._shim.end_shim()
            case "clear":
                self._set_behavior(dict(self._configured))
                self._stalling.set(on=False)
                self._delay(0.0)
            case other:
                raise UsageError(f"unknown runtime fault: {other!r}")
        return None

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "tunnels": len(self._streaming.tunnels),
            "tunnels_total": self._streaming.tunnels_total,
            "connections": sum(tunnel.connections for tunnel in self._streaming.tunnels),
            "tokens": len(self._streaming.tokens),
            "sandboxes": len(self._shim.sandboxes),
            "containers": {
                container.id: container.pid for container in self._shim.containers.values()
            },
            "behavior": msgspec.to_builtins(self._behavior),
        }

    def _sandboxes(self, request: dict[str, Any]) -> list[shim_protocol.Sandbox]:
        namespace, pod = request.get("namespace", "default"), request.get("pod")
        sandboxes = []
        for sandbox in self._shim.sandboxes.values():
            metadata = cri.PodSandboxConfig.FromString(sandbox.config).metadata
            if sandbox.ready and (metadata.namespace, metadata.name) == (namespace, pod):
                sandboxes.append(sandbox)
        if not sandboxes:
            raise UsageError(f"no such pod: {namespace}/{pod}")
        return sandboxes

    async def _crash(self, request: dict[str, Any]) -> dict[str, Any]:
        container_name = request.get("container")
        crashed = []
        sandboxes = {sandbox.id for sandbox in self._sandboxes(request)}
        for container in list(self._shim.containers.values()):
            name = cri.ContainerConfig.FromString(container.config).metadata.name
            if container.sandbox_id not in sandboxes or not container.running:
                continue
            if container_name in (None, "", name):
                await self._shim.request(
                    shim_protocol.SignalContainer(id=container.id, signal=signal.SIGKILL)
                )
                crashed.append(container.id)
        if not crashed:
            raise UsageError("no such container is running")
        return {"containers": crashed}

    def _cut(self, what: str) -> dict[str, Any]:
        tunnels = list(self._streaming.tunnels)
        for tunnel in tunnels:
            if what == "connections":
                tunnel.cut_connections()
            else:
                tunnel.reset()
        return {"cut": len(tunnels)}

    def _stall(self, on: bool) -> None:
        self._streaming.stalled = on
        for tunnel in list(self._streaming.tunnels):
            tunnel.stall(on=on)

    def _delay(self, seconds: float) -> None:
        self._streaming.delay_s = seconds
        for tunnel in self._streaming.tunnels:
            tunnel.delay(seconds)

    def _set_behavior(self, request: dict[str, Any]) -> None:
        ignored = ("fault", "component", "node")
        changes = {key: value for key, value in request.items() if key not in ignored}
        unknown = set(changes) - set(RuntimeBehavior.__struct_fields__)
        if unknown:
            raise UsageError(f"unknown setting: {', '.join(sorted(unknown))}")
        try:
            changed = msgspec.convert(
                {**msgspec.to_builtins(self._behavior), **changes}, RuntimeBehavior
            )
        except msgspec.ValidationError as error:
            raise UsageError(str(error)) from error
        for field in RuntimeBehavior.__struct_fields__:
            setattr(self._behavior, field, getattr(changed, field))
