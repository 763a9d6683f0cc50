"""Connections to hosts outside the cluster, which `--direct` allows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Final

from tui_forward.engine.connections.client_socket import close_socket
from tui_forward.engine.connections.proxy_client import ProxyClient, RequestFilter
from tui_forward.engine.proxy.names import is_address, is_local_address, is_own_machine
from tui_forward.engine.proxy.router import DirectAddress
from tui_forward.errors import ForwardError, TuiForwardError
from tui_forward.model import Reason, ReasonCode
from tui_forward.protocol.buffers import Buffer
from tui_forward.transport.dns import resolve
from tui_forward.transport.tcp import dial_addresses

_DIAL_TIMEOUT_S: Final = 10.0
_BUFFER_SIZE: Final = 64 * 1024


async def dial_direct(address: DirectAddress) -> socket.socket:
    """Return a socket that is connected to a host; ForwardError if that fails.

    Who controls a name, as that of a service, must not reach what listens on this machine or its
    link by resolving it to there: a name that does not say so gets none of those addresses.
    """
    host, port = address.host, address.port
    name = f"{host}:{port}"
    try:
        async with asyncio.timeout(_DIAL_TIMEOUT_S):
            addresses = await resolve(host, port, label=host)
            if not (is_own_machine(host) or is_address(host)):
                addresses = [one for one in addresses if not is_local_address(str(one[4][0]))]
            if not addresses:
                raise ForwardError(Reason(code=ReasonCode.PROXY_LOCAL_ADDRESS, name=host))
            return await dial_addresses(addresses, host, port, label=host)
    except ForwardError:
        raise
    except TimeoutError:
        timed_out = Reason(code=ReasonCode.NETWORK_TIMEOUT, server=name, timeout_s=_DIAL_TIMEOUT_S)
        raise ForwardError(timed_out) from None
    except TuiForwardError as error:
        reason = Reason(code=ReasonCode.PROXY_NOT_CONNECTED, name=name, cause=error.reason)
        raise ForwardError(reason) from error


async def relay(client: socket.socket, proxy_client: ProxyClient, server: socket.socket) -> None:
    """Copy between two sockets until both directions have ended; the caller closes them."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, proxy_client.opened())
    await loop.sock_sendall(server, proxy_client.first_data)
    async with asyncio.TaskGroup() as group:
        group.create_task(_copy_requests(client, server, proxy_client.request_filter))
        group.create_task(_copy_answers(server, client, proxy_client.request_filter))


async def _copy_requests(
    client: socket.socket, server: socket.socket, request_filter: RequestFilter | None
) -> None:
    loop = asyncio.get_running_loop()
    data = b""
    while True:
        parts: Iterable[Buffer] = (data,)
        if request_filter is not None:
            parts = request_filter.receive_data(data)
        for part in parts:
            await loop.sock_sendall(server, part)
        if request_filter is not None and request_filter.refusal:
            await loop.sock_sendall(client, request_filter.refusal)
            close_socket(server, reset=True)
            return
        data = await loop.sock_recv(client, _BUFFER_SIZE)
        if not data:
            server.shutdown(socket.SHUT_WR)
            return


async def _copy_answers(
    server: socket.socket, client: socket.socket, request_filter: RequestFilter | None
) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(server, _BUFFER_SIZE):
        if request_filter is not None and request_filter.needs_answer:
            for part in request_filter.receive_answer([memoryview(data)]):
                await loop.sock_sendall(server, part)
        await loop.sock_sendall(client, data)
    client.shutdown(socket.SHUT_WR)
