"""`tui-forward metrics`: what runs in the engine process, for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib

import click
import h11

from tui_forward.cli import openmetrics
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.options import kubeconfig_option
from tui_forward.cli.sessions import attached_session, call_on_signals, run_async
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
        return run_async(_print(kubeconfig))
    host, _, port = listen.rpartition(":")
    (address,) = parse_addresses([host or "127.0.0.1"])
    if not is_loopback(address):
        raise UsageError(
            f"{host} can be reached by other machines",
            hint="metrics name clusters and pods: listen on 127.0.0.1",
        )
    number = int(parse_port(f"{port}:1").local or 0)
    return run_async(_serve(kubeconfig, "127.0.0.1" if address == "localhost" else address, number))


async def _snapshot(kubeconfig: str | None, *, asks: bool) -> Snapshot:
    async with attached_session(kubeconfig, asks=asks) as session:
        return await session.snapshot() if session is not None else Snapshot(version=0, at=0.0)


async def _print(kubeconfig: str | None) -> int:
    click.echo(openmetrics.format_openmetrics(await _snapshot(kubeconfig, asks=True)), nl=False)
    return ExitCode.DONE


async def _serve(kubeconfig: str | None, host: str, port: int) -> int:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, h11.RemoteProtocolError):
            async with asyncio.timeout(_REQUEST_S):
                await _answer(reader, writer, kubeconfig)
        writer.close()

    stop = asyncio.Event()
    try:
        server = await asyncio.start_server(answer, host, port)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ForwardError(f"cannot listen on {host}:{port}: {why}") from error
    with call_on_signals(stop.set):
        async with server:
            shown = server.sockets[0].getsockname()
            click.echo(f"http://{shown[0]}:{shown[1]}/metrics", err=True)
            await stop.wait()
    return ExitCode.DONE


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kubeconfig: str | None
) -> None:
    """Answer one request, then hang up."""
    connection = h11.Connection(h11.SERVER)
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Request):
            break
        else:
            return
    status, body = 404, "there is only /metrics\n"
    if event.target == b"/metrics":
        try:
            status, body = (
                200,
                openmetrics.format_openmetrics(await _snapshot(kubeconfig, asks=False)),
            )
        except TuiForwardError as error:
            status, body = 503, f"{error}\n"
    data = body.encode()
    kind = openmetrics.CONTENT_TYPE if status == 200 else "text/plain; charset=utf-8"
    head = h11.Response(
        status_code=status,
        headers=[
            ("Content-Type", kind), ("Content-Length", str(len(data))), ("Connection", "close"),
        ],
    )  # fmt: skip
    for piece in (head, h11.Data(data=data), h11.EndOfMessage()):
        if sent := connection.send(piece):
            writer.write(sent)
    await writer.drain()
