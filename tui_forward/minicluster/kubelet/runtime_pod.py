"""One pod in the runtime: the CRI calls for its sandboxes and containers, and what they require."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.client import RuntimeClient
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet import cri_config, objects
from tui_forward.minicluster.kubelet.api_client import ApiClient
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.objects import Object
from tui_forward.minicluster.kubelet.prober import Prober


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Clients and configuration of a kubelet."""

    config: KubeletConfig
    api: ApiClient
    runtime: RuntimeClient
    prober: Prober
    id_scheme: str  # what container ids start with ("containerd")

    @property
    def root(self) -> Path:
        """The kubelet's folder."""
        return Path(self.config.state_dir)


@dataclass(slots=True)
class RuntimeStatus:
    """Sandboxes, and containers by name, of a pod, newest first."""

    sandboxes: list[cri.PodSandbox]
    containers: dict[str, list[cri.ContainerStatus]] = field(default_factory=dict)
    ip: str = ""  # address of the ready sandbox, empty without one

    @property
    def ready_sandbox(self) -> cri.PodSandbox | None:
        """The newest sandbox if it is ready."""
        newest = self.sandboxes[0] if self.sandboxes else None
        return newest if newest is not None and newest.state == cri.SANDBOX_READY else None

    @property
    def running_ids(self) -> list[str]:
        """Ids of containers that run."""
        return [
            container.id
            for incarnations in self.containers.values()
            for container in incarnations
            if container.state == cri.CONTAINER_RUNNING
        ]


class RunContainerError(CriError):
    """A container was created and cannot be started."""


class RuntimePod:
    """Reads and changes one pod in the runtime. Every method may raise `CriError`."""

    def __init__(self, dependencies: Dependencies, uid: str) -> None:
        self.runtime = dependencies.runtime
        self._root = dependencies.root
        self._host_ip = dependencies.config.listen
        self._selector = {objects.POD_UID: uid}
        # The address of the newest sandbox, which never changes.
        self._ips: dict[str, str] = {}

    async def list_sandboxes(self) -> list[cri.PodSandbox]:
        """Return the pod's sandboxes, newest first."""
        sandboxes = await self.runtime.list_pod_sandboxes(self._selector)
        sandboxes.sort(key=lambda sandbox: sandbox.created_at, reverse=True)
        return sandboxes

    async def read_status(self) -> RuntimeStatus:
        """Return the state of all sandboxes and containers."""
        status = RuntimeStatus(await self.list_sandboxes())
        listed = await self.runtime.list_containers(self._selector)
        for container in await asyncio.gather(
            *(self.runtime.container_status(container.id) for container in listed)
        ):
            status.containers.setdefault(container.metadata.name, []).append(container)
        for incarnations in status.containers.values():
            incarnations.sort(key=lambda container: container.created_at, reverse=True)
        sandbox = status.ready_sandbox
        if sandbox is not None:
            if sandbox.id not in self._ips:
                state = await self.runtime.pod_sandbox_status(sandbox.id)
                self._ips = {sandbox.id: state.network.ip}
            status.ip = self._ips[sandbox.id]
        return status

    async def create_sandbox(self, pod: Object, status: RuntimeStatus) -> None:
        """Create a sandbox, stop older ones, and put the new one into `status`."""
        old = list(status.sandboxes)
        attempt = old[0].metadata.attempt + 1 if old else 0
        config = cri_config.sandbox_config(pod, self._root, attempt)
        sandbox_id = await self.runtime.run_pod_sandbox(config)
        state = await self.runtime.pod_sandbox_status(sandbox_id)
        self._ips = {sandbox_id: state.network.ip}
        status.ip = state.network.ip
        new = cri.PodSandbox(id=sandbox_id, metadata=state.metadata, state=state.state)
        new.created_at = state.created_at
        status.sandboxes.insert(0, new)
        for sandbox in old:
            # Stopped, not removed: last state and logs of its containers are needed until the
            # pod has newer ones.
            with contextlib.suppress(CriError):
                await self.runtime.stop_pod_sandbox(sandbox.id)

    async def start_container(
        self, pod: Object, container: Object, sandbox: cri.PodSandbox, attempt: int, pod_ip: str
    ) -> None:
        """Create and start an incarnation of a container. Raises `RunContainerError`, too."""
        config = cri_config.container_config(
            pod, container, self._root, attempt, pod_ip=pod_ip, host_ip=self._host_ip
        )
        folder = cri_config.log_directory(self._root, pod) / container["name"]
        folder.mkdir(parents=True, exist_ok=True)
        sandbox_config = cri_config.sandbox_config(pod, self._root, sandbox.metadata.attempt)
        container_id = await self.runtime.create_container(sandbox.id, config, sandbox_config)
        try:
            await self.runtime.start_container(container_id)
        except CriError as error:
            raise RunContainerError(error.message, status=error.status) from error

    async def remove_old_containers(self, status: RuntimeStatus) -> None:
        """Remove all but the two newest incarnations of each container, with their logs."""
        for incarnations in status.containers.values():
            for old in incarnations[2:]:
                await self.runtime.remove_container(old.id)
                _remove_log(old.log_path)

    async def stop_containers(
        self, status: RuntimeStatus, grace_s: Callable[[], int], changed: asyncio.Event
    ) -> None:
        """Stop all running containers at once.

        `changed`, cleared here, is set when a deletion may have shortened the grace period.
        """
        running = status.running_ids
        if not running:
            return
        grace = grace_s()
        tasks = {self._stop_task(container_id, grace) for container_id in running}
        try:
            while tasks:
                changed.clear()
                waiter = asyncio.ensure_future(changed.wait())
                done, _ = await asyncio.wait({*tasks, waiter}, return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
                for task in done & tasks:
                    tasks.discard(task)
                    task.result()
                if grace_s() < grace:
                    grace = grace_s()
                    tasks |= {self._stop_task(container_id, grace) for container_id in running}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _stop_task(self, container_id: str, grace_s: int) -> asyncio.Task[None]:
        return asyncio.create_task(self.runtime.stop_container(container_id, grace_s))


def _remove_log(path: str) -> None:
    if path:
        Path(path).unlink(missing_ok=True)
