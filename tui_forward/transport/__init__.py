"""A byte stream to somewhere: TCP, TLS, proxies, WebSocket, in memory, with faults.

`connect` dials an `Endpoint`; everything it returns is a `ByteStream`. Nothing here knows
of pods, and nothing here reads a kubeconfig: see `access` for that seam.
"""

from __future__ import annotations

from tui_forward.transport.access import Endpoint, ServerAccess
from tui_forward.transport.connect import connect
from tui_forward.transport.stream import ByteStream, StreamHandler

__all__ = ["ByteStream", "Endpoint", "ServerAccess", "StreamHandler", "connect"]
