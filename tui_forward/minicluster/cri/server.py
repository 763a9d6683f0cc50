"""Server of `RuntimeService` and `ImageService` for typed implementations."""

# `client` documents each call.
# ruff: noqa: D102

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.message import Message

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.errors import CriError


class RuntimeService(Protocol):
    """Sandboxes, containers and streaming; every call may raise `CriError`."""

    async def version(self, request: cri.VersionRequest) -> cri.VersionResponse: ...
    async def status(self, request: cri.StatusRequest) -> cri.StatusResponse: ...
    async def run_pod_sandbox(
        self, request: cri.RunPodSandboxRequest
    ) -> cri.RunPodSandboxResponse: ...
    async def stop_pod_sandbox(
        self, request: cri.StopPodSandboxRequest
    ) -> cri.StopPodSandboxResponse: ...
    async def remove_pod_sandbox(
        self, request: cri.RemovePodSandboxRequest
    ) -> cri.RemovePodSandboxResponse: ...
    async def pod_sandbox_status(
        self, request: cri.PodSandboxStatusRequest
    ) -> cri.PodSandboxStatusResponse: ...
    async def list_pod_sandbox(
        self, request: cri.ListPodSandboxRequest
    ) -> cri.ListPodSandboxResponse: ...
    async def create_container(
        self, request: cri.CreateContainerRequest
    ) -> cri.CreateContainerResponse: ...
    async def start_container(
        self, request: cri.StartContainerRequest
    ) -> cri.StartContainerResponse: ...
    async def stop_container(
        self, request: cri.StopContainerRequest
    ) -> cri.StopContainerResponse: ...
    async def remove_container(
        self, request: cri.RemoveContainerRequest
    ) -> cri.RemoveContainerResponse: ...
    async def list_containers(
        self, request: cri.ListContainersRequest
    ) -> cri.ListContainersResponse: ...
    async def container_status(
        self, request: cri.ContainerStatusRequest
    ) -> cri.ContainerStatusResponse: ...
    async def reopen_container_log(
        self, request: cri.ReopenContainerLogRequest
    ) -> cri.ReopenContainerLogResponse: ...
    async def exec_sync(self, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse: ...
    async def port_forward(self, request: cri.PortForwardRequest) -> cri.PortForwardResponse: ...
    def get_container_events(
        self, request: cri.GetEventsRequest
    ) -> AsyncIterator[cri.ContainerEventResponse]: ...


class ImageService(Protocol):
    """Images of the node; every call may raise `CriError`."""

    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse: ...
    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse: ...
    async def pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse: ...


def make_server(path: str, runtime: RuntimeService, images: ImageService) -> grpc.aio.Server:
    """Return a server on the unix socket `path`; the caller starts and stops it."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    services: dict[str, object] = {"RuntimeService": runtime, "ImageService": images}
    for name, service in services.items():
        descriptor = cri.DESCRIPTOR.services_by_name[name]
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for method in descriptor.methods:
            snake = re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower()
            request_type = getattr(cri, method.input_type.name)
            response_type = getattr(cri, method.output_type.name)
            make_handler = (
                grpc.unary_stream_rpc_method_handler
                if method.server_streaming
                else grpc.unary_unary_rpc_method_handler
            )
            wrap = _stream if method.server_streaming else _unary
            handlers[method.name] = make_handler(
                wrap(getattr(service, snake)),
                request_deserializer=request_type.FromString,
                response_serializer=response_type.SerializeToString,
            )
        full_name = f"runtime.v1.{name}"
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(full_name, handlers),)
        )
    server.add_insecure_port(f"unix:{path}")
    return server


def _unary(method: Callable[[Any], Awaitable[Message]]) -> Callable[..., Awaitable[Message]]:
    async def call(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
        try:
            return await method(request)
        except CriError as error:
            await context.abort(error.status, error.message)
            raise

    return call


def _stream(method: Callable[[Any], AsyncIterator[Message]]) -> Callable[..., Any]:
    async def call(
        request: Message, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Message]:
        try:
            async for message in method(request):
                yield message
        except CriError as error:
            await context.abort(error.status, error.message)

    return call
