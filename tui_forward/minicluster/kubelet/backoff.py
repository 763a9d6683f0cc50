"""Back-off of a kubelet: delays between container restarts and between image pulls."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.kubelet.config import KubeletConfig

# How long the waiting reason is the failure itself, before it becomes the back-off.
_FRESH_S = 0.5


class CrashBackoff:
    """Delays between consecutive restarts: none, then `crash_backoff_s`, doubling.

    A kubelet restarts a container immediately the first time and only then starts to wait.
    """

    def __init__(self, config: KubeletConfig) -> None:
        self._config = config
        # By container name: id of the last exited incarnation, and its delay.
        self._delays: dict[str, tuple[str, float]] = {}

    def next_start(self, name: str, exited: cri.ContainerStatus) -> tuple[float, float]:
        """Return when to start the next incarnation (epoch seconds) and the delay included."""
        last = self._delays.get(name)
        if last is None or last[0] != exited.id:
            uptime_s = (exited.finished_at - exited.started_at) / 1e9
            if last is None or uptime_s >= self._config.crash_reset_s:
                delay_s = 0.0
            else:
                delay_s = min(
                    last[1] * 2 or self._config.crash_backoff_s,
                    self._config.crash_backoff_max_s,
                )
            last = self._delays[name] = (exited.id, delay_s)
        return exited.finished_at / 1e9 + last[1], last[1]


@dataclass(slots=True)
class _Failure:
    at_s: float
    delay_s: float
    text: str


class PullBackoff:
    """Delays between failed image pulls, and the waiting reasons meanwhile."""

    def __init__(self, config: KubeletConfig) -> None:
        self._config = config
        self._failures: dict[str, _Failure] = {}

    def record_failure(self, name: str, text: str) -> float:
        """Record a failed pull; return when the waiting reason changes (epoch seconds)."""
        last = self._failures.get(name)
        delay_s = self._config.pull_backoff_s
        if last is not None:
            delay_s = min(last.delay_s * 2, self._config.crash_backoff_max_s)
        now = time.time()
        self._failures[name] = _Failure(now, delay_s, text)
        return now + _FRESH_S

    def record_success(self, name: str) -> None:
        """Forget the failures of a container's image."""
        self._failures.pop(name, None)

    def waiting_state(self, name: str, image: str) -> tuple[float, str, str] | None:
        """Return when to sync again, waiting reason and message; None if a pull may start."""
        failure = self._failures.get(name)
        now = time.time()
        if failure is None or now >= failure.at_s + failure.delay_s:
            return None
        if now < failure.at_s + _FRESH_S:
            return failure.at_s + _FRESH_S, "ErrImagePull", failure.text
        text = f'Back-off pulling image "{image}": ErrImagePull: {failure.text}'
        return failure.at_s + failure.delay_s, "ImagePullBackOff", text
