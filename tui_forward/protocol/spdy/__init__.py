"""SPDY/3.1 as Kubernetes speaks it: frames, header compression, and one connection."""

from __future__ import annotations

from tui_forward.protocol.spdy.connection import ConnectionHandler, Side, SpdyConnection
from tui_forward.protocol.spdy.frames import GoawayStatus, ResetStatus
from tui_forward.protocol.spdy.headers import HeaderCompressor, HeaderDecompressor, Headers
from tui_forward.protocol.spdy.stream import SpdyStream, StreamReceiver

__all__ = [
    "ConnectionHandler",
    "GoawayStatus",
    "HeaderCompressor",
    "HeaderDecompressor",
    "Headers",
    "ResetStatus",
    "Side",
    "SpdyConnection",
    "SpdyStream",
    "StreamReceiver",
]
