"""Server of `RuntimeService` and `ImageService`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.errors import CriError


def make_server(path: str, runtime: object, images: object) -> grpc.aio.Server:
    """Return a server on the unix socket `path`; the caller starts and stops it.

    The methods of the implementations are named after those of the services, in snake case, and
    take the request; every call may raise `CriError`.
    """
    Path(path).unlink(missing_ok=True)
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    for name, service in {"RuntimeService": runtime, "ImageService": images}.items():
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
