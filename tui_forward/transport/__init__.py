"""Byte streams: TCP, TLS, through a proxy, WebSocket.

`connect` dials an `Endpoint`; everything it returns is a `ByteStream`. Nothing here depends on
pods or kubeconfig files: `access` is the interface to those.
"""

from __future__ import annotations

from tui_forward.transport.access import Endpoint, ServerAccess
from tui_forward.transport.connect import connect
from tui_forward.transport.stream import ByteStream, StreamHandler

__all__ = ["ByteStream", "Endpoint", "ServerAccess", "StreamHandler", "connect"]
