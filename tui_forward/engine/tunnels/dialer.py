"""From a pod to a tunnel: connect, ask for an upgrade, fall back, refresh credentials.

Which failures let `auto` try the next transport: those that a proxy between here and the
API server can cause, that is any answer but 101 that is not the cluster's last word, and
no answer at all. A failed dial or TLS handshake would fail again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Tunnel, TunnelOwner
from tui_forward.engine.tunnels.channels_tunnel import ChannelsTunnel
from tui_forward.engine.tunnels.spdy_tunnel import SpdyTunnel
from tui_forward.errors import (
    ApiError,
    AuthError,
    ProtocolError,
    TransportError,
    TuiForwardError,
    UpgradeError,
)
from tui_forward.model import PodRef, TransportChoice
from tui_forward.protocol.upgrade import ClientUpgrade, UpgradeKind, UpgradeRejected
from tui_forward.transport import ByteStream, ServerAccess, connect
from tui_forward.transport.handshake import perform_handshake
from tui_forward.transport.websocket_stream import WebSocketStream

USER_AGENT: Final = "tui-forward"

_ORDER: Final = (TransportChoice.SPDY, TransportChoice.WEBSOCKET, TransportChoice.CHANNELS)

# Refusals that no other transport would change, by words of the API server, the kubelet
# and the runtime (each relays the others' answers unchanged).
_LAST_WORDS: Final = (
    "does not have a host assigned",
    "pod does not exist",
    "pod not found",
    "error dialing backend",
    "failed to find sandbox",
    "sandbox container is not running",
    "rpc error: code =",  # the kubelet's, of a runtime that does not answer
)

Connect = Callable[..., Awaitable[ByteStream]]


class TransportCache:
    """What worked for a cluster, so that `auto` need not find out again. In memory only.

    One instance is shared by all forwards of a session. Keys are `Access.context`.
    """

    def __init__(self) -> None:
        self._worked: dict[str, TransportChoice] = {}

    def get(self, context: str) -> TransportChoice | None:
        """The transport that worked last, if any."""
        return self._worked.get(context)

    def set(self, context: str, transport: TransportChoice) -> None:
        """`transport` was upgraded."""
        self._worked[context] = transport

    def evict(self, context: str) -> None:
        """What worked does not any more: try them all again."""
        self._worked.pop(context, None)


class Dialer:
    """Makes tunnels to the pods of one cluster.

    Args:
        access: The API server and its credentials.
        choice: A transport to insist on, or `AUTO`.
        memory: What worked before.
        limits: Time limits.
        connect: Makes a byte stream out of an endpoint; tests bring their own.
    """

    def __init__(
        self,
        access: ServerAccess,
        *,
        choice: TransportChoice,
        memory: TransportCache,
        limits: Limits,
        connect: Connect = connect,
    ) -> None:
        self._access = access
        self._choice = choice
        self._memory = memory
        self._limits = limits
        self._connect = connect

    async def dial(self, pod: PodRef, port: int, owner: TunnelOwner) -> Tunnel:
        """Make a tunnel by the chosen transport, or by the first that works.

        Cancellation closes what was opened.

        Raises:
            ConfigError: The kubeconfig cannot be used.
            AuthError: No credentials, or refused (401) also after a refresh.
            ApiError: The API server said no; `UpgradeError` if no transport was upgraded.
            TransportError: Nobody there, TLS trouble, or no answer.
            ProtocolError: The answers were not HTTP.
        """
        failures: list[TuiForwardError] = []
        tried: list[str] = []
        for transport in self._candidates():
            try:
                tunnel = await self._try(transport, pod, port, owner)
            except _TransportRejectedError as obstacle:
                failures.append(obstacle.error)
                tried.append(transport.value)
                continue
            if self._choice is TransportChoice.AUTO:
                self._memory.set(self._access.context, transport)
            return tunnel
        # What one forward insists on says nothing about what is best for the others.
        if self._choice is TransportChoice.AUTO:
            self._memory.evict(self._access.context)
        raise _most_telling(failures, tried)

    async def dial_by(
        self, transport: TransportChoice, pod: PodRef, port: int, owner: TunnelOwner
    ) -> Tunnel:
        """Make one more tunnel by a transport that has worked; raises as `dial`."""
        try:
            return await self._try(transport, pod, port, owner)
        except _TransportRejectedError as obstacle:
            raise obstacle.error from obstacle

    async def _try(
        self, transport: TransportChoice, pod: PodRef, port: int, owner: TunnelOwner
    ) -> Tunnel:
        try:
            return await self._attempt(transport, pod, port, owner, refresh=False)
        except UpgradeRejected as rejected:
            if rejected.status != 401:
                raise _judged(rejected) from rejected
        try:
            return await self._attempt(transport, pod, port, owner, refresh=True)
        except UpgradeRejected as rejected:
            if rejected.status == 401:
                raise AuthError(
                    f"the API server does not accept the credentials: {rejected.message}",
                    hint="Log in to the cluster again.",
                ) from rejected
            raise _judged(rejected) from rejected

    def _candidates(self) -> tuple[TransportChoice, ...]:
        if self._choice is not TransportChoice.AUTO:
            return (self._choice,)
        worked = self._memory.get(self._access.context)
        if worked is None:
            return _ORDER
        return (worked, *(transport for transport in _ORDER if transport is not worked))

    async def _attempt(
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
            upgrade = ClientUpgrade(
                UpgradeKind(transport.value),
                f"{endpoint.path_prefix}/api/v1/namespaces/{pod.namespace}"
                f"/pods/{pod.name}/portforward",
                authority=endpoint.authority,
                headers=[("User-Agent", USER_AGENT), *headers.items()],
                ports=(port,),
            )
            await self._upgrade(stream, upgrade)
            return await self._tunnel(stream, upgrade.leftover, transport, port, owner)
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
                    stream,
                    upgrade.request(),
                    feed,
                    what="the API server",
                    eof=upgrade.receive_eof,
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
                "the API server did not answer the upgrade request within "
                f"{self._limits.upgrade_timeout_s:g} s",
                hint="A proxy on the way may not know upgrades; or the node does not answer.",
            )
            raise _TransportRejectedError(error) from None
        except TransportError as error:
            raise _TransportRejectedError(error) from error

    async def _tunnel(
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
            tunnel.abort(TransportError("the tunnel was given up before it began"))
            raise
        return tunnel


class _TransportRejectedError(TuiForwardError):
    """Another transport might work."""

    def __init__(self, error: TuiForwardError) -> None:
        super().__init__(error.message, hint=error.hint)
        self.error = error


def _judged(rejected: UpgradeRejected) -> TuiForwardError:
    """What a refusal means: the cluster's last word, or perhaps a proxy's."""
    from_cluster = bool(rejected.reason)
    # Not so 403: SPDY's POST needs the verb create, a WebSocket's GET only get before 1.35.
    final = (
        (rejected.status == 404 and from_cluster)
        or rejected.status == 429
        or any(words in rejected.message for words in _LAST_WORDS)
    )
    if not final:
        return _TransportRejectedError(rejected)
    return ApiError(
        rejected.message, status=rejected.status, reason=rejected.reason, hint=rejected.hint
    )


def _most_telling(failures: list[TuiForwardError], tried: list[str]) -> TuiForwardError:
    """One error for all that was tried: the cluster's own words before a proxy's."""

    def weight(error: TuiForwardError) -> int:
        if isinstance(error, UpgradeError):
            return 0 if error.reason else 1
        return 2

    error = min(failures, key=weight)
    if len(tried) == 1:
        return error
    message = f"{error.message} (tried {', '.join(tried)})"
    if isinstance(error, UpgradeError):
        return UpgradeError(message, status=error.status, reason=error.reason, hint=error.hint)
    return type(error)(message, hint=error.hint)
