"""The kubelet: passes pods of the API server and events of the runtime to pod workers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable
from urllib.parse import quote

from tui_forward.errors import ApiError, TransportError
from tui_forward.minicluster.cri.client import RuntimeClient
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet import objects
from tui_forward.minicluster.kubelet.api_client import ApiClient
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.objects import Object
from tui_forward.minicluster.kubelet.pod_worker import PodWorker
from tui_forward.minicluster.kubelet.prober import Prober
from tui_forward.minicluster.kubelet.runtime_pod import Dependencies

_RUNTIME_RETRY_S = 0.1
# Events can be lost while a runtime restarts, so all pods are compared this often.
_RELIST_S = 5.0

_EMBEDDED_RUNTIME = "minicluster"
_LIST_RETRY_S = (0.05, 2.0)


class PodSource:
    """Reports the pods of the node and their changes."""

    def __init__(
        self,
        api: ApiClient,
        node: str,
        on_change: Callable[[Object], None],
        on_removal: Callable[[str], None],
    ) -> None:
        self._api = api
        self._query = f"fieldSelector={quote(f'spec.nodeName={node}')}"
        self._on_change = on_change
        self._on_removal = on_removal
        self._uids: set[str] = set()
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """List and watch the pods until canceled."""
        retry_s = _LIST_RETRY_S[0]
        while True:
            version = ""
            try:
                version = await self._list()
                retry_s = _LIST_RETRY_S[0]
                while True:
                    version = await self._watch(version)
            except ApiError as error:
                if not error.expired:
                    sys.stderr.write(f"pods: {error}\n")
            except TransportError as error:
                sys.stderr.write(f"pods: {error}\n")
            await asyncio.sleep(retry_s * random.SystemRandom().uniform(0.5, 1.0))
            retry_s = min(retry_s * 2, _LIST_RETRY_S[1])

    async def _list(self) -> str:
        pods = await self._api.request("GET", f"/api/v1/pods?{self._query}")
        seen = set()
        for pod in pods.get("items") or ():
            pod.setdefault("apiVersion", "v1")
            pod.setdefault("kind", "Pod")
            seen.add(pod["metadata"]["uid"])
            self._on_change(pod)
        for uid in self._uids - seen:
            self._on_removal(uid)
        self._uids = seen
        self.synced.set()
        return str(pods["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> str:
        """Process one watch to its end; return the version to continue from."""
        path = (
            f"/api/v1/pods?{self._query}&watch=true&allowWatchBookmarks=true"
            f"&resourceVersion={version}&timeoutSeconds={random.SystemRandom().randint(300, 600)}"
        )
        async for kind, pod in self._api.watch(path):
            version = str(pod["metadata"]["resourceVersion"])
            if kind == "BOOKMARK":
                continue
            uid = pod["metadata"]["uid"]
            if kind == "DELETED":
                self._uids.discard(uid)
                self._on_removal(uid)
            else:
                self._uids.add(uid)
                self._on_change(pod)
        return version


class Kubelet:
    """Pod workers of a node and what wakes them."""

    def __init__(self, config: KubeletConfig, api: ApiClient, runtime: RuntimeClient) -> None:
        self.config = config
        self.runtime = runtime
        self.workers: dict[str, PodWorker] = {}
        self.runtime_version = ""  # `name://version`, after `connect`
        self.source = PodSource(api, config.node, self._pod_changed, self._pod_removed)
        self._api = api
        self._dependencies: Dependencies | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._states: dict[str, tuple[str, int]] = {}

    async def connect(self) -> None:
        """Wait for the runtime and read its name and version."""
        while True:
            try:
                version = await self.runtime.version()
            except CriError as error:
                if not error.unavailable:
                    sys.stderr.write(f"runtime: {error}\n")
                await asyncio.sleep(_RUNTIME_RETRY_S)
            else:
                break
        self.runtime_version = f"{version.runtime_name}://{version.runtime_version}"
        embedded = version.runtime_name == _EMBEDDED_RUNTIME
        prober = Prober(self.runtime, inside=embedded, fast_s=self.config.probe_fast_s)
        # Container ids of the embedded runtime look like those of containerd.
        id_scheme = "containerd" if embedded else version.runtime_name
        self._dependencies = Dependencies(self.config, self._api, self.runtime, prober, id_scheme)

    def start(self) -> None:
        """Start watching pods and the runtime."""
        jobs = (self.source.run(), self._watch_events(), self._relist(), self._remove_orphans())
        self._tasks = [asyncio.create_task(job) for job in jobs]

    async def close(self) -> None:
        """Stop all workers; pods keep running."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in list(self.workers.values()):
            await worker.close()
        self.workers.clear()

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """Return the worker of the newest pod with this name."""
        newest = None
        for worker in self.workers.values():
            if worker.name == (namespace, name):
                newest = worker
        return newest

    def _pod_changed(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        worker = self.workers.get(uid)
        if worker is not None:
            worker.update(pod)
        elif self._dependencies is not None:
            self.workers[uid] = PodWorker(self._dependencies, pod, self._worker_ended)

    def _pod_removed(self, uid: str) -> None:
        worker = self.workers.get(uid)
        if worker is not None:
            worker.remove()

    def _worker_ended(self, worker: PodWorker) -> None:
        self.workers.pop(worker.uid, None)

    def _wake(self, uid: str) -> None:
        worker = self.workers.get(uid)
        if worker is not None:
            worker.wake()

    def _wake_all(self) -> None:
        for worker in self.workers.values():
            worker.wake()

    async def _watch_events(self) -> None:
        while True:
            try:
                async for event in self.runtime.container_events():
                    self._wake(event.pod_sandbox_status.metadata.uid)
            except CriError as error:
                if error.unimplemented:
                    await self._poll()
                await asyncio.sleep(_RUNTIME_RETRY_S)
                self._wake_all()

    async def _poll(self) -> None:
        """Poll a runtime without events."""
        while True:
            with contextlib.suppress(CriError):
                await self._wake_changed()
            await asyncio.sleep(self.config.relist_s)

    async def _relist(self) -> None:
        while True:
            await asyncio.sleep(_RELIST_S)
            with contextlib.suppress(CriError):
                await self._wake_changed()

    async def _wake_changed(self) -> None:
        """Wake the workers of pods whose sandboxes or containers changed since the last call."""
        states: dict[str, tuple[str, int]] = {}
        for sandbox in await self.runtime.list_pod_sandboxes():
            states[sandbox.id] = (sandbox.labels.get(objects.POD_UID, ""), sandbox.state)
        for container in await self.runtime.list_containers():
            states[container.id] = (container.labels.get(objects.POD_UID, ""), container.state)
        old, self._states = self._states, states
        for key in old.keys() | states.keys():
            before, after = old.get(key), states.get(key)
            if before != after:
                self._wake((after or before or ("", 0))[0])

    async def _remove_orphans(self) -> None:
        """After the first list, remove pods that were deleted while no kubelet ran."""
        await self.source.synced.wait()
        while True:
            try:
                for sandbox in await self.runtime.list_pod_sandboxes():
                    uid = sandbox.labels.get(objects.POD_UID, "")
                    if uid and uid not in self.workers:
                        await self.runtime.stop_pod_sandbox(sandbox.id)
                        await self.runtime.remove_pod_sandbox(sandbox.id)
            except CriError:
                await asyncio.sleep(_RUNTIME_RETRY_S)
            else:
                return
