"""The same command for many forwards: each has its own deadline and its own result.

One that is slow or fails neither delays nor prevents the others, and what happened to each is known
afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from tui_forward.common.formatting import pluralize
from tui_forward.errors import TransportError, TuiForwardError, UsageError
from tui_forward.model import Forward, Reason, ReasonCode
from tui_forward.session import Session

# Fewer than the engine executes at a time for one client, so that others are not delayed.
PARALLEL = 32
# More than the engine allows for the end of connections.
STOP_TIMEOUT_S = 10.0
_MAX_REPORTED = 3

Item = TypeVar("Item")


class BatchResult(msgspec.Struct, Generic[Item], frozen=True):
    """Outcome for each item, in the order of the items."""

    done: tuple[Item, ...]
    failed: tuple[tuple[Item, TuiForwardError], ...]

    def failure(self, action: str, noun: str) -> TuiForwardError | None:
        """Return an error about all failed items, e.g. for "stop" and "forward"; None if none."""
        if not self.failed:
            return None
        first = self.failed[0][1]
        if len(self.done) + len(self.failed) == 1:
            return first
        texts = list(dict.fromkeys(error.message for _, error in self.failed))
        more = f" and {len(texts) - _MAX_REPORTED} more" if len(texts) > _MAX_REPORTED else ""
        count = pluralize(len(self.failed), noun)
        text = f"cannot {action} {count}: {'; '.join(texts[:_MAX_REPORTED])}{more}"
        return TuiForwardError(Reason(code=first.code, text=text, hint=first.hint))


async def run_batch(
    command: Callable[[Item], Awaitable[object]],
    items: Sequence[Item],
    *,
    timeout_s: float,
    parallel: int = PARALLEL,
) -> BatchResult[Item]:
    """Run a command for each item, so many at a time, each for a time at most.

    A command that is too slow is canceled, and fails with `engine.not_responding`.
    """
    slots = asyncio.Semaphore(parallel)

    async def run(item: Item) -> TuiForwardError | None:
        async with slots:
            try:
                async with asyncio.timeout(timeout_s):
                    await command(item)
            except TuiForwardError as error:
                return error
            except TimeoutError:
                reason = Reason(code=ReasonCode.ENGINE_NOT_RESPONDING, timeout_s=timeout_s)
                return TransportError(reason)
        return None

    errors = await asyncio.gather(*map(run, items))
    pairs = list(zip(items, errors, strict=True))
    return BatchResult(
        done=tuple(item for item, error in pairs if error is None),
        failed=tuple((item, error) for item, error in pairs if error is not None),
    )


async def stop_forwards(session: Session, forwards: Sequence[Forward]) -> BatchResult[Forward]:
    """Stop forwards at the same time. One that is gone already is in neither list."""
    result = await run_batch(
        lambda forward: session.stop(forward.id), forwards, timeout_s=STOP_TIMEOUT_S
    )
    failed = tuple(pair for pair in result.failed if not isinstance(pair[1], UsageError))
    return BatchResult(result.done, failed)
