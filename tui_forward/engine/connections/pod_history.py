"""What happened to one pod while connections led to it, and which of it ended a connection.

A runtime ends the streams of a dead process as it ends those of one that closed its socket: with
FIN, without a word, and about a second later. Only the pod object tells them apart.

Times are those of this machine at which a change was reported: clocks of nodes may differ.
"""

from __future__ import annotations

import math
from typing import Final

from tui_forward.model import ENDED_PHASES, Pod, PodRef, PortProtocol, Reason, ReasonCode

# A change explains the end of a connection if it was reported at most so long before. The runtime
# ends the streams 1 to 2 s after the process has ended.
_EXPLAINS_S: Final = 10.0
# A report may be later than the end by this much.
REPORT_LAG_S: Final = 1.0
# Ends that the pod may explain. A container that ended is a cause whose own cause may follow:
# a runtime that stops a sandbox, or a kubelet that evicts a pod, ends the containers first.
_MAY_BE_EXPLAINED: Final = frozenset(
    {
        ReasonCode.CONNECTION_CLOSED_BY_APPLICATION,
        ReasonCode.CONNECTION_CLOSED_WITHOUT_DATA,
        ReasonCode.CONNECTION_CONTAINER_ENDED,
        ReasonCode.PORT_RESET,
    }
)


def may_be_explained(code: ReasonCode) -> bool:
    """Return whether a pod's history may name the cause, or a deeper one, of such an end."""
    return code in _MAY_BE_EXPLAINED


class PodHistory:
    """The changes of one pod that matter to its connections."""

    def __init__(self, ref: PodRef, port: int) -> None:
        self.ref = ref
        self._port = port
        self._pod: Pod | None = None  # as last reported
        self._terminating_at = math.inf
        self._gone_at = math.inf
        self._over_at = math.inf  # it will not run again
        self._sandbox_lost_at = -math.inf
        self._ended_at: dict[str, float] = {}  # by container
        self._ends: dict[str, int] = {}  # how often each container has ended

    @property
    def is_known(self) -> bool:
        """Whether the pod was reported at least once."""
        return self._pod is not None

    def update(self, pod: Pod | None, now: float) -> None:
        """Process a report at `now` (monotonic seconds); None if the pod is not listed now."""
        before = self._pod
        if pod is before:
            return
        if pod is None:
            self._gone_at = min(self._gone_at, now)
            return
        self._pod = pod
        self._gone_at = math.inf
        if pod.deleting:
            self._terminating_at = min(self._terminating_at, now)
        if pod.phase in ENDED_PHASES and before is not None and before.phase not in ENDED_PHASES:
            self._over_at = now
        for one in pod.exits:
            if before is not None and one.number > self._ends.get(one.container, 0):
                self._ended_at[one.container] = now
            self._ends[one.container] = one.number
        if before is not None and _has_lost_sandbox(before, pod):
            self._sandbox_lost_at = now

    @property
    def condition(self) -> Reason | None:
        """Return what is about to end the connections; None if nothing is."""
        pod = self._pod
        if pod is None or not pod.deleting:
            return None
        if self._gone_at < math.inf:
            return Reason(code=ReasonCode.POD_DELETED, pod=pod.name)
        return Reason(code=ReasonCode.POD_TERMINATING, pod=pod.name, at=pod.delete_by or None)

    def explain_end(self, opened_at: float, closed_at: float) -> Reason | None:
        """Return why the pod ended a connection; None if nothing is known to have happened to it.

        Both are monotonic seconds. What happened before a connection was opened did not end it.
        """
        pod = self._pod
        if pod is None:
            return None

        latest = closed_at + REPORT_LAG_S

        def explains(at: float) -> bool:
            return max(opened_at, closed_at - _EXPLAINS_S) <= at <= latest

        ended = [
            one
            for one in pod.exits
            if explains(self._ended_at.get(one.container, -math.inf))
            and self._may_serve(pod, one.container)
        ]
        lost_sandbox = explains(self._sandbox_lost_at)
        is_over = explains(self._over_at)
        has_stopped = bool(ended) or lost_sandbox or is_over or explains(self._gone_at)
        was_deleted = opened_at <= self._terminating_at <= latest or (pod.deleting and has_stopped)
        was_deleted = was_deleted or explains(self._gone_at)
        if pod.disruption and (was_deleted or has_stopped):
            return Reason(
                code=ReasonCode.CONNECTION_POD_EVICTED, pod=pod.name, detail=pod.disruption
            )
        if was_deleted:
            return Reason(code=ReasonCode.CONNECTION_POD_DELETED, pod=pod.name)
        if lost_sandbox:
            return Reason(code=ReasonCode.CONNECTION_SANDBOX_RECREATED, pod=pod.name)
        if ended:
            last = max(ended, key=lambda one: self._ended_at[one.container])
            return Reason(
                code=ReasonCode.CONNECTION_CONTAINER_RESTARTED
                if last.restarted
                else ReasonCode.CONNECTION_CONTAINER_ENDED,
                pod=pod.name,
                namespace=pod.namespace,
                container=last.container,
                has_previous_log=last.restarted,
                exit_code=last.code,
                status=last.reason if last.reason not in ("Error", "Completed") else "",
            )
        if is_over:
            return Reason(
                code=ReasonCode.CONNECTION_POD_ENDED, pod=pod.name, status=pod.reason or pod.phase
            )
        return None

    def _may_serve(self, pod: Pod, container: str) -> bool:
        """Return whether the port may be that of a container: it declares it, or none does."""
        declared = {
            one.container
            for one in pod.ports
            if one.number == self._port and one.protocol is PortProtocol.TCP
        }
        return not declared or container in declared


def _has_lost_sandbox(before: Pod, now: Pod) -> bool:
    """Return whether a pod has lost its network namespace, with all connections in it."""
    if now.deleting:
        return False
    moved = bool(before.ip and now.ip) and before.ip != now.ip
    return moved or (before.sandbox_ready and not now.sandbox_ready)
