"""Commands that can be run in a pod of the embedded cluster: enough for probes.

`true`, `false`, `hostname`; `/probe tcp PORT` and `/probe http PORT PATH`, which probe a port from
inside the pod, since a pod's address is not reachable from outside its namespace.
"""

from __future__ import annotations

import asyncio

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.runtime import shim_protocol
from tui_forward.minicluster.runtime.dialer import Dialer, DialError


async def run(
    command: list[str], container: shim_protocol.Container, dialer: Dialer, timeout_s: float
) -> cri.ExecSyncResponse:
    """Run a command; a failed probe exits with 1 and writes the cause to stderr."""
    name = command[0].rpartition("/")[2] if command else ""
    match [name, *command[1:]]:
        case ["true"]:
            return cri.ExecSyncResponse()
        case ["false"]:
            return cri.ExecSyncResponse(exit_code=1)
        case ["hostname"]:
            return cri.ExecSyncResponse(stdout=container.sandbox_id[:12].encode() + b"\n")
        case ["probe", "tcp", port] if port.isdigit():
            problem = await _probe(container.sandbox_id, int(port), None, dialer, timeout_s)
        case ["probe", "http", port, path] if port.isdigit():
            problem = await _probe(container.sandbox_id, int(port), path, dialer, timeout_s)
        case _:
            raise CriError(
                f"failed to exec in container: failed to start exec: OCI runtime exec failed: "
                f'exec: "{name}": executable file not found in $PATH'
            )
    return cri.ExecSyncResponse(stderr=problem.encode(), exit_code=1 if problem else 0)


async def _probe(
    sandbox_id: str, port: int, path: str | None, dialer: Dialer, timeout_s: float
) -> str:
    """Return the cause of a failed probe, empty if it succeeded."""
    try:
        async with asyncio.timeout(timeout_s):
            dialed = await dialer.dial(sandbox_id, port)
            try:
                if path is None:
                    return ""
                loop = asyncio.get_running_loop()
                request = f"GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"
                await loop.sock_sendall(dialed.sock, request.encode())
                start = b""
                while b"\r\n" not in start and len(start) < 1024:
                    data = await loop.sock_recv(dialed.sock, 1024)
                    if not data:
                        break
                    start += data
            finally:
                dialed.sock.close()
    except DialError as error:
        return error.cause
    except TimeoutError:
        return "context deadline exceeded"
    except OSError as error:
        return str(error)
    words = start.split()
    if len(words) < 2 or not words[1].isdigit():
        return "malformed HTTP response"
    status = int(words[1])
    if 200 <= status < 400:
        return ""
    return f"HTTP probe failed with statuscode: {status}"
