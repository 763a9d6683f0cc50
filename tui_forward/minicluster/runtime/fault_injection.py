"""What the control socket of a runtime can be asked for.

=================== ================================================================
``fault``           fields and effect
=================== ================================================================
``status``          tunnels, connections, sandboxes, pids
``crash-pod``       ``namespace pod [container]``: SIGKILL to its container(s)
``cut``             every tunnel ends with a reset; ``what`` = ``connections``: every
                    forwarded connection breaks instead
``stall``           ``on`` (true), ``for_s``: tunnels move no byte
``delay``           ``seconds``: every byte of a tunnel is later by this, 0 ends it
``streaming``       any field of `config.Switches`, and ``crio_texts``
``expire-tokens``   pending streaming URLs are forgotten
``stop-sandbox``    ``namespace pod``: its network goes, its name stays
``end-pods``        every pod ends, and the shim
``clear``           switches back to the configuration, stalls off
=================== ================================================================
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import msgspec

from tui_forward.errors import UsageError
from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.runtime import shim_protocol as shim_protocol
from tui_forward.minicluster.runtime.config import RuntimeBehavior
from tui_forward.minicluster.runtime.dialer import Dialer
from tui_forward.minicluster.runtime.shim_client import ShimClient
from tui_forward.minicluster.runtime.streaming_server import StreamingServer


class RuntimeFaults:
    """Carries out requests of the control socket.

    Args:
        client: The shim.
        streaming: The streaming server and its tunnels.
        dialer: For the wording of its errors.
        switches: The switches in use; changed in place.
    """

    def __init__(
        self,
        client: ShimClient,
        streaming: StreamingServer,
        dialer: Dialer,
        switches: RuntimeBehavior,
    ) -> None:
        self._client = client
        self._streaming = streaming
        self._dialer = dialer
        self._switches = switches
        self._original = msgspec.to_builtins(switches)
        self._unstall: asyncio.TimerHandle | None = None

    async def handle(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Carry out one request.

        Raises:
            UsageError: It cannot be understood or done.
        """
        match request.get("fault"):
            case "status":
                return self._status()
            case "crash-pod" | "crash":
                return await self._crash(request)
            case "cut":
                return self._cut(str(request.get("what", "tunnels")))
            case "stall":
                self._stall(on=bool(request.get("on", True)), for_s=request.get("for_s"))
            case "delay":
                self._delay(float(request.get("seconds", 0)))
            case "streaming":
                self._set(request)
            case "expire-tokens":
                self._streaming.tokens.expire_all()
            case "stop-sandbox":
                for sandbox in self._sandboxes(request):
                    await self._client.ask(shim_protocol.StopSandbox(id=sandbox.id))
            case "end-pods":
                await self._client.ask(shim_protocol.Shutdown())
            case "clear":
                self._set(dict(self._original))
                self._dialer.crio_texts = False
                self._stall(on=False, for_s=None)
                self._delay(0.0)
            case other:
                raise UsageError(f"a runtime does not know the fault {other!r}")
        return None

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "tunnels": len(self._streaming.tunnels),
            "tunnels_total": self._streaming.tunnels_total,
            "connections": sum(tunnel.connections for tunnel in self._streaming.tunnels),
            "tokens": len(self._streaming.tokens),
            "sandboxes": len(self._client.sandboxes),
            "containers": {
                container.id: container.pid for container in self._client.containers.values()
            },
            "switches": msgspec.to_builtins(self._switches),
        }

    def _sandboxes(self, request: dict[str, Any]) -> list[shim_protocol.Sandbox]:
        namespace, pod = request.get("namespace", "default"), request.get("pod")
        found = []
        for sandbox in self._client.sandboxes.values():
            metadata = cri.PodSandboxConfig.FromString(sandbox.config).metadata
            if sandbox.ready and (metadata.namespace, metadata.name) == (namespace, pod):
                found.append(sandbox)
        if not found:
            raise UsageError(f"no pod {namespace}/{pod} runs here")
        return found

    async def _crash(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted = request.get("container")
        crashed = []
        sandboxes = {sandbox.id for sandbox in self._sandboxes(request)}
        for container in list(self._client.containers.values()):
            name = cri.ContainerConfig.FromString(container.config).metadata.name
            if container.sandbox_id not in sandboxes or not container.running:
                continue
            if wanted in (None, "", name):
                await self._client.ask(
                    shim_protocol.SignalContainer(id=container.id, signal=signal.SIGKILL)
                )
                crashed.append(container.id)
        if not crashed:
            raise UsageError("no such container runs")
        return {"containers": crashed}

    def _cut(self, what: str) -> dict[str, Any]:
        tunnels = list(self._streaming.tunnels)
        for tunnel in tunnels:
            if what == "connections":
                tunnel.cut_connections()
            else:
                tunnel.reset()
        return {"cut": len(tunnels)}

    def _stall(self, *, on: bool, for_s: object) -> None:
        if self._unstall is not None:
            self._unstall.cancel()
            self._unstall = None
        self._streaming.stalled = on
        for tunnel in list(self._streaming.tunnels):
            tunnel.stall(on=on)
        if on and isinstance(for_s, int | float):
            loop = asyncio.get_running_loop()
            self._unstall = loop.call_later(float(for_s), lambda: self._stall(on=False, for_s=None))

    def _delay(self, seconds: float) -> None:
        self._streaming.delay_s = seconds
        for tunnel in self._streaming.tunnels:
            tunnel.delay(seconds)

    def _set(self, request: dict[str, Any]) -> None:
        changes = {
            key: value for key, value in request.items() if key not in ("fault", "hop", "node")
        }
        crio_texts = changes.pop("crio_texts", None)
        if crio_texts is not None:
            self._dialer.crio_texts = bool(crio_texts)
        unknown = set(changes) - set(RuntimeBehavior.__struct_fields__)
        if unknown:
            raise UsageError(f"no such switch: {', '.join(sorted(unknown))}")
        try:
            new = msgspec.convert(
                {**msgspec.to_builtins(self._switches), **changes}, RuntimeBehavior
            )
        except msgspec.ValidationError as error:
            raise UsageError(str(error)) from error
        for field in RuntimeBehavior.__struct_fields__:
            setattr(self._switches, field, getattr(new, field))
