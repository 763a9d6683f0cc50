"""Process of a kubelet: `python -m tui_forward.minicluster.kubelet --config FILE`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

from tui_forward.minicluster.control_socket import ControlServer
from tui_forward.minicluster.cri.client import RuntimeClient
from tui_forward.minicluster.kubelet.api_client import ApiClient
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.fault_injection import KubeletFaults
from tui_forward.minicluster.kubelet.kubelet import Kubelet
from tui_forward.minicluster.kubelet.node_status import NodeReporter
from tui_forward.minicluster.kubelet.server import KubeletServer, start_on_previous_port
from tui_forward.minicluster.process_lifecycle import Lifetime, announce, run_component


async def run(config: KubeletConfig, lifetime: Lifetime) -> None:
    """Serve until the lifetime ends; pods keep running."""
    api = ApiClient(
        config.server,
        ca=config.ca,
        cert=config.client_cert,
        key=config.client_key,
        agent=f"kubelet/minicluster ({config.node})",
    )
    runtime = RuntimeClient(config.runtime_endpoint)
    kubelet = Kubelet(config, api, runtime)
    server: KubeletServer | None = None
    control: ControlServer | None = None
    heartbeat: asyncio.Task[None] | None = None
    startup = asyncio.create_task(_start(kubelet, api, config))
    ending = asyncio.create_task(lifetime.ending.wait())
    try:
        await asyncio.wait({startup, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not startup.done():
            return
        server, node = startup.result()
        heartbeat = asyncio.create_task(node.run(), name="heartbeat")
        if config.control:
            faults = KubeletFaults(kubelet, server, node)
            control = ControlServer(config.control, faults.handle)
            await control.start()
        announce(pid=os.getpid(), port=server.listener.port, node=config.node)
        await ending
    finally:
        for task in (startup, ending, heartbeat):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if control is not None:
            await control.close()
        if server is not None:
            await server.listener.close()
        await kubelet.close()
        api.close()
        await runtime.close()


async def _start(
    kubelet: Kubelet, api: ApiClient, config: KubeletConfig
) -> tuple[KubeletServer, NodeReporter]:
    server = KubeletServer(kubelet)
    start_on_previous_port(server, config)
    await kubelet.connect()
    node = NodeReporter(api, config, server.listener.port, kubelet.runtime_version)
    await node.register()
    kubelet.start()
    return server, node


def main() -> int:
    """Run the process and return its exit code."""
    return run_component(KubeletConfig, run)


if __name__ == "__main__":
    sys.exit(main())
