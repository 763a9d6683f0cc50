"""How long a kubelet waits before it tries again: restarts after crashes, and pulls."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.kubelet.config import KubeletConfig

# How long the reason is the failure itself, before it becomes the waiting.
_FRESH_S = 0.5


class CrashBackoff:
    """Waits between restarts in a row: none, then `crash_backoff_s`, doubling.

    A kubelet restarts a container at once the first time, and only then begins to wait.
    """

    def __init__(self, config: KubeletConfig) -> None:
        self._config = config
        self._known: dict[str, tuple[str, float]] = {}

    def due(self, name: str, ended: cri.ContainerStatus) -> tuple[float, float]:
        """When to start the next incarnation (epoch seconds), and the wait that is part of it."""
        known = self._known.get(name)
        if known is None or known[0] != ended.id:
            lived_s = (ended.finished_at - ended.started_at) / 1e9
            if known is None or lived_s >= self._config.crash_reset_s:
                wait_s = 0.0
            else:
                wait_s = min(
                    known[1] * 2 or self._config.crash_backoff_s,
                    self._config.crash_backoff_max_s,
                )
            known = self._known[name] = (ended.id, wait_s)
        return ended.finished_at / 1e9 + known[1], known[1]


@dataclass(slots=True)
class _Failure:
    at_s: float
    wait_s: float
    text: str


class PullBackoff:
    """Waits between failed pulls, and what the container is said to wait for meanwhile."""

    def __init__(self, config: KubeletConfig) -> None:
        self._config = config
        self._failures: dict[str, _Failure] = {}

    def failed(self, name: str, text: str) -> None:
        """A pull for this container failed."""
        old = self._failures.get(name)
        wait_s = self._config.pull_backoff_s
        if old is not None:
            wait_s = min(old.wait_s * 2, self._config.crash_backoff_max_s)
        self._failures[name] = _Failure(time.time(), wait_s, text)

    def succeeded(self, name: str) -> None:
        """A pull for this container succeeded."""
        self._failures.pop(name, None)

    def waits(self, name: str) -> bool:
        """Whether it is too early to try again."""
        failure = self._failures.get(name)
        return failure is not None and time.time() < failure.at_s + failure.wait_s

    def state(self, name: str, image: str) -> tuple[float, tuple[str, str] | None]:
        """When to look again, and reason and message until then (None: nothing failed)."""
        failure = self._failures.get(name)
        if failure is None:
            return 0.0, None
        if time.time() < failure.at_s + _FRESH_S:
            return failure.at_s + _FRESH_S, ("ErrImagePull", failure.text)
        text = f'Back-off pulling image "{image}": ErrImagePull: {failure.text}'
        return failure.at_s + failure.wait_s, ("ImagePullBackOff", text)
