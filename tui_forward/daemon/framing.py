"""Framing of messages on asyncio streams: a length, then that many bytes."""

from __future__ import annotations

import asyncio

from tui_forward.daemon.rpc import HEADER_SIZE
from tui_forward.errors import ProtocolError


async def read_message(reader: asyncio.StreamReader, limit: int) -> bytes | None:
    """Return the body of the next message, or None at end of file.

    Not safe to cancel: the position in the stream is lost. Raise ProtocolError if the message is
    longer than `limit` or ends early, OSError if the connection breaks.
    """
    try:
        header = await reader.readexactly(HEADER_SIZE)
        size = int.from_bytes(header, "big")
        if size > limit:
            raise ProtocolError(f"a message of {size} bytes, more than the {limit} allowed")
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        if not error.partial and error.expected == HEADER_SIZE:
            return None
        raise ProtocolError("the connection ended in the middle of a message") from error
