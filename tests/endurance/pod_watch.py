"""Watch of a pod independent of the engine, and of its process."""

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

from tests.support.cluster_process import ClusterProcess

NAMESPACE, TOOLBOX = "ops", "toolbox"


@dataclass(slots=True)
class ObservedPod:
    """Last observed state of a pod; times are monotonic.

    Attributes:
        ready_at: When it last became ready.
        container: ID of its first container.
    """

    name: str
    uid: str
    ready: bool = False
    deleting: bool = False
    restarts: int = 0
    container: str = ""
    ready_at: float = 0.0


class PodWatch:
    """Watch of the pods with one label.

    Attributes:
        live: Pods by UID.
    """

    def __init__(self, cluster: ClusterProcess, namespace: str, app: str) -> None:
        self.live: dict[str, ObservedPod] = {}
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{app}"
        self._changed = asyncio.Condition()
        pki = cluster.folder / "pki"
        self._tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, cluster: ClusterProcess, namespace: str = NAMESPACE, app: str = TOOLBOX
    ) -> AsyncIterator[PodWatch]:
        """Start a watch; stop it at the end."""
        pods = cls(cluster, namespace, app)
        task = asyncio.create_task(pods._watch())
        try:
            await pods.wait_for_ready_pod()
            yield pods
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def wait_for_ready_pod(self, but: str = "") -> ObservedPod:
        """Return a ready pod whose UID is not `but`."""

        def found() -> ObservedPod | None:
            for pod in self.live.values():
                if pod.ready and not pod.deleting and pod.uid != but:
                    return pod
            return None

        return await self.wait_until(found, f"a ready pod of {self._path}")

    async def wait_until(
        self, found: Callable[[], ObservedPod | None], what: str, within_s: float = 60
    ) -> ObservedPod:
        """Wait until `found` returns a pod of `live`."""
        try:
            async with asyncio.timeout(within_s), self._changed:
                while (pod := found()) is None:
                    await self._changed.wait()
                return pod
        except TimeoutError:
            raise AssertionError(f"timed out waiting for {what}; pods: {self.live}") from None

    async def create(self, path: str, body: Any) -> None:
        """Create an object."""
        async for _ in self._request("POST", path, json.dumps(body).encode()):
            pass

    async def _request(
        self, method: str, target: str, body: bytes = b""
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a response as they arrive.

        Raises:
            ConnectionError: The status is not one of success.
        """
        host, port = self._cluster.server.removeprefix("https://").split(":")
        reader, writer = await asyncio.open_connection(
            host, int(port), ssl=self._tls, limit=1 << 24
        )
        try:
            writer.write(
                f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
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
            # A TLS transport needs several loop iterations to close its socket.
            for _ in range(3):
                await asyncio.sleep(0)

    async def _watch(self) -> None:
        while True:
            # The API server is restarted by tests.
            with contextlib.suppress(OSError, ValueError, EOFError):
                await self._watch_once()
            await asyncio.sleep(0.01)

    async def _watch_once(self) -> None:
        text = b"".join([line async for line in self._request("GET", self._path)])
        listed = json.loads(text)
        for item in listed["items"]:
            self._update(item)
        for uid in set(self.live) - {item["metadata"]["uid"] for item in listed["items"]}:
            del self.live[uid]
        await self._notify()
        version = listed["metadata"]["resourceVersion"]
        lines = self._request("GET", f"{self._path}&watch=true&resourceVersion={version}")
        async with contextlib.aclosing(lines):
            async for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "DELETED":
                    self.live.pop(event["object"]["metadata"]["uid"], None)
                else:
                    self._update(event["object"])
                await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _update(self, pod: dict[str, Any]) -> None:
        meta, status = pod["metadata"], pod.get("status", {})
        seen = self.live.setdefault(meta["uid"], ObservedPod(meta["name"], meta["uid"]))
        conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
        ready = conditions.get("Ready") == "True"
        containers = status.get("containerStatuses") or [{}]
        restarts = int(containers[0].get("restartCount", 0))
        if ready and (not seen.ready or restarts != seen.restarts):
            seen.ready_at = time.monotonic()
        seen.ready = ready
        seen.restarts = restarts
        seen.deleting = "deletionTimestamp" in meta
        seen.container = str(containers[0].get("containerID", "")).rpartition("/")[2]


async def find_container_pid(cluster: ClusterProcess, pod: ObservedPod) -> int:
    """Return the process id of a pod's container."""
    for hop in (await cluster.components()).values():
        pid = hop.get("containers", {}).get(pod.container)
        if pid:
            return int(pid)
    raise AssertionError(f"no runtime knows the container of {pod}")


def watch_process_exit(pid: int) -> asyncio.Future[float]:
    """Return a future of the monotonic time at which a process ends."""
    loop = asyncio.get_running_loop()
    death: asyncio.Future[float] = loop.create_future()
    if not hasattr(os, "pidfd_open"):

        def poll() -> None:
            if not psutil.pid_exists(pid) and not death.done():
                death.set_result(time.monotonic())
            elif not death.done():
                loop.call_later(0.002, poll)

        poll()
        return death
    descriptor = os.pidfd_open(pid)

    def ended(_: object = None) -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)

    def died() -> None:
        if not death.done():
            death.set_result(time.monotonic())

    loop.add_reader(descriptor, died)
    death.add_done_callback(ended)
    return death
