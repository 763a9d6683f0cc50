"""Typed client of `RuntimeService` and `ImageService`, for the kubelet.

Works with the embedded runtime and with a real one. Every call has a deadline, is safe to
cancel, and raises only `CriError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.errors import CriError

RUNTIME: Final = "runtime.v1.RuntimeService"
IMAGE: Final = "runtime.v1.ImageService"

ResponseT = TypeVar("ResponseT", bound=Message)


class RuntimeClient:
    """Client of the runtime at `unix:///path` or a path, over one gRPC channel."""

    def __init__(self, endpoint: str, *, timeout_s: float = 120.0) -> None:
        target = endpoint if endpoint.startswith("unix:") else f"unix://{endpoint}"
        self._socket = Path(target.removeprefix("unix:").replace("//", "", 1))
        self._timeout_s = timeout_s
        self._channel = grpc.aio.insecure_channel(
            target,
            options=(
                # The default is the percent-encoded path, which Go's server rejects.
                ("grpc.default_authority", "localhost"),
                # A restarted runtime is back within milliseconds; the default backoff is
                # seconds.
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 200),
                ("grpc.max_receive_message_length", 16 * 1024 * 1024),
            ),
        )

    async def close(self) -> None:
        """Close the channel and end every call on it."""
        await self._channel.close(None)

    async def _call(
        self, request: Message, response: type[ResponseT], timeout_s: float | None = None
    ) -> ResponseT:
        # The messages of a method are named after it.
        method = type(request).__name__.removesuffix("Request")
        service = IMAGE if "Image" in method else RUNTIME
        call = self._channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            result: ResponseT = await call(request, timeout=timeout_s or self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from error
        return result

    def _error(self, error: grpc.aio.AioRpcError) -> CriError:
        """Return the error of a call; that of a socket that nothing serves in Go's words."""
        text = error.details() or error.code().name
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            cause = "connection refused" if self._socket.exists() else "no such file or directory"
            dial = f"dial unix {self._socket}: connect: {cause}"
            text = f'connection error: desc = "transport: Error while dialing: {dial}"'
        return CriError(text, status=error.code())

    async def version(self) -> cri.VersionResponse:
        """Return the name and version of the runtime."""
        return await self._call(cri.VersionRequest(version="v1"), cri.VersionResponse, 5.0)

    async def run_pod_sandbox(self, config: cri.PodSandboxConfig) -> str:
        """Create and start a sandbox and return its id."""
        request = cri.RunPodSandboxRequest(config=config)
        return (await self._call(request, cri.RunPodSandboxResponse)).pod_sandbox_id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        """Kill the processes of a sandbox and release its network; idempotent."""
        request = cri.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._call(request, cri.StopPodSandboxResponse)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        """Remove a sandbox and its containers; idempotent."""
        request = cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._call(request, cri.RemovePodSandboxResponse)

    async def pod_sandbox_status(self, sandbox_id: str) -> cri.PodSandboxStatus:
        """Return state and addresses of a sandbox."""
        request = cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        return (await self._call(request, cri.PodSandboxStatusResponse)).status

    async def list_pod_sandboxes(
        self, labels: Mapping[str, str] | None = None
    ) -> list[cri.PodSandbox]:
        """Return sandboxes with these labels, stopped ones included."""
        request = cri.ListPodSandboxRequest(
            filter=cri.PodSandboxFilter(label_selector=dict(labels or {}))
        )
        return list((await self._call(request, cri.ListPodSandboxResponse)).items)

    async def create_container(
        self, sandbox_id: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig
    ) -> str:
        """Create a container in a sandbox and return its id."""
        request = cri.CreateContainerRequest(
            pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config
        )
        return (await self._call(request, cri.CreateContainerResponse)).container_id

    async def start_container(self, container_id: str) -> None:
        """Start a created container."""
        request = cri.StartContainerRequest(container_id=container_id)
        await self._call(request, cri.StartContainerResponse)

    async def stop_container(self, container_id: str, grace_s: int) -> None:
        """Send SIGTERM, then SIGKILL after `grace_s` seconds; return when it has exited."""
        request = cri.StopContainerRequest(container_id=container_id, timeout=grace_s)
        await self._call(request, cri.StopContainerResponse, grace_s + 30.0)

    async def remove_container(self, container_id: str) -> None:
        """Remove a container, killing it first if it runs."""
        request = cri.RemoveContainerRequest(container_id=container_id)
        await self._call(request, cri.RemoveContainerResponse)

    async def list_containers(self, labels: Mapping[str, str] | None = None) -> list[cri.Container]:
        """Return containers with these labels, exited ones included."""
        request = cri.ListContainersRequest(
            filter=cri.ContainerFilter(label_selector=dict(labels or {}))
        )
        return list((await self._call(request, cri.ListContainersResponse)).containers)

    async def container_status(self, container_id: str) -> cri.ContainerStatus:
        """Return the state of a container."""
        request = cri.ContainerStatusRequest(container_id=container_id)
        return (await self._call(request, cri.ContainerStatusResponse)).status

    async def exec_sync(
        self, container_id: str, command: list[str], timeout_s: int
    ) -> cri.ExecSyncResponse:
        """Run a command in a container and wait until it exits."""
        request = cri.ExecSyncRequest(container_id=container_id, cmd=command, timeout=timeout_s)
        return await self._call(request, cri.ExecSyncResponse, timeout_s + 10.0)

    async def port_forward(self, sandbox_id: str, ports: list[int]) -> str:
        """Return a streaming server URL for one port-forward request."""
        request = cri.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports)
        return (await self._call(request, cri.PortForwardResponse, 30.0)).url

    async def container_events(self) -> AsyncIterator[cri.ContainerEventResponse]:
        """Yield container events from now on, without end.

        Raises `CriError`: the stream ended; `unimplemented` if the runtime has no events.
        """
        call = self._channel.unary_stream(
            f"/{RUNTIME}/GetContainerEvents",
            request_serializer=cri.GetEventsRequest.SerializeToString,
            response_deserializer=cri.ContainerEventResponse.FromString,
        )(cri.GetEventsRequest())
        try:
            async for event in call:
                yield event
        except grpc.aio.AioRpcError as error:
            raise CriError(error.details() or error.code().name, status=error.code()) from error
        finally:
            call.cancel()
        raise CriError("event stream ended", status=grpc.StatusCode.UNAVAILABLE)

    async def image_status(self, image: str) -> cri.Image | None:
        """Return the image if it is on the node, else None."""
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=image))
        response = await self._call(request, cri.ImageStatusResponse)
        return response.image if response.HasField("image") else None

    async def pull_image(self, image: str) -> str:
        """Pull an image and return its reference."""
        request = cri.PullImageRequest(image=cri.ImageSpec(image=image))
        return (await self._call(request, cri.PullImageResponse)).image_ref
