"""CRI services of the embedded runtime: sandboxes, containers, port-forward URLs, images.

State is in the shim; this module presents it as the CRI does, with containerd's messages. It uses
nothing of Kubernetes but labels and annotations, which it returns unchanged.
"""

from __future__ import annotations

import ipaddress
import random
import signal
import time
import uuid
from collections.abc import AsyncIterator, Container
from typing import Final

import grpc

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.runtime import cri_messages, exec_commands, shim_protocol
from tui_forward.minicluster.runtime.apps import registry
from tui_forward.minicluster.runtime.config import RuntimeConfig
from tui_forward.minicluster.runtime.cri_messages import ContainerEvents, image_id
from tui_forward.minicluster.runtime.dialer import Dialer
from tui_forward.minicluster.runtime.shim_client import ShimClient
from tui_forward.minicluster.runtime.streaming_server import (
    PortForwardRequest,
    StreamingServer,
    TooManyTokensError,
)

RUNTIME_NAME: Final = "minicluster"
VERSION: Final = "1.0.0"

_READY_TIMEOUT_S = 2.0
_KILL_TIMEOUT_S = 10.0


class EmbeddedRuntime:
    """Implementation of the CRI's `RuntimeService`."""

    def __init__(
        self, config: RuntimeConfig, shim: ShimClient, dialer: Dialer, streaming: StreamingServer
    ) -> None:
        self._config = config
        self._shim = shim
        self._dialer = dialer
        self._streaming = streaming
        self._random = random.Random(config.seed)
        self._ips = PodIpPool(config.pod_cidr)
        self._events = ContainerEvents(shim)

    async def version(self, request: cri.VersionRequest) -> cri.VersionResponse:  # noqa: ARG002
        """Return name and version."""
        return cri.VersionResponse(
            version="0.1.0",
            runtime_name=RUNTIME_NAME,
            runtime_version=VERSION,
            runtime_api_version="v1",
        )

    async def status(self, request: cri.StatusRequest) -> cri.StatusResponse:  # noqa: ARG002
        """Report readiness: a runtime that is not ready cannot respond."""
        kinds = ("RuntimeReady", "NetworkReady")
        conditions = [cri.RuntimeCondition(type=kind, status=True) for kind in kinds]
        return cri.StatusResponse(status=cri.RuntimeStatus(conditions=conditions))

    async def run_pod_sandbox(self, request: cri.RunPodSandboxRequest) -> cri.RunPodSandboxResponse:
        """Create a sandbox with a network of its own."""
        sandbox_id = self._new_id()
        used_ips = {sandbox.ip for sandbox in self._shim.sandboxes.values() if sandbox.ready}
        await self._request(
            shim_protocol.RunSandbox(
                id=sandbox_id,
                config=request.config.SerializeToString(),
                ip=self._ips.assign(used_ips),
                # The form of containerd's namespace names, which appear in error texts.
                label=f"/var/run/netns/cni-{uuid.UUID(sandbox_id[:32])}",
                network=self._config.network,
            )
        )
        return cri.RunPodSandboxResponse(pod_sandbox_id=sandbox_id)

    async def stop_pod_sandbox(
        self, request: cri.StopPodSandboxRequest
    ) -> cri.StopPodSandboxResponse:
        """Kill the containers of a sandbox and release its network."""
        if request.pod_sandbox_id in self._shim.sandboxes:
            await self._request(shim_protocol.StopSandbox(id=request.pod_sandbox_id))
        return cri.StopPodSandboxResponse()

    async def remove_pod_sandbox(
        self, request: cri.RemovePodSandboxRequest
    ) -> cri.RemovePodSandboxResponse:
        """Remove a sandbox with its containers."""
        if request.pod_sandbox_id in self._shim.sandboxes:
            await self._request(shim_protocol.RemoveSandbox(id=request.pod_sandbox_id))
        return cri.RemovePodSandboxResponse()

    async def pod_sandbox_status(
        self, request: cri.PodSandboxStatusRequest
    ) -> cri.PodSandboxStatusResponse:
        """Return the status of a sandbox and its containers."""
        sandbox = self._sandbox(request.pod_sandbox_id)
        containers = self._shim.containers_of(sandbox.id)
        return cri.PodSandboxStatusResponse(
            status=cri_messages.sandbox_status(sandbox),
            containers_statuses=map(cri_messages.container_status, containers),
            timestamp=time.time_ns(),
        )

    async def list_pod_sandbox(
        self, request: cri.ListPodSandboxRequest
    ) -> cri.ListPodSandboxResponse:
        """Return the sandboxes that the filter matches."""
        entries = [
            cri_messages.select_sandbox(sandbox, request.filter)
            for sandbox in self._shim.sandboxes.values()
        ]
        return cri.ListPodSandboxResponse(items=[entry for entry in entries if entry is not None])

    async def create_container(
        self, request: cri.CreateContainerRequest
    ) -> cri.CreateContainerResponse:
        """Create a container; its image must be an application's."""
        sandbox = self._sandbox(request.pod_sandbox_id)
        _require_app(request.config.image.image)
        container_id = self._new_id()
        folder = cri_messages.sandbox_config(sandbox).log_directory
        path = request.config.log_path
        await self._request(
            shim_protocol.CreateContainer(
                id=container_id,
                sandbox_id=sandbox.id,
                config=request.config.SerializeToString(),
                log_path=f"{folder}/{path}" if folder and path else "",
            )
        )
        return cri.CreateContainerResponse(container_id=container_id)

    async def start_container(
        self, request: cri.StartContainerRequest
    ) -> cri.StartContainerResponse:
        """Start a container and wait briefly until its application is ready.

        The images have no programs, so that a command with a path cannot be started.
        """
        container = self._container(request.container_id)
        config = cri_messages.container_config(container)
        sandbox = cri_messages.sandbox_config(self._sandbox(container.sandbox_id))
        env = {entry.key: entry.value.decode() for entry in config.envs}
        env.setdefault("HOSTNAME", sandbox.hostname or sandbox.metadata.name)
        env.setdefault("POD_NAMESPACE", sandbox.metadata.namespace)
        program = config.command[0] if config.command else ""
        if program.startswith("/"):
            message = _no_such_program(program)
            await self._request(shim_protocol.FailContainer(id=container.id, message=message))
            raise CriError(message)
        app, args = _require_app(config.image.image), [*config.command, *config.args]
        start = shim_protocol.StartContainer(id=container.id, app=app, args=args, env=env)
        await self._request(start)

        def is_ready_or_exited() -> bool:
            current = self._shim.containers.get(container.id)
            return current is None or current.ready or bool(current.finished_at)

        # Real runtimes return as soon as the process exists. Waiting here keeps a pod without a
        # probe from being Ready before it listens.
        await self._shim.wait_for(is_ready_or_exited, _READY_TIMEOUT_S)
        return cri.StartContainerResponse()

    async def stop_container(self, request: cri.StopContainerRequest) -> cri.StopContainerResponse:
        """Send SIGTERM, then SIGKILL after the timeout."""
        container = self._shim.containers.get(request.container_id)
        if container is None or not container.running:
            return cri.StopContainerResponse()

        def is_stopped() -> bool:
            current = self._shim.containers.get(container.id)
            return current is None or not current.running

        if request.timeout > 0:
            await self._signal(container, signal.SIGTERM)
            if await self._shim.wait_for(is_stopped, float(request.timeout)):
                return cri.StopContainerResponse()
        await self._signal(container, signal.SIGKILL)
        if not await self._shim.wait_for(is_stopped, _KILL_TIMEOUT_S):
            message = f'failed to stop container "{container.id}": still running after SIGKILL'
            raise CriError(message, status=grpc.StatusCode.DEADLINE_EXCEEDED)
        return cri.StopContainerResponse()

    async def remove_container(
        self, request: cri.RemoveContainerRequest
    ) -> cri.RemoveContainerResponse:
        """Kill and remove a container."""
        if request.container_id in self._shim.containers:
            await self.stop_container(cri.StopContainerRequest(container_id=request.container_id))
            await self._request(shim_protocol.RemoveContainer(id=request.container_id))
        return cri.RemoveContainerResponse()

    async def list_containers(
        self, request: cri.ListContainersRequest
    ) -> cri.ListContainersResponse:
        """Return the containers that the filter matches."""
        entries = [
            cri_messages.select_container(container, request.filter)
            for container in self._shim.containers.values()
        ]
        return cri.ListContainersResponse(
            containers=[entry for entry in entries if entry is not None]
        )

    async def container_status(
        self, request: cri.ContainerStatusRequest
    ) -> cri.ContainerStatusResponse:
        """Return the status of a container."""
        container = self._container(request.container_id)
        return cri.ContainerStatusResponse(status=cri_messages.container_status(container))

    async def reopen_container_log(
        self, request: cri.ReopenContainerLogRequest
    ) -> cri.ReopenContainerLogResponse:
        """Do nothing: the shim rotates logs itself."""
        self._container(request.container_id)
        return cri.ReopenContainerLogResponse()

    async def exec_sync(self, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse:
        """Run one of the built-in commands; see `exec_commands`."""
        container = self._container(request.container_id)
        if not container.running:
            raise CriError(f"container {container.id} is not running")
        return await exec_commands.run(
            list(request.cmd), container, self._dialer, float(request.timeout or 60)
        )

    def get_container_events(
        self,
        request: cri.GetEventsRequest,  # noqa: ARG002
    ) -> AsyncIterator[cri.ContainerEventResponse]:
        """Yield container events from now on."""
        return self._events.subscribe()

    async def port_forward(self, request: cri.PortForwardRequest) -> cri.PortForwardResponse:
        """Return a streaming URL for one port-forward."""
        sandbox = self._shim.sandboxes.get(request.pod_sandbox_id)
        if sandbox is None:
            raise _not_found(f'failed to find sandbox "{request.pod_sandbox_id}": not found')
        if not sandbox.ready:
            raise CriError("sandbox container is not running")
        try:
            pending = PortForwardRequest(sandbox.id, tuple(request.port))
            token = self._streaming.tokens.insert(pending)
        except TooManyTokensError as error:
            raise CriError(error.message, status=grpc.StatusCode.RESOURCE_EXHAUSTED) from error
        return cri.PortForwardResponse(url=self._streaming.url(token))

    async def _request(self, request: shim_protocol.Request) -> None:
        try:
            await self._shim.request(request)
        except shim_protocol.ShimError as error:
            if error.message.endswith("not found"):
                raise _not_found(error.message) from error
            raise CriError(error.message) from error

    async def _signal(self, container: shim_protocol.Container, number: signal.Signals) -> None:
        await self._request(shim_protocol.SignalContainer(id=container.id, signal=number))

    def _sandbox(self, sandbox_id: str) -> shim_protocol.Sandbox:
        sandbox = self._shim.sandboxes.get(sandbox_id)
        if sandbox is None:
            raise _not_found(
                f'an error occurred when try to find sandbox "{sandbox_id}": not found'
            )
        return sandbox

    def _container(self, container_id: str) -> shim_protocol.Container:
        container = self._shim.containers.get(container_id)
        if container is None:
            raise _not_found(
                f'an error occurred when try to find container "{container_id}": not found'
            )
        return container

    def _new_id(self) -> str:
        while True:
            new_id = f"{self._random.getrandbits(256):064x}"
            if new_id not in self._shim.sandboxes and new_id not in self._shim.containers:
                return new_id


def _not_found(message: str) -> CriError:
    return CriError(message, status=grpc.StatusCode.NOT_FOUND)


def _no_such_program(path: str) -> str:
    return (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
        f'runc create failed: unable to start container process: exec: "{path}": stat {path}: no '
        "such file or directory: unknown"
    )


def _require_app(image: str) -> str:
    app = registry.find_app(image)
    if app is None:
        raise _not_found(f'failed to resolve image "{image}": not found')
    return app


class PodIpPool:
    """The addresses of a network without its first two and its last."""

    def __init__(self, cidr: str) -> None:
        self._network = ipaddress.ip_network(cidr, strict=False)
        self._last = 1

    def assign(self, used: Container[str]) -> str:
        """Return the next address that is not in use. Raises `CriError`: all are."""
        size = max(self._network.num_addresses - 3, 1)
        for step in range(size):
            number = (self._last - 1 + step) % size + 2
            address = str(self._network[number])
            if address not in used:
                self._last = number
                return address
        raise CriError("no IP addresses available in range set")


class EmbeddedImages:
    """Implementation of the CRI's `ImageService`, with containerd's messages."""

    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
        """Return one image per application."""
        image = request.filter.image.image
        names = [registry.find_app(image)] if image else list(registry.APPS)
        return cri.ListImagesResponse(images=[_image(name) for name in names if name])

    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        """Return the image if there is an application of that name."""
        image = request.image.image
        if registry.find_app(image) is None:
            return cri.ImageStatusResponse()
        return cri.ImageStatusResponse(image=_image(image))

    async def pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse:
        """Return the reference of an image; fail for images that are not present."""
        image = request.image.image
        if registry.find_app(image) is None:
            name = image if "/" in image else f"docker.io/library/{image}"
            raise _not_found(
                f'failed to pull and unpack image "{name}": failed to resolve reference '
                f'"{name}": {name}: not found'
            )
        return cri.PullImageResponse(image_ref=image_id(image))


def _image(name: str) -> cri.Image:
    return cri.Image(id=image_id(name), repo_tags=[registry.full_reference(name)], size=1 << 20)
