"""Messages on asyncio streams: a length, then so many bytes."""

from __future__ import annotations

import asyncio

from tui_forward.daemon.rpc import LENGTH
from tui_forward.errors import ProtocolError


async def read_message(reader: asyncio.StreamReader, limit: int) -> bytes | None:
    """The next message's body, or None at the end. Not safe to cancel: the stream is lost then.

    Raises:
        ProtocolError: A message longer than `limit`, or the end in the middle of one.
        OSError: The connection broke.
    """
    try:
        header = await reader.readexactly(LENGTH)
        size = int.from_bytes(header, "big")
        if size > limit:
            raise ProtocolError(f"a message of {size} bytes, more than the {limit} allowed")
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        if not error.partial and error.expected == LENGTH:
            return None
        raise ProtocolError("the connection ended in the middle of a message") from error
