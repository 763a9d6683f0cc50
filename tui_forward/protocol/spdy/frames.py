"""SPDY/3.1 frames as bytes: constants, and one encoder per frame type that is sent.

Stateless. Layout (big-endian), after the SPDY/3 draft, section 2.2::

    control:  u16 0x8003   u16 type   u8 flags   u24 length   payload
    data:     u32 stream id (top bit 0)   u8 flags   u24 length   payload
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

FRAME_HEAD_BYTES: Final = 8
"""Every frame starts with eight bytes: two words, the second with flags and length."""

MAX_DATA_LENGTH: Final = 0xFF_FFFF
"""The length field has 24 bits; spdystream sets no smaller limit for DATA."""

MAX_CONTROL_LENGTH: Final = 64 * 1024
"""Limit for received control frames, which are buffered whole. Real ones have < 100 bytes."""

MAX_STREAM_ID: Final = 0x7FFF_FFFF

CONTROL_BIT: Final = 0x8000_0000
FLAG_FIN: Final = 0x01
FLAG_UNIDIRECTIONAL: Final = 0x02


class FrameType(IntEnum):
    """Control frame types of spdystream, which ends the connection on any other."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class ResetStatus(IntEnum):
    """Statuses of RST_STREAM. Go sends CANCEL for nearly everything."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    UNSUPPORTED_VERSION = 4
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7
    STREAM_IN_USE = 8
    STREAM_ALREADY_CLOSED = 9
    INVALID_CREDENTIALS = 10
    FRAME_TOO_LARGE = 11


class GoawayStatus(IntEnum):
    """Statuses of GOAWAY."""

    OK = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


_TWO_WORDS: Final = struct.Struct(">II")
_CONTROL: Final = CONTROL_BIT | 3 << 16

pack_head: Final = _TWO_WORDS.pack
"""`pack_head(first word, flags << 24 | length)`: called directly on the hot path."""

unpack_head: Final = _TWO_WORDS.unpack_from


def data_header(stream_id: int, length: int, *, fin: bool = False) -> bytes:
    """Encode the head of a DATA frame; the payload of `length` bytes is the caller's buffer."""
    return pack_head(stream_id, (FLAG_FIN << 24 if fin else 0) | length)


def control_frame(frame_type: int, payload: bytes, *, flags: int = 0) -> bytes:
    """Encode a control frame of any type."""
    return pack_head(_CONTROL | frame_type, flags << 24 | len(payload)) + payload


def syn_stream(stream_id: int, block: bytes, *, fin: bool = False) -> bytes:
    """Encode SYN_STREAM with priority 0 and no associated stream, as Go sends it."""
    payload = struct.pack(">IIH", stream_id, 0, 0) + block
    return control_frame(FrameType.SYN_STREAM, payload, flags=FLAG_FIN if fin else 0)


def syn_reply(stream_id: int, block: bytes) -> bytes:
    """Encode SYN_REPLY without FIN, as Go sends it."""
    return control_frame(FrameType.SYN_REPLY, struct.pack(">I", stream_id) + block)


def rst_stream(stream_id: int, status: int) -> bytes:
    """Encode RST_STREAM. The draft forbids status 0, and a Go peer crashes on it."""
    return control_frame(FrameType.RST_STREAM, _TWO_WORDS.pack(stream_id, status))


def ping(ping_id: int) -> bytes:
    """Encode PING. Odd ids belong to the client, even ids to the server."""
    return control_frame(FrameType.PING, struct.pack(">I", ping_id))


def goaway(last_good_stream_id: int, status: int) -> bytes:
    """Encode GOAWAY."""
    return control_frame(FrameType.GOAWAY, _TWO_WORDS.pack(last_good_stream_id, status))
