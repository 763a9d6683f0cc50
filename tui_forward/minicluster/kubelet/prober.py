"""Readiness probes of containers and their results."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from tui_forward.minicluster.cri.client import RuntimeClient
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet.objects import Object
from tui_forward.minicluster.kubelet.pod_status import PodView


class Prober:
    """Runs the probes that `readinessProbe` describes, at least every `fast_s` until a success.

    Ports are probed from `inside` the pod, with the runtime's `/probe` command, if the pods cannot
    be reached from the node, as those of the embedded runtime.
    """

    def __init__(self, runtime: RuntimeClient, *, inside: bool, fast_s: float) -> None:
        self._runtime = runtime
        self._inside = inside
        self._fast_s = fast_s

    async def run(
        self,
        probe: Object,
        container: Object,
        container_id: str,
        pod_ip: str,
        report: Callable[[bool], None],
    ) -> None:
        """Probe until canceled; report every change of the result."""
        await asyncio.sleep(float(probe.get("initialDelaySeconds") or 0))
        period_s = float(probe.get("periodSeconds") or 10)
        thresholds = {
            True: int(probe.get("successThreshold") or 1),
            False: int(probe.get("failureThreshold") or 3),
        }
        timeout_s = float(probe.get("timeoutSeconds") or 1)
        check = self._make_check(probe, container, container_id, pod_ip, timeout_s)
        ready = False
        was_ready = False
        differing = 0
        while True:
            try:
                async with asyncio.timeout(timeout_s + 1.0):
                    success = await check()
            except (OSError, CriError) as error:  # TimeoutError is an OSError
                sys.stderr.write(f"probe of {container['name']}: {error}\n")
                success = False
            differing = differing + 1 if success != ready else 0
            if differing and differing >= thresholds[success]:
                ready, differing = success, 0
                was_ready = was_ready or ready
                report(ready)
            await asyncio.sleep(period_s if was_ready else min(period_s, self._fast_s))

    def _make_check(
        self, probe: Object, container: Object, container_id: str, pod_ip: str, timeout_s: float
    ) -> Callable[[], Awaitable[bool]]:
        if "exec" in probe:
            command = [str(word) for word in probe["exec"].get("command") or ()]
            return lambda: self._exec_succeeds(container_id, command, timeout_s)
        if "httpGet" in probe:
            port = _resolve_port(probe["httpGet"].get("port"), container)
            path = str(probe["httpGet"].get("path") or "/")
            if self._inside:
                command = ["/probe", "http", str(port), path]
                return lambda: self._exec_succeeds(container_id, command, timeout_s)
            return lambda: _http_succeeds(probe["httpGet"].get("host") or pod_ip, port, path)
        port = _resolve_port((probe.get("tcpSocket") or {}).get("port"), container)
        if self._inside:
            return lambda: self._exec_succeeds(
                container_id, ["/probe", "tcp", str(port)], timeout_s
            )
        return lambda: _tcp_succeeds(pod_ip, port)

    async def _exec_succeeds(self, container_id: str, command: list[str], timeout_s: float) -> bool:
        response = await self._runtime.exec_sync(container_id, command, max(1, int(timeout_s)))
        return response.exit_code == 0


def _resolve_port(port: object, container: Object) -> int:
    """Return a port given by number or by its name in the container; 0 if unknown."""
    if isinstance(port, int):
        return port
    text = str(port)
    if text.isascii() and text.isdigit():
        return int(text)
    for declared in container.get("ports") or ():
        if declared.get("name") == text:
            return int(declared["containerPort"])
    return 0


async def _tcp_succeeds(host: str, port: int) -> bool:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return True


async def _http_succeeds(host: str, port: int, path: str) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        words = (await reader.readline()).split()
    except ValueError:  # the line is too long
        return False
    finally:
        writer.close()
    return len(words) > 1 and words[1].isdigit() and 200 <= int(words[1]) < 400


class ProbeManager:
    """Readiness probes of one pod: one task per running container that has a probe."""

    def __init__(self, prober: Prober, on_change: Callable[[], None]) -> None:
        self._prober = prober
        self._on_change = on_change
        # By container id: a new incarnation starts unready.
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._results: dict[str, bool] = {}
        self._forced_unready: set[str] = set()

    @property
    def forced_unready(self) -> bool:
        """Whether a fault keeps any container unready."""
        return bool(self._forced_unready)

    def force_unready(self, names: list[str], *, unready: bool) -> None:
        """Fault: keep containers unready whatever their probes report, or stop doing so."""
        if unready:
            self._forced_unready.update(names)
        else:
            self._forced_unready.difference_update(names)
        self._on_change()

    def is_ready(self, container: Object, container_id: str) -> bool:
        """Return whether a running container is ready; without a probe it is."""
        return container["name"] not in self._forced_unready and (
            "readinessProbe" not in container or self._results.get(container_id, False)
        )

    def update(self, pod: Object, view: PodView) -> None:
        """Start probes of running containers and stop those of others."""
        probed: dict[str, Object] = {}
        for container, container_view in zip(
            pod["spec"]["containers"], view.containers, strict=True
        ):
            current = container_view.current
            if container_view.running and current is not None and "readinessProbe" in container:
                probed[current.id] = container
        for container_id in set(self._tasks) - set(probed):
            self._tasks.pop(container_id).cancel()
            self._results.pop(container_id, None)
        for container_id in set(probed) - set(self._tasks):
            container = probed[container_id]

            def record(ready: bool, container_id: str = container_id) -> None:
                self._results[container_id] = ready
                self._on_change()

            self._tasks[container_id] = asyncio.create_task(
                self._prober.run(
                    container["readinessProbe"], container, container_id, view.ip, record
                ),
                name=f"probe {container['name']}",
            )

    async def close(self) -> None:
        """Stop all probes."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
