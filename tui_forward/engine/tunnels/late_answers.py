"""Answers to upgrade requests that come after the dialer has stopped waiting.

An API server that cannot reach a node says so after its own time limit (30 s), long after the
next transport had to be tried. One request per node stays open in the background, so that the
true reason replaces "no answer".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from tui_forward.common.tasks import spawn
from tui_forward.errors import TuiForwardError
from tui_forward.model import Reason
from tui_forward.protocol.upgrade import UpgradeRejected
from tui_forward.transport import ByteStream

# More than the 30 s that an API server takes, and its own time limit for requests (60 s).
MAX_WAIT_S: Final = 75.0
MAX_REQUESTS: Final = 16
# How long a late answer explains later dials that get none either.
_VALID_S: Final = 120.0
_MAX_REASONS: Final = 256


class NodeKey(NamedTuple):
    """One node of a cluster."""

    context: str
    node: str


# Called with the reason, or with None if the request was granted: the node answers again.
OnAnswer = Callable[[Reason | None], None]


class _Request(msgspec.Struct):
    owner: object
    task: asyncio.Task[None]


class LateAnswers:
    """Open requests and late reasons by node, shared by the dialers of a session.

    Belongs to one event loop. At most one open request per node, and `MAX_REQUESTS` in all.
    """

    def __init__(self, *, max_wait_s: float = MAX_WAIT_S) -> None:
        self._max_wait_s = max_wait_s
        self._requests: dict[NodeKey, _Request] = {}
        self._reasons: dict[NodeKey, tuple[float, Reason]] = {}
        self._listeners: dict[NodeKey, dict[object, OnAnswer]] = {}

    def adopt(
        self, key: NodeKey, owner: object, stream: ByteStream, answer: asyncio.Future[bool]
    ) -> bool:
        """Keep a request open; return False, without side effects, if there is one or too many.

        With True the stream is owned from now on, and closed when its answer comes, after a time,
        or by `discard`.
        """
        if key in self._requests or len(self._requests) >= MAX_REQUESTS:
            return False
        task = spawn(self._wait(key, stream, answer), name=f"late answer of {key.node}")
        self._requests[key] = _Request(owner, task)
        return True

    def reason(self, key: NodeKey) -> Reason | None:
        """Return the latest reason of the API server for a node, unless it is too old."""
        at, reason = self._reasons.get(key, (0.0, None))
        if reason is None or asyncio.get_running_loop().time() - at > _VALID_S:
            return None
        return reason

    def listen(self, key: NodeKey, owner: object, on_answer: OnAnswer) -> None:
        """Call `on_answer` when an answer about a node comes, until `discard`. Idempotent."""
        self._listeners.setdefault(key, {})[owner] = on_answer

    def forget(self, key: NodeKey) -> None:
        """Forget the reason: the node answers."""
        self._reasons.pop(key, None)

    def discard(self, owner: object) -> None:
        """Close the requests of an owner, and call it no more. Idempotent."""
        for key in [key for key, request in self._requests.items() if request.owner is owner]:
            self._requests.pop(key).task.cancel()
        for key in [key for key, owners in self._listeners.items() if owner in owners]:
            del self._listeners[key][owner]
            if not self._listeners[key]:
                del self._listeners[key]

    async def _wait(self, key: NodeKey, stream: ByteStream, answer: asyncio.Future[bool]) -> None:
        reason: Reason | None = None
        try:
            async with asyncio.timeout(self._max_wait_s):
                await answer
        except UpgradeRejected as rejected:
            reason = rejected.reason
        except (TuiForwardError, TimeoutError):
            return  # cut, or no answer at all
        finally:
            answer.cancel()
            stream.abort()
            if (request := self._requests.get(key)) and request.task is asyncio.current_task():
                del self._requests[key]
        if reason is None:
            self._reasons.pop(key, None)
        else:
            if len(self._reasons) >= _MAX_REASONS:
                self._reasons.pop(next(iter(self._reasons)))
            self._reasons[key] = (asyncio.get_running_loop().time(), reason)
        for on_answer in [*self._listeners.get(key, {}).values()]:
            on_answer(reason)
