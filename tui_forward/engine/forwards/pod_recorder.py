"""Recorder of the pods that a forward spreads its connections over."""

from __future__ import annotations

from tui_forward.engine.forwards.status_recorder import StatusRecorder
from tui_forward.engine.forwards.target_follower import TargetFollower
from tui_forward.errors import ApiError, TuiForwardError
from tui_forward.model import PodRef, ReasonCode, TimelineKind


class PodRecorder:
    """Writes to the timeline which pods join and leave. Implements `PodPoolsObserver`."""

    def __init__(self, target: TargetFollower, recorder: StatusRecorder) -> None:
        self._target = target
        self._recorder = recorder

    def pod_joined(self, pod: PodRef, count: int) -> None:
        """See `PodPoolsObserver`."""
        self._recorder.record(TimelineKind.POD, f"{pod.name} joined: {_pods(count)}")

    def pod_left(self, pod: PodRef, count: int) -> None:
        """See `PodPoolsObserver`."""
        text = f"{pod.name} left ({self._why_left(pod)}): {_pods(count)}"
        self._recorder.record(TimelineKind.POD, text)

    def pod_lost(self, pod: PodRef, error: TuiForwardError) -> None:
        """See `PodPoolsObserver`."""
        self._recorder.record_problem(
            TimelineKind.TUNNEL, f"pod {pod.name}: {error.message}", error.code
        )
        is_gone = isinstance(error, ApiError) and error.not_found
        if is_gone and error.code is not ReasonCode.NODE_MISSING:
            self._target.invalidate(pod.uid)

    def _why_left(self, ref: PodRef) -> str:
        pod = self._target.find_pod(ref)
        if pod is None:
            return "deleted"
        if pod.deleting:
            return "terminating"
        return "not used any more" if pod.ready else "not Ready"


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"
