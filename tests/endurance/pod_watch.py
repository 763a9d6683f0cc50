"""Watch of the pods of one label, independent of the engine, and of their processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import psutil

from tests.endurance import toolbox
from tests.support.cluster_process import ClusterProcess

_PATH = f"/api/v1/namespaces/{toolbox.NAMESPACE}/pods?labelSelector=app%3D{toolbox.NAME}"


@dataclass(slots=True)
class ObservedPod:
    """The last observed state of a pod.

    Attributes:
        ready_at: Monotonic time at which it was last observed to become ready.
        container: ID of its (first) container.
    """

    name: str
    uid: str
    ready: bool = False
    deleting: bool = False
    restarts: int = 0
    container: str = ""
    ready_at: float = 0.0


class PodWatch:
    """Watch of the toolbox's pods on a connection of its own.

    Attributes:
        pods: The pods that exist, by UID.
    """

    def __init__(self, cluster: ClusterProcess) -> None:
        self.pods: dict[str, ObservedPod] = {}
        self._cluster = cluster
        self._changed = asyncio.Condition()
        pki = cluster.folder / "pki"
        self._tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, cluster: ClusterProcess) -> AsyncIterator[PodWatch]:
        """Watch until the end of the context; a pod is ready at its beginning."""
        watch = cls(cluster)
        task = asyncio.create_task(watch._watch())
        try:
            await watch.wait_for_ready_pod()
            yield watch
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def wait_for_ready_pod(self, exclude_uid: str = "") -> ObservedPod:
        """Return a ready pod other than the excluded one."""

        def find() -> ObservedPod | None:
            for pod in self.pods.values():
                if pod.ready and not pod.deleting and pod.uid != exclude_uid:
                    return pod
            return None

        return await self.wait_until(find, f"a ready pod of {_PATH}")

    async def wait_until(
        self, find: Callable[[], ObservedPod | None], description: str, timeout_s: float = 60
    ) -> ObservedPod:
        """Wait until a function of `pods` finds a pod; return it."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                while (pod := find()) is None:
                    await self._changed.wait()
                return pod
        except TimeoutError:
            raise AssertionError(
                f"timed out waiting for {description}; pods: {self.pods}"
            ) from None

    async def _get(self, target: str) -> AsyncGenerator[bytes, None]:
        """Send a GET request; yield the lines of the response as they arrive.

        Raises:
            ConnectionError: The status is not 2xx.
        """
        host, port = self._cluster.server.removeprefix("https://").split(":")
        reader, writer = await asyncio.open_connection(
            host, int(port), ssl=self._tls, limit=1 << 24
        )
        try:
            writer.write(
                f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if head.split()[1][0] != "2":
                raise ConnectionError(head)
            if "transfer-encoding: chunked" not in head:
                while line := await reader.readline():
                    yield line
                return
            rest = b""
            while size := int(await reader.readline(), 16):
                *lines, rest = (rest + await reader.readexactly(size)).split(b"\n")
                await reader.readline()
                for line in lines:
                    yield line
        finally:
            writer.transport.abort()
            # A TLS transport needs several turns of the event loop to close its socket.
            for _ in range(3):
                await asyncio.sleep(0)

    async def _watch(self) -> None:
        while True:
            # Tests restart the API server, too.
            with contextlib.suppress(OSError, ValueError, EOFError):
                await self._watch_once()
            await asyncio.sleep(0.01)

    async def _watch_once(self) -> None:
        listed = json.loads(b"".join([line async for line in self._get(_PATH)]))
        for item in listed["items"]:
            self._update(item)
        for uid in set(self.pods) - {item["metadata"]["uid"] for item in listed["items"]}:
            del self.pods[uid]
        await self._notify()
        version = listed["metadata"]["resourceVersion"]
        lines = self._get(f"{_PATH}&watch=true&resourceVersion={version}")
        async with contextlib.aclosing(lines):
            async for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "DELETED":
                    self.pods.pop(event["object"]["metadata"]["uid"], None)
                else:
                    self._update(event["object"])
                await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _update(self, pod: dict[str, Any]) -> None:
        meta, status = pod["metadata"], pod.get("status", {})
        observed = self.pods.setdefault(meta["uid"], ObservedPod(meta["name"], meta["uid"]))
        conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
        ready = conditions.get("Ready") == "True"
        containers = status.get("containerStatuses") or [{}]
        restarts = int(containers[0].get("restartCount", 0))
        if ready and (not observed.ready or restarts != observed.restarts):
            observed.ready_at = time.monotonic()
        observed.ready = ready
        observed.restarts = restarts
        observed.deleting = "deletionTimestamp" in meta
        observed.container = str(containers[0].get("containerID", "")).rpartition("/")[2]


async def find_container_pid(cluster: ClusterProcess, pod: ObservedPod) -> int:
    """Return the process ID of a pod's container."""
    for component in (await cluster.components()).values():
        pid = component.get("containers", {}).get(pod.container)
        if pid:
            return int(pid)
    raise AssertionError(f"no runtime has the container of {pod}")


def watch_process_exit(pid: int) -> asyncio.Future[float]:
    """Return a future for the monotonic time at which a process ends."""
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[float] = loop.create_future()
    if not hasattr(os, "pidfd_open"):  # macOS

        def poll() -> None:
            if exited.done():
                return
            if psutil.pid_exists(pid):
                loop.call_later(0.002, poll)
            else:
                exited.set_result(time.monotonic())

        poll()
        return exited
    descriptor = os.pidfd_open(pid)

    def set_exit_time() -> None:
        if not exited.done():
            exited.set_result(time.monotonic())

    def close(_: object) -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)

    loop.add_reader(descriptor, set_exit_time)
    exited.add_done_callback(close)
    return exited
