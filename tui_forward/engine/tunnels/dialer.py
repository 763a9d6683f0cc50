"""From a pod to a tunnel: connect, request an upgrade, fall back, refresh credentials.

`auto` tries the next transport after failures that a proxy between here and the API server can
cause: no answer, or any answer but 101 that is not the cluster's final refusal. A failed TCP
connection or TLS handshake would fail again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from msgspec.structs import replace

from tui_forward.common.logging_levels import TRACE
from tui_forward.engine.forward_logger import ForwardLogger
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Tunnel, TunnelOwner
from tui_forward.engine.tunnels.channels_tunnel import ChannelsTunnel
from tui_forward.engine.tunnels.late_answers import LateAnswers, NodeKey, OnAnswer
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
from tui_forward.transport import ByteStream, Endpoint, ServerAccess, connect
from tui_forward.transport.handshake import start_handshake
from tui_forward.transport.websocket_stream import WebSocketStream

_log = logging.getLogger(__name__)

USER_AGENT: Final = "tui-forward"

_ORDER: Final = (TransportChoice.SPDY, TransportChoice.WEBSOCKET, TransportChoice.CHANNELS)

Connect = Callable[..., Awaitable[ByteStream]]
# Called with the reason when a transport got no answer and the next one is tried.
OnNoAnswer = Callable[[Reason], None]


class Dialer:
    """Opens tunnels to the pods of one cluster.

    `choice` is the required transport, or `AUTO`. Tests bring their own `connect`. `on_late_answer`
    is called when the API server explains a dial that has failed without an answer, and
    `on_no_answer` while a dial goes on, since that takes several times `upgrade_timeout_s`.
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
        late_answers: LateAnswers | None = None,
        on_late_answer: OnAnswer = lambda _: None,
        on_no_answer: OnNoAnswer = lambda _: None,
    ) -> None:
        self._late_answers = late_answers or LateAnswers()
        self._on_late_answer = on_late_answer
        self._on_no_answer = on_no_answer
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
        failures: dict[TransportChoice, TuiForwardError] = {}
        for transport in self._candidates():
            try:
                tunnel = await self._dial_logged(transport, pod, port, owner, level=logging.INFO)
            except _TransportRejectedError as rejection:
                failures[transport] = rejection.error
                if rejection.error.code is ReasonCode.API_UPGRADE_TIMEOUT:
                    self._on_no_answer(rejection.error.reason)
                continue
            self._late_answers.forget(self._node_key(pod))
            if self._choice is TransportChoice.AUTO:
                self._transport_cache.set(self._access.context, transport)
            return tunnel
        # A required transport does not show what is best for other forwards.
        if self._choice is TransportChoice.AUTO:
            self._transport_cache.evict(self._access.context)
        raise await self._final_error(failures, pod)

    def close(self) -> None:
        """Close what is open in the background. Idempotent."""
        self._late_answers.discard(self)

    def _node_key(self, pod: PodRef) -> NodeKey:
        return NodeKey(self._access.context, pod.node or f"{pod.namespace}/{pod.name}")

    async def _final_error(
        self, failures: dict[TransportChoice, TuiForwardError], pod: PodRef
    ) -> TuiForwardError:
        """Return the error of a dial that no transport could complete."""
        error = _pick_error(failures)
        if error.code is not ReasonCode.API_UPGRADE_TIMEOUT:
            return error
        key = self._node_key(pod)
        self._late_answers.listen(key, self, self._on_late_answer)
        late = self._late_answers.reason(key)
        if late is not None:
            return ApiError(late, status=500)
        if await self._access.check_pod(pod.namespace, pod.name):
            # The API server answers other requests: what it waits for itself is the node.
            return TransportError(
                Reason(
                    code=ReasonCode.KUBELET_NO_ANSWER,
                    node=pod.node,
                    timeout_s=error.reason.timeout_s,
                )
            )
        return error

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
            if rejected.status != HTTPStatus.UNAUTHORIZED:
                raise self._refusal_error(rejected) from rejected
            await self._raise_if_of_kubelet(rejected, pod)
        try:
            return await self._dial_once(transport, pod, port, owner, refresh=True)
        except UpgradeRejected as rejected:
            if rejected.status != HTTPStatus.UNAUTHORIZED:
                raise self._refusal_error(rejected) from rejected
            reason = rejected.reason
            if reason.code is ReasonCode.KUBELET_UNAUTHORIZED:
                # The API server refuses other requests as well.
                reason = Reason(code=ReasonCode.AUTH_UNAUTHORIZED)
            raise self._access.explain(AuthError(reason)) from rejected

    def _refusal_error(self, rejected: UpgradeRejected) -> TuiForwardError:
        if rejected.code is ReasonCode.AUTH_NO_CREDENTIALS:
            return self._access.explain(AuthError(rejected.reason))
        return _refusal_error(rejected)

    async def _raise_if_of_kubelet(self, rejected: UpgradeRejected, pod: PodRef) -> None:
        """Raise ApiError for a 401 that a kubelet gave to the API server, not to the user.

        Then the same credentials are good for other requests.
        """
        if rejected.code is not ReasonCode.KUBELET_UNAUTHORIZED:
            return
        if await self._access.check_pod(pod.namespace, pod.name):
            reason = Reason(code=ReasonCode.KUBELET_UNAUTHORIZED, node=pod.node)
            raise ApiError(reason, status=rejected.status) from rejected

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
        adopted = False
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
            answer = _request_upgrade(stream, upgrade)
            try:
                await self._wait_for_answer(answer, upgrade)
            except _NoAnswerError as error:
                adopted = self._late_answers.adopt(self._node_key(pod), self, stream, answer)
                if not adopted:
                    answer.cancel()  # so that its end is no error that nothing handles
                raise _TransportRejectedError(error.error) from None
            except UpgradeRejected as rejected:
                raise _doubt_refusal(rejected, endpoint) from rejected
            endpoint.outage.record_success()
            return await self._start_tunnel(stream, upgrade.leftover, transport, port, owner)
        except BaseException:
            if not adopted:
                stream.abort()
            raise

    async def _wait_for_answer(self, answer: asyncio.Future[bool], upgrade: ClientUpgrade) -> None:
        try:
            # Not `asyncio.timeout`: the answer may still come to a request that is kept open.
            done, _ = await asyncio.wait({answer}, timeout=self._limits.upgrade_timeout_s)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        try:
            if done:
                answer.result()
                return
            # A refusal whose body does not end is still a refusal.
            upgrade.receive_eof()
        except UpgradeRejected:
            answer.cancel()
            raise
        except TransportError as error:
            if done:
                raise _TransportRejectedError(error) from error
        raise _NoAnswerError(self._limits.upgrade_timeout_s)

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


def _request_upgrade(stream: ByteStream, upgrade: ClientUpgrade) -> asyncio.Future[bool]:
    def feed(data: bytes) -> bool | None:
        upgrade.receive_data(data)
        return upgrade.done or None

    return start_handshake(
        stream, upgrade.request(), feed, label="the API server", eof=upgrade.receive_eof
    )


class _NoAnswerError(TuiForwardError):
    """No answer within the time for one transport."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(Reason(code=ReasonCode.API_UPGRADE_TIMEOUT, timeout_s=timeout_s))
        self.error = TransportError(self.reason)


class _TransportRejectedError(TuiForwardError):
    """Failure after which another transport might work."""

    def __init__(self, error: TuiForwardError) -> None:
        super().__init__(error.reason)
        self.error = error


def _doubt_refusal(rejected: UpgradeRejected, endpoint: Endpoint) -> UpgradeRejected:
    """Return another error for a 403 of an API server that may have just started."""
    of_api_server = rejected.code is ReasonCode.RBAC_FORBIDDEN
    if not (of_api_server and endpoint.outage.may_be_starting()):
        return rejected
    reason = Reason(code=ReasonCode.API_STARTING, server=endpoint.authority)
    return UpgradeRejected(reason, status=rejected.status, status_reason=rejected.status_reason)


def _refusal_error(rejected: UpgradeRejected) -> TuiForwardError:
    """Return the error of a refusal: the cluster's final one, or perhaps a proxy's."""
    # Not so 403: SPDY's POST needs the verb create, a WebSocket's GET only get before 1.35.
    if rejected.code not in FINAL_CODES:
        return _TransportRejectedError(rejected)
    return ApiError(
        rejected.reason,
        status=rejected.status,
        status_reason=rejected.status_reason,
        retry_after_s=rejected.retry_after_s,
    )


def _pick_error(failures: dict[TransportChoice, TuiForwardError]) -> TuiForwardError:
    """Return one error for all transports: the cluster's own refusal before a proxy's.

    It is the same one whatever the order of the attempts, so that a reason does not change without
    cause.
    """

    def rank(failure: tuple[TransportChoice, TuiForwardError]) -> tuple[int, int]:
        transport, error = failure
        kind = 2
        if isinstance(error, UpgradeError):
            kind = 0 if error.status_reason else 1
        return kind, _ORDER.index(transport)

    _, error = min(failures.items(), key=rank)
    tried = [transport.value for transport in _ORDER if transport in failures]
    if len({failure.code for failure in failures.values()}) == 1:
        return error  # the transport makes no difference
    reason = replace(error.reason, tried=tuple(tried))
    if isinstance(error, UpgradeError):
        return UpgradeError(
            reason,
            status=error.status,
            status_reason=error.status_reason,
            retry_after_s=error.retry_after_s,
        )
    return type(error)(reason)
