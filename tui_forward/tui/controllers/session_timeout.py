"""Time limit for calls to the session, which may have to wait for the engine process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tui_forward.errors import TransportError

ANSWER_TIMEOUT_S = 5.0


@asynccontextmanager
async def session_timeout(
    timeout_s: float | None = None, message: str = "the engine is not responding"
) -> AsyncIterator[None]:
    """Cancel the calls in the body after a time and raise TransportError with the message."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S if timeout_s is None else timeout_s):
            yield
    except TimeoutError as error:
        raise TransportError(message) from error
