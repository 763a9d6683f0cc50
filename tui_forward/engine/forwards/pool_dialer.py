"""The tunnels of one forward, to one pod or to several, and the dial that connects them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tui_forward.engine.context import ClusterProvider, EngineContext
from tui_forward.engine.forwards.auto_reset_event import AutoResetEvent
from tui_forward.engine.forwards.forward_pool import ForwardPool
from tui_forward.engine.forwards.pod_pools import PodPools, PodPoolsObserver
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.model import Balance, ForwardSpec, Reason, Resolved
from tui_forward.transport.access import ServerAccess

_log = logging.getLogger(__name__)

_CLOSE_TIMEOUT_S = 5.0
# How long a tunnel may take to answer a probe.
_PROBE_TIMEOUT_S: Final = 3.0
# Each of several pods has fewer tunnels than a single one.
_POD_MAX_TUNNELS: Final = 8
_POD_MAX_SPARE: Final = 2


class PoolDialer:
    """Creates the pool on the first dial; runs one `connect_to` at a time, as a task.

    `wake` is set when a dial ends. The callbacks are those of `TunnelPool`, and `observer` is that
    of `PodPools`.
    """

    def __init__(
        self, spec: ForwardSpec, *, engine: EngineContext, wake: AutoResetEvent, forward_id: str,
        on_change: Callable[[], None], on_late_answer: Callable[[Reason | None], None],
        on_no_answer: Callable[[Reason], None], observer: PodPoolsObserver,
    ) -> None:  # fmt: skip
        self._spec = spec
        self._engine = engine
        self._wake = wake
        self._forward_id = forward_id
        self._on_change = on_change
        self._on_late_answer = on_late_answer
        self._on_no_answer = on_no_answer
        self._observer = observer
        self._task: asyncio.Task[None] | None = None
        self.pool: ForwardPool | None = None
        self.target: Resolved | None = None  # of the current or latest dial
        self.was_aborted = False  # `restart` has ended the current or latest dial, or its tunnels

    @property
    def is_dialing(self) -> bool:
        """Whether a dial runs, or its end was not taken yet."""
        return self._task is not None

    def start(self, clusters: ClusterProvider, resolved: Resolved) -> None:
        """Connect the pool to a pod; no dial must be running."""
        self.target = resolved
        self.was_aborted = False
        name = f"forward {self._forward_id}: dial"
        self._task = asyncio.create_task(self._connect(clusters, resolved), name=name)
        self._task.add_done_callback(lambda _: self._wake.set())

    async def _connect(self, clusters: ClusterProvider, resolved: Resolved) -> None:
        if self.pool is None:
            self.pool = self._create(clusters.access(*self._spec.target.cluster_key))
        await self.pool.connect_to(resolved)

    def _create(self, access: ServerAccess) -> ForwardPool:
        limits = self._engine.limits
        if self._spec.target.balance is Balance.ONE:
            return self._create_pool(access, limits, self._on_change)
        of_pod = replace(
            limits,
            max_tunnels=min(limits.max_tunnels, _POD_MAX_TUNNELS),
            max_spare=min(limits.max_spare, _POD_MAX_SPARE),
        )
        budget = BufferBudget(limits)
        return PodPools(
            lambda on_change: self._create_pool(access, of_pod, on_change, budget),
            parallel_dials=limits.parallel_dials,
            on_change=self._on_change,
            observer=self._observer,
        )

    def _create_pool(
        self, access: ServerAccess, limits: Limits, on_change: Callable[[], None],
        budget: BufferBudget | None = None,
    ) -> TunnelPool:  # fmt: skip
        return TunnelPool(
            access,
            transport=self._spec.transport,
            transport_cache=self._engine.transport_cache,
            limits=limits,
            on_change=on_change,
            forward_id=self._forward_id,
            late_answers=self._engine.late_answers,
            on_late_answer=self._on_late_answer,
            on_no_answer=self._on_no_answer,
            budget=budget,
        )

    def take_ended(self) -> asyncio.Task[None] | None:
        """Return the dial if it has ended, once; None if it was canceled by `restart`."""
        task = self._task
        if task is None or not task.done():
            return None
        self._task = None
        return None if task.cancelled() and self.was_aborted else task

    async def stop(self) -> None:
        """Cancel the dial, and wait for its end. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def restart(self, reason: Reason) -> None:
        """Cancel the dial, and cut the tunnels."""
        if self._task is not None:
            self._task.cancel()
        self.was_aborted = True
        self.abort(reason)

    def abort(self, reason: Reason) -> None:
        """Cut the tunnels at once."""
        if self.pool is not None:
            self.pool.abort(reason)

    def disconnect(self, reason: Reason) -> None:
        """Stop using the pod for new connections; keep those that it has."""
        if self.pool is not None and self.pool.up:
            self.pool.disconnect(reason)

    def probe(self) -> None:
        """Check that tunnels that appear to be up still answer."""
        if self.pool is not None and self.pool.up:
            self.pool.probe(_PROBE_TIMEOUT_S)

    async def close(self) -> None:
        """Close the pool and wait for that, for a bounded time. Idempotent."""
        if self.pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.pool.close()
        except TimeoutError:
            _log.warning("the tunnels of forward %s did not close in time", self._forward_id)

    def forget(self) -> None:
        """Dial with another pool from now on; this one is closed."""
        self.pool = None
