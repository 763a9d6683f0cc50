"""Execution of readiness probes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from tui_forward.minicluster.cri.client import RuntimeClient
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet.objects import Object


class Prober:
    """Runs the probes that `readinessProbe` describes.

    Args:
        runtime: To run commands in containers.
        inside: Probe ports from inside the pod, with the runtime's `/probe` command: pods of
            the embedded runtime cannot be reached from the node.
        fast_s: Longest period until the first success.
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
        self,
        probe: Object,
        container: Object,
        container_id: str,
        pod_ip: str,
        timeout_s: float,
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
