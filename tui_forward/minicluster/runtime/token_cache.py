"""Tokens of streaming URLs, each valid for one request within a minute."""

from __future__ import annotations

import base64
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from tui_forward.errors import TuiForwardError

# Six random bytes are eight characters of base64, as in the CRI's streaming library.
_TOKEN_BYTES = 6


class TooManyTokensError(TuiForwardError):
    """More streaming URLs are pending than the runtime allows."""


@dataclass(frozen=True, slots=True)
class PortForwardRequest:
    """The port-forward that a token was issued for."""

    sandbox_id: str
    ports: tuple[int, ...]


class TokenCache:
    """Single-use tokens that expire.

    Args:
        life_s: Returns how long a token is valid; called at every use.
        limit: Returns how many may be pending; called at every use.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        life_s: Callable[[], float],
        limit: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._life_s = life_s
        self._limit = limit
        self._clock = clock
        self._pending: OrderedDict[str, tuple[float, PortForwardRequest]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pending)

    def insert(self, request: PortForwardRequest) -> str:
        """Return a new token for `request`. Raises `TooManyTokensError`: the cache is full."""
        self._expire()
        if len(self._pending) >= self._limit():
            raise TooManyTokensError("maximum number of in-flight requests exceeded")
        while True:
            token = base64.urlsafe_b64encode(os.urandom(_TOKEN_BYTES)).decode()
            if token not in self._pending:
                break
        self._pending[token] = (self._clock(), request)
        return token

    def consume(self, token: str) -> PortForwardRequest | None:
        """Return the request of a token, once; None if it is unknown, used or expired."""
        self._expire()
        entry = self._pending.pop(token, None)
        return entry[1] if entry is not None else None

    def expire_all(self) -> None:
        """Drop all pending tokens."""
        self._pending.clear()

    def _expire(self) -> None:
        oldest = self._clock() - self._life_s()
        while self._pending:
            token, (created_at, _) = next(iter(self._pending.items()))
            if created_at > oldest:
                return
            del self._pending[token]
