"""One pod on this node: makes the runtime match the Pod object, again and again.

Level-triggered, as a kubelet is: whatever woke the worker, it looks at the pod, at what the
runtime has, and takes the next steps. A worker can therefore die with its process at any point,
and the next one goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tui_forward.errors import ApiError, TransportError
from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.client import RuntimeClient
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet import cri_config, labels, pod_status
from tui_forward.minicluster.kubelet.api_client import ApiClient, Object
from tui_forward.minicluster.kubelet.backoff import CrashBackoff, PullBackoff
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.pod_status import ContainerView, PodView
from tui_forward.minicluster.kubelet.prober import Prober
from tui_forward.minicluster.kubelet.status_manager import StatusManager

_RETRY_S = (0.1, 5.0)
_FLUSH_S = 5.0
_DEFAULT_GRACE_S = 30


@dataclass(slots=True)
class Node:
    """What all workers of a kubelet share."""

    config: KubeletConfig
    api: ApiClient
    runtime: RuntimeClient
    prober: Prober
    scheme: str

    @property
    def root(self) -> Path:
        """The kubelet's folder."""
        return Path(self.config.state_dir)


@dataclass(slots=True)
class _Found:
    """What the runtime has of a pod, newest first."""

    sandboxes: list[cri.PodSandbox]
    containers: dict[str, list[cri.ContainerStatus]] = field(default_factory=dict)

    @property
    def sandbox(self) -> cri.PodSandbox | None:
        newest = self.sandboxes[0] if self.sandboxes else None
        return newest if newest is not None and newest.state == cri.SANDBOX_READY else None

    def all(self) -> list[cri.ContainerStatus]:
        return [each for incarnations in self.containers.values() for each in incarnations]


class PodWorker:
    """The life of one pod on this node.

    Args:
        node: What the workers share.
        pod: The Pod object.
        ended: Called when the pod is gone from runtime and API.

    Attributes:
        pod: The latest Pod object.
        view: The latest picture of its containers.
    """

    def __init__(self, node: Node, pod: Object, ended: Callable[[PodWorker], None]) -> None:
        self.pod = pod
        self.view = PodView(scheme=node.scheme)
        self._node = node
        self._on_end = ended
        self._uid: str = pod["metadata"]["uid"]
        self._removed = False
        self._woken = asyncio.Event()
        self._wake_at: float | None = None
        self._crashes = CrashBackoff(node.config)
        self._pulls = PullBackoff(node.config)
        self._verdicts: dict[str, bool] = {}
        self._probes: dict[str, asyncio.Task[None]] = {}
        self._forced_unready: set[str] = set()
        self._waiting: dict[str, tuple[str, str]] = {}
        self._ips: dict[str, str] = {}
        self._reporter = StatusManager(node.api, pod)
        self._task = asyncio.create_task(self._run(), name=f"pod {cri_config.full_name(pod)}")

    # -- from outside --

    @property
    def name(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.pod["metadata"]["namespace"], self.pod["metadata"]["name"]

    @property
    def uid(self) -> str:
        """UID."""
        return self._uid

    def update(self, pod: Object) -> None:
        """The Pod object changed."""
        old, self.pod = self.pod, pod
        # The kubelet's own reports come back as changes; they need no work.
        if _but_version(old) != _but_version(pod):
            self.wake()

    def remove(self) -> None:
        """The Pod object is gone."""
        self._removed = True
        self.wake()

    def wake(self) -> None:
        """Something about the pod may have changed."""
        self._woken.set()

    def force_unready(self, container: str | None, *, unready: bool) -> None:
        """Fault: containers are not ready, whatever their probes say."""
        every = [each["name"] for each in self.pod["spec"]["containers"]]
        for each in [container] if container else every:
            if unready:
                self._forced_unready.add(each)
            else:
                self._forced_unready.discard(each)
        self.wake()

    @property
    def ended(self) -> bool:
        """Whether the worker has finished with its pod."""
        return self._task.done()

    @property
    def forced_unready(self) -> bool:
        """Whether a fault holds any container unready."""
        return bool(self._forced_unready)

    async def newest_sandbox(self) -> cri.PodSandbox | None:
        """The pod's newest sandbox, ready or not.

        Raises:
            CriError: The runtime does not answer.
        """
        return next(iter((await self._look(statuses=False)).sandboxes), None)

    async def close(self) -> None:
        """Stop working; the pod lives on."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._cleanup_tasks()

    async def _cleanup_tasks(self) -> None:
        for task in self._probes.values():
            task.cancel()
        await asyncio.gather(*self._probes.values(), return_exceptions=True)
        self._probes.clear()
        await self._reporter.close()

    # -- the loop --

    async def _run(self) -> None:
        retry_s = _RETRY_S[0]
        while True:
            self._woken.clear()
            self._wake_at = None
            try:
                if await self._sync():
                    break
                retry_s = _RETRY_S[0]
            except (CriError, ApiError, TransportError, OSError) as error:
                sys.stderr.write(f"pod {cri_config.full_name(self.pod)}: {error}\n")
                self._at(time.time() + retry_s)
                retry_s = min(retry_s * 2, _RETRY_S[1])
            await self._wait()
        await self._cleanup_tasks()
        self._on_end(self)

    def _at(self, when_s: float) -> None:
        """Look again at that time at the latest."""
        self._wake_at = when_s if self._wake_at is None else min(self._wake_at, when_s)

    async def _wait(self) -> None:
        delay = None if self._wake_at is None else max(0.0, self._wake_at - time.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._woken.wait()

    async def _sync(self) -> bool:
        """One round; True when nothing is left to be done for this pod, ever."""
        found = await self._look()
        if self._removed or "deletionTimestamp" in self.pod["metadata"]:
            await self._terminate(found)
            return True
        self._refresh(found)
        if pod_status.phase(self.pod, self.view) in ("Succeeded", "Failed"):
            if found.sandbox is not None:
                await self._node.runtime.stop_pod_sandbox(found.sandbox.id)
                self.view.sandbox_ready = False
            self._report()
            return False
        sandbox = found.sandbox
        if sandbox is None:
            self._report()
            sandbox = await self._new_sandbox(found)
            self._report()
        if await self._start_what_should_run(found, sandbox):
            self.wake()
        self._report()
        self._probe()
        return False

    async def _look(self, *, statuses: bool = True) -> _Found:
        runtime = self._node.runtime
        selector = {labels.POD_UID: self._uid}
        sandboxes = await runtime.list_pod_sandboxes(selector)
        sandboxes.sort(key=lambda each: each.created_at, reverse=True)
        found = _Found(sandboxes)
        if not statuses:
            return found
        listed = await runtime.list_containers(selector)
        for each in await asyncio.gather(
            *(runtime.container_status(container.id) for container in listed)
        ):
            found.containers.setdefault(each.metadata.name, []).append(each)
        for incarnations in found.containers.values():
            incarnations.sort(key=lambda each: each.created_at, reverse=True)
        sandbox = found.sandbox
        if sandbox is not None and sandbox.id not in self._ips:
            state = await runtime.pod_sandbox_status(sandbox.id)
            self._ips = {sandbox.id: state.network.ip}
        return found

    # -- the picture --

    def _refresh(self, found: _Found) -> None:
        sandbox = found.sandbox
        spec = self.pod["spec"]
        self.view.sandbox_ready = sandbox is not None
        if sandbox is not None:
            self.view.ip = self._ips.get(sandbox.id) or (
                self._node.config.listen if spec.get("hostNetwork") else ""
            )
        self.view.containers = [self._container(each, found) for each in spec["containers"]]
        self.view.init_containers = [
            self._container(each, found) for each in spec.get("initContainers") or ()
        ]

    def _container(self, container: Object, found: _Found) -> ContainerView:
        name = container["name"]
        incarnations = found.containers.get(name) or []
        current = incarnations[0] if incarnations else None
        view = ContainerView(
            name=name,
            image=container["image"],
            current=current,
            previous=incarnations[1] if len(incarnations) > 1 else None,
            restarts=current.metadata.attempt if current is not None else 0,
        )
        if not view.running:
            view.waiting = self._waiting.get(name)
            if view.ended and view.waiting is not None and view.waiting[0] == "ContainerCreating":
                view.waiting = None
        if current is not None and view.running:
            self._waiting.pop(name, None)
            view.ready = name not in self._forced_unready and (
                "readinessProbe" not in container or self._verdicts.get(current.id, False)
            )
        return view

    def _report(self) -> None:
        self._reporter.report(
            pod_status.build(
                self.pod, self.view, host_ip=self._node.config.listen, now_s=time.time()
            )
        )

    # -- bringing it up --

    async def _new_sandbox(self, found: _Found) -> cri.PodSandbox:
        runtime = self._node.runtime
        attempt = found.sandboxes[0].metadata.attempt + 1 if found.sandboxes else 0
        config = cri_config.sandbox_config(self.pod, self._node.root, attempt)
        sandbox_id = await runtime.run_pod_sandbox(config)
        state = await runtime.pod_sandbox_status(sandbox_id)
        self._ips = {sandbox_id: state.network.ip}
        self.view.sandbox_ready = True
        self.view.ip = state.network.ip
        for old in found.sandboxes:
            # Its containers are needed for their last state and their logs only as long as
            # the pod has no newer ones.
            with contextlib.suppress(CriError):
                await runtime.stop_pod_sandbox(old.id)
        return cri.PodSandbox(
            id=sandbox_id, metadata=state.metadata, state=state.state, created_at=state.created_at
        )

    async def _start_what_should_run(self, found: _Found, sandbox: cri.PodSandbox) -> bool:
        """Start containers that are due; whether any was started."""
        for container, view in zip(
            self.pod["spec"].get("initContainers") or (), self.view.init_containers, strict=True
        ):
            if not view.succeeded:
                return not view.running and await self._start_if_due(container, view, sandbox)
        started = await asyncio.gather(
            *(
                self._start_if_due(container, view, sandbox)
                for container, view in zip(
                    self.pod["spec"]["containers"], self.view.containers, strict=True
                )
                if not view.running
            )
        )
        await self._remove_old(found)
        return any(started)

    async def _start_if_due(
        self, container: Object, view: ContainerView, sandbox: cri.PodSandbox
    ) -> bool:
        name = view.name
        if view.current is not None and view.ended:
            policy = self.pod["spec"].get("restartPolicy", "Always")
            if policy == "Never" or (policy == "OnFailure" and view.succeeded):
                return False
            due, wait_s = self._crashes.due(name, view.current)
            if due > time.time():
                text = (
                    f"back-off {cri_config.go_duration(wait_s)} restarting failed container={name} "
                    f"pod={cri_config.full_name(self.pod)}({self._uid})"
                )
                self._set_waiting(view, "CrashLoopBackOff", text)
                self._at(due)
                return False
        if not await self._have_image(container, view):
            return False
        self._waiting.pop(name, None)
        attempt = 0
        if view.current is not None:
            # A container that was made and never started is made again under its number.
            attempt = view.current.metadata.attempt + (1 if view.ended else 0)
            if not view.ended:
                await self._node.runtime.remove_container(view.current.id)
        try:
            await self._start(container, sandbox, attempt)
        except CriError as error:
            self._set_waiting(view, "CreateContainerError", error.message)
            self._at(time.time() + self._node.config.pull_backoff_s)
            return False
        return True

    async def _start(self, container: Object, sandbox: cri.PodSandbox, attempt: int) -> None:
        runtime = self._node.runtime
        config = cri_config.container_config(
            self.pod,
            container,
            self._node.root,
            attempt,
            pod_ip=self.view.ip,
            host_ip=self._node.config.listen,
        )
        folder = cri_config.log_directory(self._node.root, self.pod) / container["name"]
        folder.mkdir(parents=True, exist_ok=True)
        sandbox_config = cri_config.sandbox_config(
            self.pod, self._node.root, sandbox.metadata.attempt
        )
        container_id = await runtime.create_container(sandbox.id, config, sandbox_config)
        await runtime.start_container(container_id)

    async def _have_image(self, container: Object, view: ContainerView) -> bool:
        image, name = container["image"], view.name
        policy = container.get("imagePullPolicy", "IfNotPresent")
        if self._pulls.waits(name):
            look_at, why = self._pulls.state(name, image)
            if why is not None:
                self._set_waiting(view, *why)
            self._at(look_at)
            return False
        runtime = self._node.runtime
        if policy != "Always" and await runtime.image_status(image) is not None:
            return True
        if policy == "Never":
            text = f'Container image "{image}" is not present with pull policy of Never'
            self._set_waiting(view, "ErrImageNeverPull", text)
            self._at(time.time() + self._node.config.crash_backoff_max_s)
            return False
        try:
            await runtime.pull_image(image)
        except CriError as error:
            if error.unavailable:
                raise
            self._pulls.failed(name, str(error))
            self._set_waiting(view, "ErrImagePull", str(error))
            self._at(self._pulls.state(name, image)[0])
            return False
        self._pulls.succeeded(name)
        return True

    def _set_waiting(self, view: ContainerView, reason: str, message: str) -> None:
        self._waiting[view.name] = (reason, message)
        view.waiting = (reason, message)

    async def _remove_old(self, found: _Found) -> None:
        """Keep the newest incarnation of each container and the one before; drop the rest."""
        kept: set[str] = set()
        for incarnations in found.containers.values():
            kept.update(each.id for each in incarnations[:2])
            for old in incarnations[2:]:
                await self._node.runtime.remove_container(old.id)
                log = Path(old.log_path) if old.log_path else None
                if log is not None:
                    log.unlink(missing_ok=True)

    # -- readiness --

    def _probe(self) -> None:
        """Have a probe running for each container that wants one, and for no other."""
        wanted: dict[str, Object] = {}
        for container, view in zip(
            self.pod["spec"]["containers"], self.view.containers, strict=True
        ):
            if view.running and view.current is not None and "readinessProbe" in container:
                wanted[view.current.id] = container
        for container_id in set(self._probes) - set(wanted):
            self._probes.pop(container_id).cancel()
            self._verdicts.pop(container_id, None)
        for container_id in set(wanted) - set(self._probes):
            container = wanted[container_id]

            def verdict(ready: bool, container_id: str = container_id) -> None:
                self._verdicts[container_id] = ready
                self.wake()

            self._probes[container_id] = asyncio.create_task(
                self._node.prober.watch(
                    container["readinessProbe"], container, container_id, self.view.ip, verdict
                ),
                name=f"probe {container['name']}",
            )

    # -- taking it down --

    def _grace_s(self) -> int:
        if self._removed:
            return 1
        grace = self.pod["metadata"].get("deletionGracePeriodSeconds")
        return _DEFAULT_GRACE_S if grace is None else int(grace)

    async def _terminate(self, found: _Found) -> None:
        """End the pod: containers, sandbox, Pod object, in this order."""
        runtime = self._node.runtime
        self._refresh(found)
        if not self._removed:
            self._report()
        await self._stop_containers(found)
        for sandbox in found.sandboxes:
            await runtime.stop_pod_sandbox(sandbox.id)
        if not self._removed:
            self._refresh(await self._look())
            self.view.sandbox_ready = False
            self._report()
            await self._reporter.flush(_FLUSH_S)
            await self._reporter.delete()
        for sandbox in found.sandboxes:
            await runtime.remove_pod_sandbox(sandbox.id)
        shutil.rmtree(cri_config.log_directory(self._node.root, self.pod), ignore_errors=True)

    async def _stop_containers(self, found: _Found) -> None:
        """SIGTERM and grace for all at once; a shorter grace may come while they stop."""
        running = [each.id for each in found.all() if each.state == cri.CONTAINER_RUNNING]
        if not running:
            return
        grace = self._grace_s()
        tasks = {self._stop_task(each, grace) for each in running}
        try:
            while tasks:
                self._woken.clear()
                waiter = asyncio.ensure_future(self._woken.wait())
                done, _ = await asyncio.wait({*tasks, waiter}, return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
                for task in done & tasks:
                    tasks.discard(task)
                    task.result()
                if self._grace_s() < grace:
                    grace = self._grace_s()
                    tasks |= {self._stop_task(each, grace) for each in running}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _stop_task(self, container_id: str, grace_s: int) -> asyncio.Task[None]:
        return asyncio.create_task(self._node.runtime.stop_container(container_id, grace_s))


def _but_version(pod: Object) -> Object:
    """What of a Pod object makes work for a kubelet."""
    ignored = ("resourceVersion", "managedFields")
    metadata = {key: value for key, value in pod["metadata"].items() if key not in ignored}
    return {"metadata": metadata, "spec": pod.get("spec")}
