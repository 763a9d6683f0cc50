"""Forwards of one proxy: opened at the first connection to a target, closed when it is idle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final, Protocol

from tui_forward.common.tasks import spawn
from tui_forward.engine.context import ClusterProvider
from tui_forward.engine.forwards.forward import ActiveForward
from tui_forward.errors import ForwardError
from tui_forward.model import ForwardSpec, ProxySpec, Reason, ReasonCode, Target

_log = logging.getLogger(__name__)

_MAX_TARGETS: Final = 1000
_CHECKS_PER_TIMEOUT: Final = 4
_MIN_CHECK_INTERVAL_S: Final = 0.25  # also with an idle timeout of 0
_MAX_CHECK_INTERVAL_S: Final = 15.0


class ForwardStarter(Protocol):
    """What the proxy needs of the engine."""

    def start_proxied(self, spec: ForwardSpec, clusters: ClusterProvider) -> ActiveForward:
        """Start a forward without a local port."""

    async def stop(self, forward_id: str) -> None:
        """Stop a forward and remove it; UsageError if it is gone."""


class _OpenTarget:
    """A forward and when it was used last."""

    __slots__ = ("forward", "used_at")

    def __init__(self, forward: ActiveForward) -> None:
        self.forward = forward
        self.used_at = 0.0


class TargetForwards:
    """The open targets of one proxy. Belongs to one event loop."""

    def __init__(
        self, proxy_id: str, spec: ProxySpec, engine: ForwardStarter, clusters: ClusterProvider
    ) -> None:
        self._proxy_id = proxy_id
        self._spec = spec
        self._engine = engine
        self._clusters = clusters
        self._loop = asyncio.get_running_loop()
        self._open: dict[Target, _OpenTarget] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._check: asyncio.TimerHandle | None = None

    def get(self, target: Target) -> ActiveForward:
        """Return the forward to a target; it is started if there is none.

        ForwardError: too many targets have connections.
        """
        found = self._open.get(target)
        if found is None or found.forward.is_stopped:
            found = self._open[target] = _OpenTarget(self._start(target))
        found.used_at = self._loop.time()
        return found.forward

    def _start(self, target: Target) -> ActiveForward:
        if len(self._open) >= _MAX_TARGETS:
            self._stop_idle(1)
        if len(self._open) >= _MAX_TARGETS:
            text = f"{_MAX_TARGETS} targets have connections"
            raise ForwardError(Reason(code=ReasonCode.PROXY_REFUSED, detail=text))
        spec = self._spec
        forward = self._engine.start_proxied(
            ForwardSpec(
                target=target,
                addresses=(),
                transport=spec.transport,
                queue_timeout_s=spec.queue_timeout_s,
                half_close_timeout_s=spec.half_close_timeout_s,
                proxy=self._proxy_id,
            ),
            self._clusters,
        )
        _log.info("proxy %s: opened %s as %s", self._proxy_id, target, forward.id)
        self._check_later()
        return forward

    def _check_later(self) -> None:
        if self._check is None:
            interval_s = self._spec.idle_timeout_s / _CHECKS_PER_TIMEOUT
            interval_s = max(_MIN_CHECK_INTERVAL_S, min(interval_s, _MAX_CHECK_INTERVAL_S))
            self._check = self._loop.call_later(interval_s, self._close_idle)

    def _close_idle(self) -> None:
        """Stop what had no connection for the idle timeout."""
        self._check = None
        now = self._loop.time()
        for target, one in [*self._open.items()]:
            if one.forward.is_stopped:
                del self._open[target]
            elif not one.forward.is_idle:
                one.used_at = now
            elif now - one.used_at >= self._spec.idle_timeout_s:
                self._stop(target)
        if self._open:
            self._check_later()

    def _stop_idle(self, count: int) -> None:
        """Stop the targets without connections that were used longest ago."""
        idle = [(one.used_at, key) for key, one in self._open.items() if one.forward.is_idle]
        for _, target in sorted(idle, key=lambda pair: pair[0])[:count]:
            self._stop(target)

    def _stop(self, target: Target) -> None:
        forward = self._open.pop(target).forward
        _log.info("proxy %s: closed %s, which is idle", self._proxy_id, target)
        task = spawn(self._engine.stop(forward.id), name=f"stopping {forward.id}")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def close(self) -> None:
        """Stop all. Idempotent."""
        if self._check is not None:
            self._check.cancel()
            self._check = None
        forwards: Iterable[ActiveForward] = [one.forward for one in self._open.values()]
        self._open.clear()
        stops = (self._engine.stop(one.id) for one in forwards if not one.is_stopped)
        for result in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(result, Exception):
                _log.error("a target of the proxy did not stop in order", exc_info=result)
        if self._stopping:
            await asyncio.wait(self._stopping)
