"""When a request that failed is sent again, as in client-go. No I/O."""

from __future__ import annotations

from tui_forward.common.jitter import JITTER
from tui_forward.errors import ApiError, TransportError, TuiForwardError
from tui_forward.model import ReasonCode

# Time that one request waits in all before its caller gets the error and can show it.
MAX_RETRY_WAIT_S = 30.0
# As many as in client-go.
_MAX_RETRIES = 10
# A server that asks for no pause at all gets one.
_MIN_PAUSE_S = 0.1
# After a lost connection; client-go always waits for the longest.
_FIRST_RESET_PAUSE_S = 0.2
_LONGEST_RESET_PAUSE_S = 1.0
# The peer, or something on the way, ended the connection. Not: it refuses connections, it does
# not answer in time, or its certificate is wrong.
_RESETS = frozenset(
    {ReasonCode.NETWORK_RESET, ReasonCode.NETWORK_TLS_CLOSED, ReasonCode.NETWORK_PROXY_CLOSED}
)


class Retries:
    """What is left of the attempts of one request, and of the time to wait between them."""

    def __init__(self, wait_s: float = MAX_RETRY_WAIT_S) -> None:
        """Allow ten more attempts with pauses of `wait_s` in all; 0 allows none."""
        self._wait_s = wait_s
        self._count = 0
        self._resets = 0

    def next_pause_s(self, error: TuiForwardError) -> float | None:
        """Return the pause after which to try again, and count it; None: that is the end.

        A server that is busy says when to try again; a lost connection may be lost again.
        """
        if isinstance(error, TransportError) and error.code in _RESETS:
            pause_s = min(_FIRST_RESET_PAUSE_S * 2.0**self._resets, _LONGEST_RESET_PAUSE_S)
            resets = self._resets + 1
        elif (asked_s := _asked_pause_s(error)) is not None:
            pause_s, resets = max(asked_s, _MIN_PAUSE_S), self._resets
        else:
            return None
        pause_s *= JITTER.uniform(1.0, 1.2)  # not all clients at once
        if self._count >= _MAX_RETRIES or pause_s > self._wait_s:
            return None
        self._count += 1
        self._resets = resets
        self._wait_s -= pause_s
        return pause_s


def _asked_pause_s(error: TuiForwardError) -> float | None:
    """Return the seconds of `Retry-After`; None where there are none, or they do not count."""
    if not isinstance(error, ApiError) or error.retry_after_s is None:
        return None
    return error.retry_after_s if error.status == 429 or error.status >= 500 else None
