"""From a pod to a tunnel: connect, request an upgrade, fall back, refresh credentials.

`auto` tries the next transport after failures that a proxy between here and the API server can
cause: no answer, or any answer but 101 that is not the cluster's final refusal. A failed TCP
connection or TLS handshake would fail again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec.structs import replace

from tui_forward.common.logging_levels import TRACE
from tui_forward.engine.forward_logger import ForwardLogger
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Tunnel, TunnelOwner
from tui_forward.engine.tunnels.channels_tunnel import ChannelsTunnel
from tui_forward.engine.tunnels.spdy_tunnel import SpdyTunnel
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.errors import (
    ApiError,
    AuthError,
    ProtocolError,
    TransportError,
    TuiForwardError,
    UpgradeError,
)
from tui_forward.model import PodRef, Reason, ReasonCode, TransportChoice
from tui_forward.protocol.upgrade import ClientUpgrade, UpgradeKind, UpgradeRejected
from tui_forward.protocol.upgrade_rejection import FINAL_CODES
from tui_forward.transport import ByteStream, ServerAccess, connect
from tui_forward.transport.handshake import perform_handshake
from tui_forward.transport.websocket_stream import WebSocketStream

_log = logging.getLogger(__name__)

USER_AGENT: Final = "tui-forward"

_ORDER: Final = (TransportChoice.SPDY, TransportChoice.WEBSOCKET, TransportChoice.CHANNELS)

Connect = Callable[..., Awaitable[ByteStream]]


class Dialer:
    """Opens tunnels to the pods of one cluster.

    `choice` is the required transport, or `AUTO`. Tests bring their own `connect`.
    """

    def __init__(
        self,
        access: ServerAccess,
        *,
        choice: TransportChoice,
        transport_cache: TransportCache,
        limits: Limits,
        forward_id: str = "",
        connect: Connect = connect,
    ) -> None:
        self._access = access
        self._choice = choice
        self._transport_cache = transport_cache
        self._limits = limits
        self._connect = connect
        self._log = ForwardLogger(_log, forward_id, access.context)

    async def dial(self, pod: PodRef, port: int, owner: TunnelOwner) -> Tunnel:
        """Open a tunnel by the required transport, or by the first that works.

        Cancellation closes what was opened.

        Raises:
            ConfigError: The kubeconfig cannot be used.
            AuthError: No credentials, or refused (401) also after a refresh.
            ApiError: The API server refused; `UpgradeError` if no transport was upgraded.
            TransportError: Connection refused, TLS failure, or no answer.
            ProtocolError: The answers were not HTTP.
        """
        failures: list[TuiForwardError] = []
        tried: list[str] = []
        for transport in self._candidates():
            try:
                tunnel = await self._dial_logged(transport, pod, port, owner, level=logging.INFO)
            except _TransportRejectedError as rejection:
                failures.append(rejection.error)
                tried.append(transport.value)
                continue
            if self._choice is TransportChoice.AUTO:
                self._transport_cache.set(self._access.context, transport)
            return tunnel
        # A required transport does not show what is best for other forwards.
        if self._choice is TransportChoice.AUTO:
            self._transport_cache.evict(self._access.context)
        raise _pick_error(failures, tried)

    async def dial_by(
        self, transport: TransportChoice, pod: PodRef, port: int, owner: TunnelOwner
    ) -> Tunnel:
        """Open one more tunnel by a transport that has worked; raises as `dial`."""
        try:
            return await self._dial_logged(transport, pod, port, owner, level=logging.DEBUG)
        except _TransportRejectedError as rejection:
            raise rejection.error from rejection

    def _candidates(self) -> tuple[TransportChoice, ...]:
        if self._choice is not TransportChoice.AUTO:
            return (self._choice,)
        cached = self._transport_cache.get(self._access.context)
        if cached is None:
            return _ORDER
        return (cached, *(transport for transport in _ORDER if transport is not cached))

    async def _dial_logged(
        self, transport: TransportChoice, pod: PodRef, port: int, owner: TunnelOwner, *, level: int
    ) -> Tunnel:
        loop = asyncio.get_running_loop()
        started_at = loop.time()

        def log(level: int, outcome: str) -> None:
            self._log.log(
                level,
                "dialed %s/%s:%d by %s in %.0f ms: %s",
                *(pod.namespace, pod.name, port, transport.value),
                *(1000 * (loop.time() - started_at), outcome),
            )

        try:
            tunnel = await self._dial_refreshing(transport, pod, port, owner)
        except asyncio.CancelledError:
            log(logging.DEBUG, "canceled")
            raise
        except TuiForwardError as error:
            log(logging.INFO, error.message)
            raise
        log(level, "tunnel up")
        return tunnel

    async def _dial_refreshing(
        self, transport: TransportChoice, pod: PodRef, port: int, owner: TunnelOwner
    ) -> Tunnel:
        """Dial, and once more with fresh credentials after a 401."""
        try:
            return await self._dial_once(transport, pod, port, owner, refresh=False)
        except UpgradeRejected as rejected:
            if rejected.status != 401:
                raise _refusal_error(rejected) from rejected
        try:
            return await self._dial_once(transport, pod, port, owner, refresh=True)
        except UpgradeRejected as rejected:
            if rejected.status == 401:
                raise AuthError(rejected.reason) from rejected
            raise _refusal_error(rejected) from rejected

    async def _dial_once(
        self,
        transport: TransportChoice,
        pod: PodRef,
        port: int,
        owner: TunnelOwner,
        *,
        refresh: bool,
    ) -> Tunnel:
        # In this order: what is refreshed may be the client certificate in the endpoint.
        headers = await self._access.headers(refresh=refresh)
        endpoint = await self._access.endpoint()
        stream = await self._connect(endpoint, timeout_s=self._limits.dial_timeout_s)
        try:
            path = (
                f"{endpoint.path_prefix}/api/v1/namespaces/{pod.namespace}"
                f"/pods/{pod.name}/portforward"
            )
            self._log.log(TRACE, "request upgrade to %s of %s", transport.value, path)
            upgrade = ClientUpgrade(
                UpgradeKind(transport.value),
                path,
                authority=endpoint.authority,
                headers=[("User-Agent", USER_AGENT), *headers.items()],
                ports=(port,),
            )
            await self._upgrade(stream, upgrade)
            return await self._start_tunnel(stream, upgrade.leftover, transport, port, owner)
        except BaseException:
            stream.abort()
            raise

    async def _upgrade(self, stream: ByteStream, upgrade: ClientUpgrade) -> None:
        def feed(data: bytes) -> bool | None:
            upgrade.receive_data(data)
            return upgrade.done or None

        try:
            async with asyncio.timeout(self._limits.upgrade_timeout_s):
                await perform_handshake(
                    stream, upgrade.request(), feed, label="the API server", eof=upgrade.receive_eof
                )
        except TimeoutError:
            try:
                # A refusal whose body does not end is still a refusal.
                upgrade.receive_eof()
            except UpgradeRejected:
                raise
            except TransportError:
                pass
            error = TransportError(
                Reason(
                    code=ReasonCode.API_UPGRADE_TIMEOUT, timeout_s=self._limits.upgrade_timeout_s
                )
            )
            raise _TransportRejectedError(error) from None
        except TransportError as error:
            raise _TransportRejectedError(error) from error

    async def _start_tunnel(
        self,
        stream: ByteStream,
        leftover: bytes,
        transport: TransportChoice,
        port: int,
        owner: TunnelOwner,
    ) -> Tunnel:
        if transport is TransportChoice.CHANNELS:
            return ChannelsTunnel(stream, leftover, port=port, owner=owner, limits=self._limits)
        if transport is TransportChoice.WEBSOCKET:
            stream, leftover = WebSocketStream(stream, leftover), b""
        tunnel = SpdyTunnel(
            stream, leftover, port=port, transport=transport, owner=owner, limits=self._limits
        )
        try:
            await tunnel.start(self._limits.upgrade_timeout_s)
        except (TransportError, ProtocolError) as error:
            raise _TransportRejectedError(error) from error
        except BaseException:
            tunnel.abort(TransportError(Reason(code=ReasonCode.TUNNEL_NOT_OPEN)))
            raise
        return tunnel


class _TransportRejectedError(TuiForwardError):
    """Failure after which another transport might work."""

    def __init__(self, error: TuiForwardError) -> None:
        super().__init__(error.reason)
        self.error = error


def _refusal_error(rejected: UpgradeRejected) -> TuiForwardError:
    """Return the error of a refusal: the cluster's final one, or perhaps a proxy's."""
    # Not so 403: SPDY's POST needs the verb create, a WebSocket's GET only get before 1.35.
    if rejected.code not in FINAL_CODES:
        return _TransportRejectedError(rejected)
    return ApiError(rejected.reason, status=rejected.status, status_reason=rejected.status_reason)


def _pick_error(failures: list[TuiForwardError], tried: list[str]) -> TuiForwardError:
    """Return one error for all transports: the cluster's own refusal before a proxy's."""

    def rank(error: TuiForwardError) -> int:
        if isinstance(error, UpgradeError):
            return 0 if error.status_reason else 1
        return 2

    error = min(failures, key=rank)
    if len(tried) == 1:
        return error
    reason = replace(error.reason, tried=tuple(tried))
    if isinstance(error, UpgradeError):
        return UpgradeError(reason, status=error.status, status_reason=error.status_reason)
    return type(error)(reason)
