"""Evidence that the runtime has reached the application.

Nothing confirms a dial. What proves it: data, an end in order, a reset by the application; or that
no refusal followed the acknowledgement, which it does within milliseconds on the same stream of
bytes.
"""

from __future__ import annotations

import asyncio
from typing import Final

from tui_forward.engine.connections.owner import ConnectionOwner
from tui_forward.engine.tunnels.base import Channel
from tui_forward.model import ReasonCode
from tui_forward.protocol.error_stream import PortForwardFailure

# An acknowledged channel that was not refused for this long leads to an application that listens.
_TIMEOUT_S: Final = 1.0


class DialWatch:
    """Tells a forward whose port refuses connections that one has succeeded.

    Costs nothing while no connection is refused.
    """

    __slots__ = ("_loop", "_owner", "_timer")

    def __init__(self, owner: ConnectionOwner) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._timer: asyncio.TimerHandle | None = None

    def opened(self, channel: Channel) -> None:
        """Watch a channel from its opening until `ended` or `cancel`."""
        self._check_later(channel, was_acknowledged=False)

    def ended(self, failure: PortForwardFailure | None, *, acknowledged: bool) -> None:
        """Process the end of the channel."""
        self.cancel()
        if acknowledged and (failure is None or failure.code is ReasonCode.PORT_RESET):
            self._report()

    def cancel(self) -> None:
        """Watch no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_later(self, channel: Channel, *, was_acknowledged: bool) -> None:
        if self._owner.is_refusing:
            self._timer = self._loop.call_later(_TIMEOUT_S, self._check, channel, was_acknowledged)

    def _check(self, channel: Channel, was_acknowledged: bool) -> None:
        self._timer = None
        if was_acknowledged:
            self._report()
        else:
            self._check_later(channel, was_acknowledged=channel.acknowledged)

    def _report(self) -> None:
        if self._owner.is_refusing:
            self._owner.pod_answered()
