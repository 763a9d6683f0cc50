"""Test of the port: one connection to the application, over a tunnel that is open."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec.structs import replace

from tui_forward.common.redaction import redact
from tui_forward.engine.tunnels.base import Tunnel
from tui_forward.errors import TuiForwardError
from tui_forward.model import DoctorHop, Reason, ReasonCode
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.session.doctor.chain import Chain
from tui_forward.session.doctor.findings import Finding, fault, good, hop_behind_upgrade

_HOP: Final = DoctorHop.PORT
_MAX_GREETING: Final = 60
_POLICIES: Final = "network policies do not apply to port-forwards"


async def check_port(chain: Chain) -> Finding:
    """Connect to the port and wait a moment. Sends nothing, so most applications stay silent."""
    tunnel, resolution = chain.tunnel, chain.resolution
    assert tunnel is not None
    assert resolution is not None
    tried = f"connect to port {resolution.port} in pod {chain.pod.name}"
    try:
        end = await _connect(tunnel, chain.limits.port_s)
    except TuiForwardError as error:
        return fault(_HOP, tried, error.reason)
    chain.trace.record("port", port=resolution.port, outcome=end.outcome)
    if end.failure is not None:
        reason = replace(
            end.failure.reason, pod=chain.pod.name, namespace=chain.pod.namespace,
            node=chain.pod.node,
        )  # fmt: skip
        hop = hop_behind_upgrade(reason) or _HOP
        return fault(hop, tried, reason, _POLICIES if hop is _HOP else "")
    if end.greeting:
        text = redact(end.greeting.decode("utf-8", "replace"), limit=_MAX_GREETING)
        return good(_HOP, tried, f"the application greets with {text!r}", _POLICIES)
    if end.is_closed:
        closes = Reason(
            code=ReasonCode.PORT_CLOSES, port=str(resolution.port), pod=chain.pod.name,
            namespace=chain.pod.namespace,
        )  # fmt: skip
        return fault(_HOP, tried, closes, _POLICIES)
    return good(
        _HOP, tried, "accepts connections, and is silent until its client speaks", _POLICIES
    )


class _Connection:
    """Handler of the one channel: waits for the first thing that happens."""

    def __init__(self) -> None:
        self.happened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.greeting = b""
        self.failure: PortForwardFailure | None = None
        self.is_closed = False

    @property
    def outcome(self) -> str:
        """What has happened, in a word."""
        if self.failure is not None:
            return self.failure.code.value
        return "greeting" if self.greeting else "closed" if self.is_closed else "silent"

    def data_received(self, pieces: list[memoryview]) -> None:
        self.greeting += b"".join(pieces)[:_MAX_GREETING]
        self._set()

    def eof_received(self) -> None:
        pass  # `closed` follows, and tells why

    def writing_paused(self) -> None:
        pass  # nothing is written

    def writing_resumed(self) -> None:
        pass

    def evicted(self, reason: Reason) -> None:
        del reason
        self._set()

    def closed(self, failure: PortForwardFailure | None) -> None:
        self.failure, self.is_closed = failure, True
        self._set()

    def _set(self) -> None:
        if not self.happened.done():
            self.happened.set_result(None)


async def _connect(tunnel: Tunnel, timeout_s: float) -> _Connection:
    """Open a channel, wait for the first thing that happens on it, and close it."""
    connection = _Connection()
    channel = tunnel.open(connection)
    try:
        channel.flush()
        await asyncio.wait({connection.happened}, timeout=timeout_s)
    finally:
        if not connection.is_closed:
            channel.abort()
    return connection
