"""The CRI of the embedded runtime: sandboxes, containers, images, port-forward URLs.

State lives in the shim; this is a view of it in the words of the CRI, with containerd's
messages. Nothing here knows of Kubernetes beyond labels and annotations it hands back.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import random
import signal
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Final

import grpc

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.runtime import apps, exec_commands, shim_protocol
from tui_forward.minicluster.runtime.config import RuntimeConfig
from tui_forward.minicluster.runtime.dialer import Dialer
from tui_forward.minicluster.runtime.shim_client import ShimClient
from tui_forward.minicluster.runtime.streaming_server import StreamingServer
from tui_forward.minicluster.runtime.token_cache import PortForwardRequest, TooManyTokensError

RUNTIME_NAME: Final = "minicluster"
VERSION: Final = "1.0.0"

_UP_S = 2.0
_KILL_S = 10.0
_EVENTS_QUEUE = 1000


def image_id(image: str) -> str:
    """The digest of an application's image: stable, and different for each."""
    return "sha256:" + hashlib.sha256(f"tui-forward/{apps.app_of(image)}".encode()).hexdigest()


class EmbeddedRuntime:
    """Implements `cri.server.CriService`.

    Args:
        config: See `RuntimeConfig`.
        client: The shim.
        dialer: Reaches applications, for probes.
        streaming: Gives out URLs.
    """

    def __init__(
        self, config: RuntimeConfig, client: ShimClient, dialer: Dialer, streaming: StreamingServer
    ) -> None:
        self._config = config
        self._client = client
        self._dialer = dialer
        self._streaming = streaming
        self._random = random.Random(config.seed)
        self._network = ipaddress.ip_network(config.pod_cidr, strict=False)
        self._last_ip = 1
        self._subscribers: set[asyncio.Queue[cri.ContainerEventResponse]] = set()
        client.on_container = self._container_changed

    # -- the runtime --

    async def version(self, request: cri.VersionRequest) -> cri.VersionResponse:  # noqa: ARG002
        """Name and version."""
        return cri.VersionResponse(
            version="0.1.0",
            runtime_name=RUNTIME_NAME,
            runtime_version=VERSION,
            runtime_api_version="v1",
        )

    async def status(self, request: cri.StatusRequest) -> cri.StatusResponse:  # noqa: ARG002
        """Always ready: a runtime that is not cannot answer."""
        return cri.StatusResponse(
            status=cri.RuntimeStatus(
                conditions=[
                    cri.RuntimeCondition(type="RuntimeReady", status=True),
                    cri.RuntimeCondition(type="NetworkReady", status=True),
                ]
            )
        )

    # -- sandboxes --

    async def run_pod_sandbox(self, request: cri.RunPodSandboxRequest) -> cri.RunPodSandboxResponse:
        """Make a sandbox with a network of its own."""
        sandbox_id = self._new_id()
        await self._ask(
            shim_protocol.RunSandbox(
                id=sandbox_id,
                config=request.config.SerializeToString(),
                ip=self._new_ip(),
                # containerd's names, so that error texts look like the ones people know.
                label=f"/var/run/netns/cni-{uuid.UUID(sandbox_id[:32])}",
                network=self._config.network,
            )
        )
        return cri.RunPodSandboxResponse(pod_sandbox_id=sandbox_id)

    async def stop_pod_sandbox(
        self, request: cri.StopPodSandboxRequest
    ) -> cri.StopPodSandboxResponse:
        """Kill what runs in it and take its network away."""
        if request.pod_sandbox_id in self._client.sandboxes:
            await self._ask(shim_protocol.StopSandbox(id=request.pod_sandbox_id))
        return cri.StopPodSandboxResponse()

    async def remove_pod_sandbox(
        self, request: cri.RemovePodSandboxRequest
    ) -> cri.RemovePodSandboxResponse:
        """Forget it."""
        if request.pod_sandbox_id in self._client.sandboxes:
            await self._ask(shim_protocol.RemoveSandbox(id=request.pod_sandbox_id))
        return cri.RemovePodSandboxResponse()

    async def pod_sandbox_status(
        self, request: cri.PodSandboxStatusRequest
    ) -> cri.PodSandboxStatusResponse:
        """State of a sandbox and its containers."""
        sandbox = self._sandbox(request.pod_sandbox_id)
        return cri.PodSandboxStatusResponse(
            status=_sandbox_status(sandbox),
            containers_statuses=self._statuses(sandbox.id),
            timestamp=time.time_ns(),
        )

    async def list_pod_sandbox(
        self, request: cri.ListPodSandboxRequest
    ) -> cri.ListPodSandboxResponse:
        """Every sandbox that the filter lets through."""
        items = []
        wanted = request.filter
        for sandbox in self._client.sandboxes.values():
            status = _sandbox_status(sandbox)
            if wanted.id and not sandbox.id.startswith(wanted.id):
                continue
            if wanted.HasField("state") and wanted.state.state != status.state:
                continue
            if not _selects(wanted.label_selector, status.labels):
                continue
            items.append(
                cri.PodSandbox(
                    id=sandbox.id,
                    metadata=status.metadata,
                    state=status.state,
                    created_at=status.created_at,
                    labels=status.labels,
                    annotations=status.annotations,
                )
            )
        return cri.ListPodSandboxResponse(items=items)

    # -- containers --

    async def create_container(
        self, request: cri.CreateContainerRequest
    ) -> cri.CreateContainerResponse:
        """Make a container; its image must be one of `apps`."""
        sandbox = self._sandbox(request.pod_sandbox_id)
        self._app(request.config.image.image)
        container_id = self._new_id()
        folder = _sandbox_config(sandbox).log_directory
        log = f"{folder}/{request.config.log_path}" if folder and request.config.log_path else ""
        await self._ask(
            shim_protocol.CreateContainer(
                id=container_id,
                sandbox_id=sandbox.id,
                config=request.config.SerializeToString(),
                log=log,
            )
        )
        return cri.CreateContainerResponse(container_id=container_id)

    async def start_container(
        self, request: cri.StartContainerRequest
    ) -> cri.StartContainerResponse:
        """Start it, and give it a moment to open its ports."""
        container = self._container(request.container_id)
        config = _container_config(container)
        sandbox = _sandbox_config(self._sandbox(container.sandbox_id))
        env = {entry.key: entry.value.decode() for entry in config.envs}
        env.setdefault("HOSTNAME", sandbox.hostname or sandbox.metadata.name)
        env.setdefault("POD_NAMESPACE", sandbox.metadata.namespace)
        await self._ask(
            shim_protocol.StartContainer(
                id=container.id,
                app=self._app(config.image.image),
                args=[*config.command, *config.args],
                env=env,
            )
        )

        def settled() -> bool:
            now = self._client.containers.get(container.id)
            return now is None or now.up or bool(now.finished_at)

        # Real runtimes return as soon as the process exists. Ours can know better, and a pod
        # without a probe is then not called ready before it listens.
        await self._client.wait_for(settled, _UP_S)
        return cri.StartContainerResponse()

    async def stop_container(self, request: cri.StopContainerRequest) -> cri.StopContainerResponse:
        """SIGTERM, then SIGKILL after the time-out."""
        container = self._client.containers.get(request.container_id)
        if container is None or not container.running:
            return cri.StopContainerResponse()

        def stopped() -> bool:
            now = self._client.containers.get(container.id)
            return now is None or not now.running

        if request.timeout > 0:
            await self._ask(shim_protocol.SignalContainer(id=container.id, signal=signal.SIGTERM))
            if await self._client.wait_for(stopped, float(request.timeout)):
                return cri.StopContainerResponse()
        await self._ask(shim_protocol.SignalContainer(id=container.id, signal=signal.SIGKILL))
        if not await self._client.wait_for(stopped, _KILL_S):
            raise CriError(
                f'failed to stop container "{container.id}": still running after SIGKILL',
                code=grpc.StatusCode.DEADLINE_EXCEEDED,
            )
        return cri.StopContainerResponse()

    async def remove_container(
        self, request: cri.RemoveContainerRequest
    ) -> cri.RemoveContainerResponse:
        """Forget it, after ending it."""
        if request.container_id in self._client.containers:
            await self.stop_container(cri.StopContainerRequest(container_id=request.container_id))
            await self._ask(shim_protocol.RemoveContainer(id=request.container_id))
        return cri.RemoveContainerResponse()

    async def list_containers(
        self, request: cri.ListContainersRequest
    ) -> cri.ListContainersResponse:
        """Every container that the filter lets through."""
        wanted = request.filter
        found = []
        for container in self._client.containers.values():
            status = container_status(container)
            if wanted.id and not container.id.startswith(wanted.id):
                continue
            if wanted.HasField("state") and wanted.state.state != status.state:
                continue
            if wanted.pod_sandbox_id and wanted.pod_sandbox_id != container.sandbox_id:
                continue
            if not _selects(wanted.label_selector, status.labels):
                continue
            found.append(
                cri.Container(
                    id=container.id,
                    pod_sandbox_id=container.sandbox_id,
                    metadata=status.metadata,
                    image=status.image,
                    image_ref=status.image_ref,
                    image_id=status.image_id,
                    state=status.state,
                    created_at=status.created_at,
                    labels=status.labels,
                    annotations=status.annotations,
                )
            )
        return cri.ListContainersResponse(containers=found)

    async def container_status(
        self, request: cri.ContainerStatusRequest
    ) -> cri.ContainerStatusResponse:
        """State of a container."""
        return cri.ContainerStatusResponse(
            status=container_status(self._container(request.container_id))
        )

    async def reopen_container_log(
        self, request: cri.ReopenContainerLogRequest
    ) -> cri.ReopenContainerLogResponse:
        """Nothing to do: the shim rotates logs itself."""
        self._container(request.container_id)
        return cri.ReopenContainerLogResponse()

    async def exec_sync(self, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse:
        """Run one of the few commands there are in these images; see `commands`."""
        container = self._container(request.container_id)
        if not container.running:
            raise CriError(f"container {container.id} is not running")
        return await exec_commands.run(
            list(request.cmd), container, self._dialer, float(request.timeout or 60)
        )

    def _container_changed(
        self, old: shim_protocol.Container | None, new: shim_protocol.Container | None
    ) -> None:
        if new is None:
            kind = cri.CONTAINER_DELETED_EVENT
        elif old is None:
            kind = cri.CONTAINER_CREATED_EVENT
        elif new.finished_at != old.finished_at:
            kind = cri.CONTAINER_STOPPED_EVENT
        elif new.started_at != old.started_at:
            kind = cri.CONTAINER_STARTED_EVENT
        else:
            return
        container = new or old
        if container is None or not self._subscribers:
            return
        sandbox = self._client.sandboxes.get(container.sandbox_id)
        event = cri.ContainerEventResponse(
            container_id=container.id,
            container_event_type=kind,
            created_at=time.time_ns(),
            pod_sandbox_status=_sandbox_status(sandbox) if sandbox else None,
            containers_statuses=self._statuses(container.sandbox_id),
        )
        for queue in self._subscribers:
            if queue.full():
                queue.get_nowait()  # a subscriber that is so late must look for itself anyway
            queue.put_nowait(event)

    async def get_container_events(
        self,
        request: cri.GetEventsRequest,  # noqa: ARG002
    ) -> AsyncIterator[cri.ContainerEventResponse]:
        """What happens from now on."""
        queue: asyncio.Queue[cri.ContainerEventResponse] = asyncio.Queue(_EVENTS_QUEUE)
        self._subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._subscribers.discard(queue)

    # -- streaming --

    async def port_forward(self, request: cri.PortForwardRequest) -> cri.PortForwardResponse:
        """A URL for one port-forward."""
        sandbox = self._client.sandboxes.get(request.pod_sandbox_id)
        if sandbox is None:
            raise CriError(
                f'failed to find sandbox "{request.pod_sandbox_id}": not found',
                code=grpc.StatusCode.NOT_FOUND,
            )
        if not sandbox.ready:
            raise CriError("sandbox container is not running")
        try:
            token = self._streaming.tokens.insert(
                PortForwardRequest(sandbox.id, tuple(request.port))
            )
        except TooManyTokensError as error:
            raise CriError(error.message, code=grpc.StatusCode.RESOURCE_EXHAUSTED) from error
        return cri.PortForwardResponse(url=self._streaming.url(token))

    # -- images --

    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
        """One image per application."""
        wanted = request.filter.image.image
        names = [apps.app_of(wanted)] if wanted else list(apps.APPS)
        return cri.ListImagesResponse(images=[_image(name) for name in names if name])

    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        """The image, if there is an application of that name."""
        image = request.image.image
        if apps.app_of(image) is None:
            return cri.ImageStatusResponse()
        return cri.ImageStatusResponse(image=_image(image))

    async def pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse:
        """Only what is there already can be pulled."""
        image = request.image.image
        if apps.app_of(image) is None:
            name = image if "/" in image else f"docker.io/library/{image}"
            raise CriError(
                f'failed to pull and unpack image "{name}": failed to resolve reference '
                f'"{name}": {name}: not found',
                code=grpc.StatusCode.NOT_FOUND,
            )
        return cri.PullImageResponse(image_ref=image_id(image))

    # -- helpers --

    async def _ask(self, request: shim_protocol.Request) -> None:
        try:
            await self._client.ask(request)
        except shim_protocol.ShimError as error:
            code = (
                grpc.StatusCode.NOT_FOUND
                if error.message.endswith("not found")
                else grpc.StatusCode.UNKNOWN
            )
            raise CriError(error.message, code=code) from error

    def _sandbox(self, sandbox_id: str) -> shim_protocol.Sandbox:
        sandbox = self._client.sandboxes.get(sandbox_id)
        if sandbox is None:
            raise CriError(
                f'an error occurred when try to find sandbox "{sandbox_id}": not found',
                code=grpc.StatusCode.NOT_FOUND,
            )
        return sandbox

    def _container(self, container_id: str) -> shim_protocol.Container:
        container = self._client.containers.get(container_id)
        if container is None:
            raise CriError(
                f'an error occurred when try to find container "{container_id}": not found',
                code=grpc.StatusCode.NOT_FOUND,
            )
        return container

    def _app(self, image: str) -> str:
        app = apps.app_of(image)
        if app is None:
            raise CriError(
                f'failed to resolve image "{image}": not found', code=grpc.StatusCode.NOT_FOUND
            )
        return app

    def _statuses(self, sandbox_id: str) -> list[cri.ContainerStatus]:
        return [
            container_status(container)
            for container in self._client.containers.values()
            if container.sandbox_id == sandbox_id
        ]

    def _new_id(self) -> str:
        while True:
            new = f"{self._random.getrandbits(256):064x}"
            if new not in self._client.sandboxes and new not in self._client.containers:
                return new

    def _new_ip(self) -> str:
        used = {sandbox.ip for sandbox in self._client.sandboxes.values() if sandbox.ready}
        size = max(self._network.num_addresses - 3, 1)
        for step in range(size):
            number = (self._last_ip - 1 + step) % size + 2
            address = str(self._network[number])
            if address not in used:
                self._last_ip = number
                return address
        raise CriError("no IP addresses available in range set")


def _image(name: str) -> cri.Image:
    reference = apps.reference(name)
    return cri.Image(id=image_id(name), repo_tags=[reference], size=1 << 20)


def _selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _sandbox_config(sandbox: shim_protocol.Sandbox) -> cri.PodSandboxConfig:
    return cri.PodSandboxConfig.FromString(sandbox.config)


def _container_config(container: shim_protocol.Container) -> cri.ContainerConfig:
    return cri.ContainerConfig.FromString(container.config)


def _sandbox_status(sandbox: shim_protocol.Sandbox) -> cri.PodSandboxStatus:
    config = _sandbox_config(sandbox)
    return cri.PodSandboxStatus(
        id=sandbox.id,
        metadata=config.metadata,
        state=cri.SANDBOX_READY if sandbox.ready else cri.SANDBOX_NOTREADY,
        created_at=sandbox.created_at,
        network=cri.PodSandboxNetworkStatus(ip=sandbox.ip) if sandbox.ready else None,
        labels=config.labels,
        annotations=config.annotations,
    )


def container_status(container: shim_protocol.Container) -> cri.ContainerStatus:
    """A container in the words of the CRI."""
    config = _container_config(container)
    if container.finished_at:
        state = cri.CONTAINER_EXITED
        reason = "Completed" if container.exit_code == 0 else "Error"
    elif container.started_at:
        state, reason = cri.CONTAINER_RUNNING, ""
    else:
        state, reason = cri.CONTAINER_CREATED, ""
    return cri.ContainerStatus(
        id=container.id,
        metadata=config.metadata,
        state=state,
        created_at=container.created_at,
        started_at=container.started_at,
        finished_at=container.finished_at,
        exit_code=container.exit_code,
        image=cri.ImageSpec(image=apps.reference(config.image.image)),
        image_ref=image_id(config.image.image),
        image_id=image_id(config.image.image),
        reason=reason,
        labels=config.labels,
        annotations=config.annotations,
        log_path=container.log,
    )
