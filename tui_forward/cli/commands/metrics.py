"""`tui-forward metrics`: metrics of the engine process, for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib

import click
import h11

from tui_forward.cli import openmetrics
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.options import kubeconfig_option
from tui_forward.cli.sessions import attached_session
from tui_forward.cli.signals import call_on_signals
from tui_forward.common.arguments import is_loopback, parse_addresses, parse_port
from tui_forward.errors import ForwardError, TuiForwardError, UsageError
from tui_forward.model import Snapshot

_REQUEST_S = 10.0
_CHUNK = 65536


@click.command(short_help="Print metrics in the OpenMetrics format, or serve them.")
@kubeconfig_option
@click.option(
    "--listen", metavar="HOST:PORT", help="Serve them at /metrics until Ctrl-C; loopback only."
)
def metrics(kubeconfig: str | None, listen: str | None) -> int:
    """Print the engine's metrics once, in the OpenMetrics text format, or serve them."""
    if listen is None:
        return asyncio.run(_print(kubeconfig))
    host, _, port = listen.rpartition(":")
    (address,) = parse_addresses([host or "127.0.0.1"])
    if not is_loopback(address):
        raise UsageError(
            f"cannot serve metrics on {host}: other machines can reach it",
            hint="metrics name clusters and pods; listen on 127.0.0.1",
        )
    number = int(parse_port(f"{port}:1").local or 0)
    host = "127.0.0.1" if address == "localhost" else address
    return asyncio.run(_serve(kubeconfig, host, number))


async def _snapshot(kubeconfig: str | None, *, interactive: bool) -> Snapshot:
    async with attached_session(kubeconfig, interactive=interactive) as session:
        return await session.snapshot() if session is not None else Snapshot(version=0, at=0.0)


async def _print(kubeconfig: str | None) -> int:
    snapshot = await _snapshot(kubeconfig, interactive=True)
    click.echo(openmetrics.format_openmetrics(snapshot), nl=False)
    return ExitCode.DONE


async def _serve(kubeconfig: str | None, host: str, port: int) -> int:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, h11.RemoteProtocolError):
            async with asyncio.timeout(_REQUEST_S):
                await _handle_request(reader, writer, kubeconfig)
        writer.close()

    stop = asyncio.Event()
    try:
        server = await asyncio.start_server(handle, host, port)
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise ForwardError(f"cannot listen on {host}:{port}: {cause}") from error
    with call_on_signals(stop.set):
        async with server:
            address = server.sockets[0].getsockname()
            click.echo(f"http://{address[0]}:{address[1]}/metrics", err=True)
            await stop.wait()
    return ExitCode.DONE


async def _handle_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kubeconfig: str | None
) -> None:
    """Respond to one request; the caller closes the connection."""
    connection = h11.Connection(h11.SERVER)
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Request):
            break
        else:
            return
    status, body = 404, "not found; metrics are at /metrics\n"
    if event.target == b"/metrics":
        try:
            snapshot = await _snapshot(kubeconfig, interactive=False)
            status, body = 200, openmetrics.format_openmetrics(snapshot)
        except TuiForwardError as error:
            status, body = 503, f"{error}\n"
    data = body.encode()
    content_type = openmetrics.CONTENT_TYPE if status == 200 else "text/plain; charset=utf-8"
    head = h11.Response(
        status_code=status,
        headers=[
            ("Content-Type", content_type), ("Content-Length", str(len(data))),
            ("Connection", "close"),
        ],
    )  # fmt: skip
    for part in (head, h11.Data(data=data), h11.EndOfMessage()):
        if encoded := connection.send(part):
            writer.write(encoded)
    await writer.drain()
