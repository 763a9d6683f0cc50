"""Retry of connections whose channel failed before the application received anything."""

from __future__ import annotations

import asyncio

from tui_forward.engine.connections.owner import ConnectionOwner
from tui_forward.engine.connections.upload import ReplayBuffer
from tui_forward.engine.limits import Limits
from tui_forward.errors import ForwardError
from tui_forward.model import PodRef, ReasonCode
from tui_forward.protocol.error_stream import PortForwardFailure


class RetryPolicy:
    """Decides about the retries of one connection, and paces them."""

    __slots__ = ("_delay_s", "_limits", "_owner", "was_refused")

    def __init__(self, owner: ConnectionOwner, limits: Limits) -> None:
        self._owner = owner
        self._limits = limits
        self._delay_s = limits.retry_refused_s
        self.was_refused = False  # a channel has failed and was retried

    def is_allowed(
        self,
        failure: PortForwardFailure,
        error: ForwardError,
        *,
        replay: ReplayBuffer,
        acknowledged: bool,
        pod: PodRef | None,
    ) -> bool:
        """Return whether the application, in `pod`, has certainly received nothing."""
        if not replay.possible:
            return False
        if failure.undelivered:
            return True
        if failure.code is ReasonCode.PORT_REFUSED:
            return not self._owner.refusal_is_final(error, pod)
        if failure.code in (ReasonCode.RUNTIME_SANDBOX_GONE, ReasonCode.POD_NOT_RUNNING):
            return True
        # The server acknowledges a stream before it dials the application. So without that
        # it has, but for an answer lost on the network, not been dialed; and without a byte
        # from the client it makes no difference.
        return failure.tunnel_lost and not (acknowledged and replay)

    async def wait(self) -> None:
        """Wait until the next try is due: the back-off is over, or the pod may answer now."""
        self.was_refused = True
        try:
            async with asyncio.timeout(self._delay_s):
                await self._owner.wait_for_retry()
        except TimeoutError:
            self._delay_s = min(2 * self._delay_s, self._limits.retry_refused_max_s)
        else:
            self._delay_s = self._limits.retry_refused_s
