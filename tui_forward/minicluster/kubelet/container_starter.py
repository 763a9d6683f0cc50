"""Start of a pod's containers: restart policy, back-off, images."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet import cri_config
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.objects import Object, full_name
from tui_forward.minicluster.kubelet.pod_sources import missing_environment
from tui_forward.minicluster.kubelet.pod_status import ContainerView, PodView
from tui_forward.minicluster.kubelet.runtime_pod import Dependencies, RunContainerError, RuntimePod

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
            # One that could not be started has no start.
            uptime_s = (exited.finished_at - (exited.started_at or exited.finished_at)) / 1e9
            if last is None or uptime_s >= self._config.crash_reset_s:
                delay_s = 0.0
            else:
                delay_s = min(
                    last[1] * 2 or self._config.crash_backoff_s, self._config.crash_backoff_max_s
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


_IMAGE = re.compile(r"[A-Za-z0-9][\w.:/@-]*")


def _image_name_error(image: str) -> str:
    """Return why a text cannot be the name of an image, in Go's words; empty if it can."""
    domain, slash, rest = image.partition("/")
    name = (rest if slash else domain).partition("@")[0].partition(":")[0]
    if name != name.lower():
        cause = f"invalid reference format: repository name ({name}) must be lowercase"
    elif not name or not _IMAGE.fullmatch(image):
        cause = "invalid reference format"
    else:
        return ""
    cause = f'couldn\'t parse image name "{image}": {cause}'
    return f'Failed to apply default image tag "{image}": {cause}'


class ContainerStarter:
    """Starts containers of one pod, and keeps the reasons why others wait."""

    def __init__(
        self, dependencies: Dependencies, runtime_pod: RuntimePod, retry_at: Callable[[float], None]
    ) -> None:
        # (reason, message) of containers that cannot start yet, by name.
        self.waiting: dict[str, tuple[str, str]] = {}
        self._config = dependencies.config
        self._api = dependencies.api
        self._runtime = dependencies.runtime
        self._runtime_pod = runtime_pod
        self._retry_at = retry_at
        self._crash_backoff = CrashBackoff(dependencies.config)
        self._pull_backoff = PullBackoff(dependencies.config)

    async def start_due(self, pod: Object, view: PodView, sandbox: cri.PodSandbox) -> bool:
        """Start containers that are due, init containers first; return whether any was started."""
        for container, init in zip(
            pod["spec"].get("initContainers") or (), view.init_containers, strict=True
        ):
            if not init.succeeded:
                return not init.running and await self._start_if_due(
                    pod, container, init, sandbox, view.ip
                )
        started = await asyncio.gather(
            *(
                self._start_if_due(pod, container, container_view, sandbox, view.ip)
                for container, container_view in zip(
                    pod["spec"]["containers"], view.containers, strict=True
                )
                if not container_view.running
            )
        )
        return any(started)

    async def _start_if_due(
        self,
        pod: Object,
        container: Object,
        view: ContainerView,
        sandbox: cri.PodSandbox,
        pod_ip: str,
    ) -> bool:
        name = view.name
        if view.current is not None and view.ended:
            policy = pod["spec"].get("restartPolicy", "Always")
            if policy == "Never" or (policy == "OnFailure" and view.succeeded):
                self.waiting.pop(name, None)
                view.waiting = None
                return False
            due_s, wait_s = self._crash_backoff.next_start(name, view.current)
            if due_s > time.time():
                text = (
                    f"back-off {cri_config.go_duration(wait_s)} restarting failed container={name} "
                    f"pod={full_name(pod)}({pod['metadata']['uid']})"
                )
                self._wait(view, "CrashLoopBackOff", text, due_s)
                return False
        if not await self._ensure_image(container, view):
            return False
        if missing := await missing_environment(self._api, pod, container):
            retry_s = time.time() + self._config.pull_backoff_s
            self._wait(view, "CreateContainerConfigError", missing, retry_s)
            return False
        self.waiting.pop(name, None)
        attempt = 0
        if view.current is not None:
            # A container that was created and never started is created again as that attempt.
            attempt = view.current.metadata.attempt + (1 if view.ended else 0)
            if not view.ended:
                await self._runtime.remove_container(view.current.id)
        try:
            await self._runtime_pod.start_container(pod, container, sandbox, attempt, pod_ip)
        except CriError as error:
            is_created = isinstance(error, RunContainerError)
            reason = "RunContainerError" if is_created else "CreateContainerError"
            self._wait(view, reason, error.message, time.time() + self._config.pull_backoff_s)
            return False
        return True

    async def _ensure_image(self, container: Object, view: ContainerView) -> bool:
        """Pull the image if the policy requires it; return whether it is there."""
        image, name = container["image"], view.name
        policy = container.get("imagePullPolicy", "IfNotPresent")
        if invalid := _image_name_error(image):
            retry_s = time.time() + self._config.crash_backoff_max_s
            self._wait(view, "InvalidImageName", invalid, retry_s)
            return False
        backoff = self._pull_backoff.waiting_state(name, image)
        if backoff is not None:
            retry_s, reason, message = backoff
            self._wait(view, reason, message, retry_s)
            return False
        if policy != "Always" and await self._runtime.image_status(image) is not None:
            return True
        if policy == "Never":
            text = f'Container image "{image}" is not present with pull policy of Never'
            retry_s = time.time() + self._config.crash_backoff_max_s
            self._wait(view, "ErrImageNeverPull", text, retry_s)
            return False
        try:
            await self._runtime.pull_image(image)
        except CriError as error:
            if error.unavailable:
                raise
            # As a kubelet of 1.36: without the status of the call.
            retry_s = self._pull_backoff.record_failure(name, error.message)
            self._wait(view, "ErrImagePull", error.message, retry_s)
            return False
        self._pull_backoff.record_success(name)
        return True

    def _wait(self, view: ContainerView, reason: str, message: str, retry_s: float) -> None:
        self.waiting[view.name] = view.waiting = (reason, message)
        self._retry_at(retry_s)
