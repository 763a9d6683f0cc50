"""Readiness probes: one task per container that has one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from tui_forward.minicluster.cri.client import RuntimeClient
from tui_forward.minicluster.cri.errors import CriError

Object = dict[str, Any]


class Prober:
    """Looks into containers, as `readinessProbe` says.

    Args:
        runtime: To run commands in containers.
        inside: Ports are looked at from inside the pod, with the runtime's `/probe`: the
            embedded runtime's pods cannot be reached from the node.
        fast_s: Period until the first success.
    """

    def __init__(self, runtime: RuntimeClient, *, inside: bool, fast_s: float) -> None:
        self._runtime = runtime
        self._inside = inside
        self._fast_s = fast_s

    async def watch(
        self,
        probe: Object,
        container: Object,
        container_id: str,
        pod_ip: str,
        report: Callable[[bool], None],
    ) -> None:
        """Probe for ever, and report every change of the verdict; cancel to stop."""
        await asyncio.sleep(float(probe.get("initialDelaySeconds") or 0))
        period = float(probe.get("periodSeconds") or 10)
        needed = {
            True: int(probe.get("successThreshold") or 1),
            False: int(probe.get("failureThreshold") or 3),
        }
        timeout_s = float(probe.get("timeoutSeconds") or 1)
        check = self._check(probe, container, container_id, pod_ip, timeout_s)
        verdict = False
        ever = False
        row = 0
        while True:
            try:
                async with asyncio.timeout(timeout_s + 1.0):
                    good = await check()
            except (OSError, CriError) as error:  # TimeoutError is an OSError
                sys.stderr.write(f"probe of {container['name']}: {error}\n")
                good = False
            row = row + 1 if good != verdict else 0
            if good != verdict and row >= needed[good]:
                verdict, row = good, 0
                ever = ever or good
                report(verdict)
            await asyncio.sleep(period if ever else min(period, self._fast_s))

    def _check(
        self,
        probe: Object,
        container: Object,
        container_id: str,
        pod_ip: str,
        timeout_s: float,
    ) -> Callable[[], Awaitable[bool]]:
        if "exec" in probe:
            command = [str(word) for word in probe["exec"].get("command") or ()]
            return lambda: self._exec(container_id, command, timeout_s)
        if "httpGet" in probe:
            port = _port(probe["httpGet"].get("port"), container)
            path = str(probe["httpGet"].get("path") or "/")
            if self._inside:
                command = ["/probe", "http", str(port), path]
                return lambda: self._exec(container_id, command, timeout_s)
            return lambda: _http(probe["httpGet"].get("host") or pod_ip, port, path)
        port = _port((probe.get("tcpSocket") or {}).get("port"), container)
        if self._inside:
            return lambda: self._exec(container_id, ["/probe", "tcp", str(port)], timeout_s)
        return lambda: _tcp(pod_ip, port)

    async def _exec(self, container_id: str, command: list[str], timeout_s: float) -> bool:
        answer = await self._runtime.exec_sync(container_id, command, max(1, int(timeout_s)))
        return answer.exit_code == 0


def _port(port: object, container: Object) -> int:
    """A port by number, or by its name in the container; 0 (which nobody serves) if unknown."""
    if isinstance(port, int):
        return port
    text = str(port)
    if text.isascii() and text.isdigit():
        return int(text)
    for declared in container.get("ports") or ():
        if declared.get("name") == text:
            return int(declared["containerPort"])
    return 0


async def _tcp(host: str, port: int) -> bool:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return True


async def _http(host: str, port: int, path: str) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        words = (await reader.readline()).split()
    except ValueError:  # a line without an end
        return False
    finally:
        writer.close()
    return len(words) > 1 and words[1].isdigit() and 200 <= int(words[1]) < 400
