"""The Node object: created once, its status reported with every heartbeat."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import time
from urllib.parse import quote

from tui_forward.errors import ApiError, TransportError
from tui_forward.minicluster.kubelet.api_client import MERGE_PATCH, ApiClient
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.objects import Object
from tui_forward.minicluster.kubelet.pod_status import format_timestamp

VERSION = "v1.36.2-minicluster"
_RETRY_S = (0.05, 2.0)

_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)
_NOT_READY = ("Ready", "False", "KubeletNotReady", "container runtime is down")


class NodeReporter:
    """Creates and updates the Node object of this kubelet."""

    def __init__(self, api: ApiClient, config: KubeletConfig, port: int, runtime: str) -> None:
        self._api = api
        self._config = config
        self._port = port
        self._runtime = runtime
        self._since = format_timestamp(time.time())
        self.ready = True
        self._ready_since = self._since

    def set_ready(self, *, ready: bool) -> None:
        """Fault: report that the node is not ready, or that it is again; see `report`."""
        if ready != self.ready:
            self.ready, self._ready_since = ready, format_timestamp(time.time())

    async def register(self) -> None:
        """Create the Node and report its status, retrying until it succeeds."""
        retry_s = _RETRY_S[0]
        while True:
            try:
                await self._create()
                await self.report()
            except (ApiError, TransportError) as error:
                sys.stderr.write(f"node: {error}\n")
            else:
                return
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, _RETRY_S[1])

    async def run(self) -> None:
        """Report the status with every heartbeat until canceled."""
        while True:
            await asyncio.sleep(self._config.heartbeat_s)
            try:
                await self.report()
            except ApiError as error:
                if error.not_found:
                    await self.register()
            except TransportError:
                pass  # the next heartbeat tries again

    async def _create(self) -> None:
        labels = {
            "beta.kubernetes.io/arch": _architecture(),
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": _architecture(),
            "kubernetes.io/hostname": self._config.node,
            "kubernetes.io/os": "linux",
            **self._config.labels,
        }
        metadata = {"name": self._config.node, "labels": labels}
        node: Object = {"kind": "Node", "apiVersion": "v1", "metadata": metadata, "spec": {}}
        node["status"] = self._status()
        try:
            await self._api.request("POST", "/api/v1/nodes", node)
        except ApiError as error:
            if error.status != 409:
                raise

    async def report(self) -> None:
        """Report the status once. Raises the errors of `ApiClient.request`."""
        path = f"/api/v1/nodes/{quote(self._config.node)}/status"
        body: Object = {"status": self._status()}
        await self._api.request("PATCH", path, body, content_type=MERGE_PATCH)

    def _status(self) -> Object:
        resources = {
            "cpu": str(os.cpu_count() or 1),
            "memory": "8Gi",
            "ephemeral-storage": "64Gi",
            "pods": "110",
        }
        now = format_timestamp(time.time())
        states = _CONDITIONS if self.ready else (*_CONDITIONS[:-1], _NOT_READY)
        conditions = [
            {
                "type": kind,
                "status": value,
                "lastHeartbeatTime": now,
                "lastTransitionTime": self._ready_since if kind == "Ready" else self._since,
                "reason": reason,
                "message": message,
            }
            for kind, value, reason, message in states
        ]
        return {
            "capacity": resources,
            "allocatable": resources,
            "conditions": conditions,
            "addresses": [
                {"type": "InternalIP", "address": self._config.listen},
                {"type": "Hostname", "address": self._config.node},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": {
                **dict.fromkeys(("machineID", "systemUUID", "bootID"), ""),
                "kernelVersion": platform.release(),
                "osImage": f"minicluster on {platform.system()}",
                "containerRuntimeVersion": self._runtime,
                "kubeletVersion": VERSION,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": _architecture(),
            },
        }


def _architecture() -> str:
    machine = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
