"""kr8s as a process that forwards one port: the same job the other forwarders do."""

from __future__ import annotations

import asyncio
import sys


async def forward(namespace: str, target: str, port: int) -> None:
    """Forward until ended."""
    from kr8s.asyncio.objects import Pod  # noqa: PLC0415 - a rival, only there for the benchmark

    pod = await Pod.get(target.removeprefix("pod/"), namespace=namespace)
    async with pod.portforward(port, local_port="auto") as local_port:
        print(f"Forwarding from 127.0.0.1:{local_port} -> {port}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(forward(sys.argv[1], sys.argv[2], int(sys.argv[3])))
