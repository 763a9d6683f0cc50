"""A relay between a connection that was accepted and a port of loopback."""

from __future__ import annotations

import asyncio


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Pass bytes on in both directions until one side ends."""
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()

    pumps = [
        asyncio.create_task(pump(reader, far_writer)),
        asyncio.create_task(pump(far_reader, writer)),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        far_writer.transport.abort()
        for one in pumps:
            one.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
