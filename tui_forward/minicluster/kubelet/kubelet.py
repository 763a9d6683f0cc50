"""The kubelet itself: pods from the API server to workers, events from the runtime to them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Coroutine
from typing import Any

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.client import RuntimeClient
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet import labels as labels
from tui_forward.minicluster.kubelet.api_client import ApiClient, Object
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.pod_source import PodSource
from tui_forward.minicluster.kubelet.pod_worker import Node, PodWorker
from tui_forward.minicluster.kubelet.prober import Prober

_RUNTIME_RETRY_S = 0.1
# Events can be lost while a runtime restarts; this is the net below them.
_SAFETY_RELIST_S = 5.0

EMBEDDED = "minicluster"


class Kubelet:
    """Everything of a kubelet but its server.

    Args:
        config: See `KubeletConfig`.
        api: The API server.
        runtime: The CRI.

    Attributes:
        workers: By pod UID.
        source: Where pods come from.
        runtime_version: `name://version`, after `connect`.
    """

    def __init__(self, config: KubeletConfig, api: ApiClient, runtime: RuntimeClient) -> None:
        self.config = config
        self.runtime = runtime
        self.workers: dict[str, PodWorker] = {}
        self.runtime_version = ""
        self.source = PodSource(api, config.node, self._pod_changed, self._pod_removed)
        self._api = api
        self._node: Node | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._states: dict[str, tuple[str, int]] = {}

    async def connect(self) -> None:
        """Wait for the runtime, and see what it is."""
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
        embedded = version.runtime_name == EMBEDDED
        prober = Prober(self.runtime, inside=embedded, fast_s=self.config.probe_fast_s)
        # Ids look as people expect them, also from the embedded runtime.
        scheme = "containerd" if embedded else version.runtime_name
        self._node = Node(self.config, self._api, self.runtime, prober, scheme)

    def start(self) -> None:
        """Begin to work."""
        jobs: tuple[Coroutine[Any, Any, None], ...] = (
            self.source.run(),
            self._follow_events(),
            self._relist(),
            self._remove_orphans(),
        )
        self._tasks = [asyncio.create_task(job) for job in jobs]

    async def close(self) -> None:
        """Stop working; pods live on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in list(self.workers.values()):
            await worker.close()
        self.workers.clear()

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of a pod by name; of several incarnations the youngest."""
        found = None
        for worker in self.workers.values():
            if worker.name == (namespace, name):
                found = worker
        return found

    # -- from the API server --

    def _pod_changed(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        worker = self.workers.get(uid)
        if worker is not None:
            worker.update(pod)
        elif self._node is not None:
            self.workers[uid] = PodWorker(self._node, pod, self._worker_ended)

    def _pod_removed(self, uid: str) -> None:
        worker = self.workers.get(uid)
        if worker is not None:
            worker.remove()

    def _worker_ended(self, worker: PodWorker) -> None:
        self.workers.pop(worker.uid, None)

    # -- from the runtime --

    def _wake(self, uid: str) -> None:
        worker = self.workers.get(uid)
        if worker is not None:
            worker.wake()

    def _wake_all(self) -> None:
        for worker in self.workers.values():
            worker.wake()

    async def _follow_events(self) -> None:
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
        """For runtimes without events: look at everything, often."""
        while True:
            with contextlib.suppress(CriError):
                await self._compare()
            await asyncio.sleep(self.config.relist_s)

    async def _relist(self) -> None:
        while True:
            await asyncio.sleep(_SAFETY_RELIST_S)
            with contextlib.suppress(CriError):
                await self._compare()

    async def _compare(self) -> None:
        """Wake the workers of pods that look different from the last time."""
        states: dict[str, tuple[str, int]] = {}
        for sandbox in await self.runtime.list_pod_sandboxes():
            states[sandbox.id] = (sandbox.labels.get(labels.POD_UID, ""), sandbox.state)
        for container in await self.runtime.list_containers():
            states[container.id] = (container.labels.get(labels.POD_UID, ""), container.state)
        old, self._states = self._states, states
        for each in old.keys() | states.keys():
            before, after = old.get(each), states.get(each)
            if before != after:
                self._wake((after or before or ("", 0))[0])

    async def _remove_orphans(self) -> None:
        """Once, after the first list: end pods that were deleted while nobody looked."""
        await self.source.synced.wait()
        while True:
            try:
                for sandbox in await self.runtime.list_pod_sandboxes():
                    uid = sandbox.labels.get(labels.POD_UID, "")
                    if uid and uid not in self.workers:
                        await self._remove(sandbox)
            except CriError:
                await asyncio.sleep(_RUNTIME_RETRY_S)
            else:
                return

    async def _remove(self, sandbox: cri.PodSandbox) -> None:
        await self.runtime.stop_pod_sandbox(sandbox.id)
        await self.runtime.remove_pod_sandbox(sandbox.id)
