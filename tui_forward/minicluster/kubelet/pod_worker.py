"""One pod on this node: makes the runtime match the Pod object.

Level-triggered, as a kubelet is: each sync compares the Pod object with the state of the runtime
and takes the next steps, whatever the event was. A worker can therefore end with its process at
any point, and the next one continues.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Callable
from urllib.parse import quote

from tui_forward.errors import ApiError, TransportError
from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet import cri_config, pod_status
from tui_forward.minicluster.kubelet.api_client import MERGE_PATCH, ApiClient
from tui_forward.minicluster.kubelet.container_starter import ContainerStarter
from tui_forward.minicluster.kubelet.events import PodEvents
from tui_forward.minicluster.kubelet.objects import Object, full_name
from tui_forward.minicluster.kubelet.pod_sources import missing_volume
from tui_forward.minicluster.kubelet.pod_status import ContainerView, PodView
from tui_forward.minicluster.kubelet.prober import ProbeManager
from tui_forward.minicluster.kubelet.runtime_pod import Dependencies, RuntimePod, RuntimeStatus

_RETRY_S = (0.1, 5.0)
_FLUSH_TIMEOUT_S = 5.0
_DEFAULT_GRACE_S = 30
_STATUS_RETRY_S = (0.1, 2.0)
_MOUNT_RETRY_S = 2.0


class StatusManager:
    """Task that sends the latest status of a pod and drops older ones."""

    def __init__(self, api: ApiClient, pod: Object) -> None:
        metadata = pod["metadata"]
        self._api = api
        self._uid = metadata["uid"]
        self._path = (
            f"/api/v1/namespaces/{quote(metadata['namespace'])}/pods/{quote(metadata['name'])}"
        )
        self._pending: Object | None = None
        self._sent: Object = pod.get("status") or {}
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.create_task(self._run(), name=f"status {self._path}")

    def report(self, status: Object) -> None:
        """Send `status` unless it was sent last."""
        if status == (self._pending if self._pending is not None else self._sent):
            return
        self._pending = status
        self._idle.clear()
        self._changed.set()

    async def flush(self, timeout_s: float) -> None:
        """Wait until the latest status was sent, at most `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    async def delete(self) -> None:
        """Delete the Pod object, the last step of a graceful deletion, unless it is gone."""
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        body["preconditions"] = {"uid": self._uid}
        try:
            await self._api.request("DELETE", self._path, body)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def close(self) -> None:
        """Stop; a status that was not sent is lost."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        retry_s = _STATUS_RETRY_S[0]
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._pending is not None:
                status = self._pending
                if await self._send(status):
                    retry_s = _STATUS_RETRY_S[0]
                    self._sent = status
                    if self._pending is status:
                        self._pending = None
                else:
                    await asyncio.sleep(retry_s)
                    retry_s = min(retry_s * 2, _STATUS_RETRY_S[1])
            self._idle.set()

    async def _send(self, status: Object) -> bool:
        """Send a status; return False if it should be retried."""
        removed: Object = {key: None for key in self._sent if key not in status}
        # The UID makes a patch of a pod that was replaced under the same name fail.
        body: Object = {"metadata": {"uid": self._uid}, "status": {**status, **removed}}
        try:
            await self._api.request("PATCH", f"{self._path}/status", body, content_type=MERGE_PATCH)
        except ApiError as error:
            if error.status >= 500 or error.status in (401, 403, 429):
                sys.stderr.write(f"status: {error}\n")
                return False
            return True
        except TransportError:
            return False
        return True


class PodWorker:
    """Syncs one pod of this node until it is gone from the runtime and the API."""

    def __init__(
        self, dependencies: Dependencies, pod: Object, on_end: Callable[[PodWorker], None]
    ) -> None:
        self.pod = pod
        self.view = PodView(id_scheme=dependencies.id_scheme)
        self._config = dependencies.config
        self._api = dependencies.api
        self._events = PodEvents(dependencies.api, dependencies.config.node)
        self._root = dependencies.root
        self._on_end = on_end
        self.uid: str = pod["metadata"]["uid"]
        self._removed = False
        self._woken = asyncio.Event()
        self._sync_at: float | None = None
        self._runtime_pod = RuntimePod(dependencies, self.uid)
        self._starter = ContainerStarter(dependencies, self._runtime_pod, self._schedule)
        self._probes = ProbeManager(dependencies.prober, self.wake)
        self._status_manager = StatusManager(dependencies.api, pod)
        self._task = asyncio.create_task(self._run(), name=f"pod {full_name(pod)}")

    @property
    def name(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.pod["metadata"]["namespace"], self.pod["metadata"]["name"]

    def update(self, pod: Object) -> None:
        """Replace the Pod object, and sync if its spec or metadata changed."""
        old, self.pod = self.pod, pod
        # Status changes are the kubelet's own reports and need no sync.
        if _relevant_fields(old) != _relevant_fields(pod):
            self.wake()

    def remove(self) -> None:
        """Terminate the pod: its Pod object is gone."""
        self._removed = True
        self.wake()

    def wake(self) -> None:
        """Sync soon."""
        self._woken.set()

    def force_unready(self, container: str | None, *, unready: bool) -> None:
        """Fault: keep one container, or all (None), unready whatever probes report."""
        names = [container["name"] for container in self.pod["spec"]["containers"]]
        self._probes.force_unready([container] if container else names, unready=unready)

    @property
    def ended(self) -> bool:
        """Whether the worker has finished with its pod."""
        return self._task.done()

    @property
    def forced_unready(self) -> bool:
        """Whether a fault keeps any container unready."""
        return self._probes.forced_unready

    async def newest_sandbox(self) -> cri.PodSandbox | None:
        """Return the pod's newest sandbox, ready or not. Raises `CriError`: the call failed."""
        return next(iter(await self._runtime_pod.list_sandboxes()), None)

    async def close(self) -> None:
        """Stop the worker; the pod keeps running."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._close_parts()

    async def _close_parts(self) -> None:
        await self._probes.close()
        await self._status_manager.close()

    async def _run(self) -> None:
        retry_s = _RETRY_S[0]
        while True:
            self._woken.clear()
            self._sync_at = None
            try:
                if await self._sync():
                    break
                retry_s = _RETRY_S[0]
            except (CriError, ApiError, TransportError, OSError) as error:
                sys.stderr.write(f"pod {full_name(self.pod)}: {error}\n")
                self._schedule(time.time() + retry_s)
                retry_s = min(retry_s * 2, _RETRY_S[1])
            await self._wait()
        await self._close_parts()
        self._on_end(self)

    def _schedule(self, at_s: float) -> None:
        """Sync at this time (epoch seconds) at the latest."""
        self._sync_at = at_s if self._sync_at is None else min(self._sync_at, at_s)

    async def _wait(self) -> None:
        delay_s = None if self._sync_at is None else max(0.0, self._sync_at - time.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._woken.wait()

    async def _sync(self) -> bool:
        """Take the next steps; return True when nothing is left to do for this pod."""
        status = await self._runtime_pod.read_status()
        if self._removed or "deletionTimestamp" in self.pod["metadata"]:
            await self._terminate(status)
            return True
        self._refresh(status)
        sandbox = status.ready_sandbox
        if pod_status.get_phase(self.pod, self.view) in ("Succeeded", "Failed"):
            if sandbox is not None:
                await self._runtime_pod.runtime.stop_pod_sandbox(sandbox.id)
                self.view.sandbox_ready = False
            self._report()
            return False
        if sandbox is None:
            self._report()
            if message := await missing_volume(self._api, self.pod):
                await self._events.report(self.pod, "Warning", "FailedMount", message)
                self._schedule(time.time() + _MOUNT_RETRY_S)
                return False
            await self._runtime_pod.create_sandbox(self.pod, status)
            sandbox = status.sandboxes[0]
            self.view.sandbox_ready = True
            self.view.ip = status.ip
            self._report()
        started = await self._starter.start_due(self.pod, self.view, sandbox)
        if self.view.initialized:
            await self._runtime_pod.remove_old_containers(status)
        if started:
            self.wake()
        self._report()
        self._probes.update(self.pod, self.view)
        return False

    def _refresh(self, status: RuntimeStatus) -> None:
        spec = self.pod["spec"]
        self.view.sandbox_ready = status.ready_sandbox is not None
        if self.view.sandbox_ready:
            self.view.ip = status.ip or (self._config.listen if spec.get("hostNetwork") else "")
        inits = spec.get("initContainers") or ()
        self.view.containers = [self._container_view(each, status) for each in spec["containers"]]
        self.view.init_containers = [self._container_view(each, status) for each in inits]

    def _container_view(self, container: Object, status: RuntimeStatus) -> ContainerView:
        name = container["name"]
        incarnations = status.containers.get(name) or []
        current = incarnations[0] if incarnations else None
        view = ContainerView(
            name=name,
            image=container["image"],
            current=current,
            previous=incarnations[1] if len(incarnations) > 1 else None,
            restarts=current.metadata.attempt if current is not None else 0,
        )
        if current is not None and view.running:
            self._starter.waiting.pop(name, None)
            view.ready = self._probes.is_ready(container, current.id)
        else:
            view.waiting = self._starter.waiting.get(name)
        return view

    def _report(self) -> None:
        self._status_manager.report(
            pod_status.build(self.pod, self.view, host_ip=self._config.listen, now_s=time.time())
        )

    def _grace_s(self) -> int:
        if self._removed:
            return 1
        grace_s = self.pod["metadata"].get("deletionGracePeriodSeconds")
        return _DEFAULT_GRACE_S if grace_s is None else int(grace_s)

    async def _terminate(self, status: RuntimeStatus) -> None:
        """Stop containers and sandboxes, then delete the Pod object."""
        self._refresh(status)
        if not self._removed:
            self._report()
        await self._runtime_pod.stop_containers(status, self._grace_s, self._woken)
        for sandbox in status.sandboxes:
            await self._runtime_pod.runtime.stop_pod_sandbox(sandbox.id)
        if not self._removed:
            self._refresh(await self._runtime_pod.read_status())
            self.view.sandbox_ready = False
            self._report()
            await self._status_manager.flush(_FLUSH_TIMEOUT_S)
            await self._status_manager.delete()
        for sandbox in status.sandboxes:
            await self._runtime_pod.runtime.remove_pod_sandbox(sandbox.id)
        shutil.rmtree(cri_config.log_directory(self._root, self.pod), ignore_errors=True)


def _relevant_fields(pod: Object) -> Object:
    """Return the fields of a Pod object whose change requires a sync."""
    ignored = ("resourceVersion", "managedFields")
    metadata = {key: value for key, value in pod["metadata"].items() if key not in ignored}
    return {"metadata": metadata, "spec": pod.get("spec")}
