"""The pod that the target of one forward resolves to now."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tui_forward.engine.context import ClusterProvider, TargetWatch
from tui_forward.engine.forwards.pod_monitor import PodMonitor
from tui_forward.engine.forwards.status_recorder import StatusRecorder
from tui_forward.errors import ForwardError
from tui_forward.model import (
    Pod,
    PodRef,
    Reason,
    ReasonCode,
    Resolution,
    Resolved,
    Target,
    TimelineKind,
    Unresolved,
)

# A gone sandbox counts as the cause of a missing pod for this long.
_SANDBOX_CAUSE_S: Final = 3.0
_RESOLVING: Final = Unresolved(reason=Reason(code=ReasonCode.TARGET_RESOLVING))


class TargetFollower:
    """Watches one target. `on_resolved` is called with each resolution before it is used."""

    def __init__(
        self, target: Target, *, pods: PodMonitor, recorder: StatusRecorder,
        on_resolved: Callable[[Resolution], None],
    ) -> None:  # fmt: skip
        self._target = target
        self._pods = pods
        self._recorder = recorder
        self._on_resolved = on_resolved
        self._watch: TargetWatch | None = None
        self._sandbox_gone: Reason | None = None
        self._sandbox_gone_at = 0.0
        self.resolution: Resolution = _RESOLVING

    @property
    def is_open(self) -> bool:
        """Whether the target is watched."""
        return self._watch is not None

    @property
    def missing_cause(self) -> Reason:
        """Why there is no pod to use; meaningless while there is one."""
        gone = self._sandbox_gone
        if gone is not None and time.monotonic() - self._sandbox_gone_at < _SANDBOX_CAUSE_S:
            return gone
        assert isinstance(self.resolution, Unresolved)
        return self.resolution.reason

    def open(self, clusters: ClusterProvider) -> TargetWatch:
        """Start to follow the target; raise `ConfigError` if the context cannot be used."""
        self._watch = clusters.watch(self._target)
        return self._watch

    def observe(self, watch: TargetWatch) -> None:
        """Use what a watch that was opened knows already."""
        self._pods.observe(watch)
        self._update(watch.current)

    async def next(self, watch: TargetWatch) -> None:
        """Wait for another resolution, and use it."""
        self._update(await watch.changed(self.resolution))

    def invalidate(self, uid: str) -> None:
        """Do not resolve to a pod before the API server has confirmed it."""
        if self._watch is not None:
            self._watch.invalidate(uid)

    def find_pod(self, pod: PodRef) -> Pod | None:
        """Return a pod as last reported; None if it is not known now."""
        return self._watch.find_pod(pod) if self._watch is not None else None

    def record_gone_sandbox(self, pod: PodRef, failure: ForwardError) -> None:
        """Stop using a pod whose sandbox a connection found gone."""
        self._sandbox_gone, self._sandbox_gone_at = failure.reason, time.monotonic()
        self._recorder.record_problem(
            TimelineKind.POD, f"pod {pod.name}: {failure.message}", failure.code
        )
        self.invalidate(pod.uid)

    def close(self) -> None:
        """Stop following; the resolution stays. Idempotent."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def forget(self) -> None:
        """Start without a resolution, for other clusters."""
        self.resolution = _RESOLVING

    def _update(self, resolution: Resolution) -> None:
        self.resolution = resolution
        if resolution.port is not None:
            self._recorder.remote_port = resolution.port
        self._on_resolved(resolution)


def pods_of(resolved: Resolved) -> tuple[Resolved, ...]:
    """Return each pod that new connections may go to."""
    return (resolved, *resolved.others)


def same_tunnels(one: Resolved, other: Resolution) -> bool:
    """Return whether tunnels to the pods of one resolution serve another, at least in part."""
    if isinstance(other, Unresolved):
        return False
    keys = [{(each.pod.uid, each.port) for each in pods_of(r)} for r in (one, other)]
    return not keys[0].isdisjoint(keys[1])
