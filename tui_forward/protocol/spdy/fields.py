"""SPDY frames split into the fields that Go's writer emits one by one.

spdystream writes every field of a frame with a call of its own. Over TCP this is invisible;
inside a WebSocket each field becomes a message: one DATA frame is three (4, 4 and n bytes), a
SYN_STREAM eight. For servers that reproduce this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tui_forward.errors import ProtocolError
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.spdy.frames import (
    CONTROL_BIT,
    FRAME_HEAD_BYTES,
    MAX_DATA_LENGTH,
    FrameType,
    unpack_head,
)

# Sizes of the payload's fields; the remainder is one more field (a header block).
_FIELDS: Final[dict[int, tuple[int, ...]]] = {
    FrameType.SYN_STREAM: (4, 4, 1, 1),
    FrameType.SYN_REPLY: (4,),
    FrameType.RST_STREAM: (4, 4),
    FrameType.PING: (4,),
    FrameType.GOAWAY: (4, 4),
    FrameType.HEADERS: (4,),
    FrameType.WINDOW_UPDATE: (4, 4),
}


def split_fields(queued: Iterable[Buffer]) -> Iterator[memoryview]:
    """Split the whole frames of `SpdyConnection.data_to_send` into Go's writes.

    The payload of a DATA frame may be a separate buffer.
    """
    missing = 0  # bytes of a DATA payload that follow in the next buffer
    for buffer in queued:
        view = memoryview(buffer)
        if missing:
            if len(view) != missing:
                raise ProtocolError("DATA payload is not one buffer")
            missing = 0
            yield view
            continue
        at = 0
        while at < len(view):
            word, rest = unpack_head(view, at)
            length = rest & MAX_DATA_LENGTH
            end = at + FRAME_HEAD_BYTES + length
            if word < CONTROL_BIT:
                yield view[at : at + 4]
                yield view[at + 4 : at + 8]
                if end > len(view):
                    if at + FRAME_HEAD_BYTES != len(view):
                        raise ProtocolError("DATA payload is cut")
                    missing = length
                else:  # also an empty one, as Go does
                    yield view[at + FRAME_HEAD_BYTES : end]
                at = end
                continue
            if end > len(view):
                raise ProtocolError("control frame is cut")
            yield view[at : at + 2]
            yield view[at + 2 : at + 4]
            yield view[at + 4 : at + 8]
            at += FRAME_HEAD_BYTES
            for size in _FIELDS.get(word & 0xFFFF, ()):
                yield view[at : at + size]
                at += size
            if at < end:
                yield view[at:end]
            at = end
