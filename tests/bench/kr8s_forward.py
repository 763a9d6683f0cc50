"""kr8s as a process that forwards some ports: like the other forwarders."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack


async def forward(namespace: str, target: str, ports: list[int]) -> None:
    """Forward until stopped."""
    from kr8s.asyncio.objects import Pod  # a rival, installed for the benchmark only

    pod = await Pod.get(target.removeprefix("pod/"), namespace=namespace)
    async with AsyncExitStack() as stack:
        for port in ports:
            local = await stack.enter_async_context(pod.portforward(port, local_port="auto"))
            print(f"Forwarding from 127.0.0.1:{local} -> {port}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(forward(sys.argv[1], sys.argv[2], [int(p.lstrip(":")) for p in sys.argv[3:]]))
