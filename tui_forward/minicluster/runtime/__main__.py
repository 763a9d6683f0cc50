"""Process of a runtime: `python -m tui_forward.minicluster.runtime --config FILE`."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from tui_forward.minicluster.control_socket import ControlServer
from tui_forward.minicluster.cri.server import make_server
from tui_forward.minicluster.process_lifecycle import Lifetime, announce, run_component
from tui_forward.minicluster.runtime.config import RuntimeConfig
from tui_forward.minicluster.runtime.cri_service import EmbeddedImages, EmbeddedRuntime
from tui_forward.minicluster.runtime.dialer import Dialer
from tui_forward.minicluster.runtime.fault_injection import RuntimeFaults
from tui_forward.minicluster.runtime.shim import fork_shim
from tui_forward.minicluster.runtime.shim_client import LOG, SOCKET, ShimClient
from tui_forward.minicluster.runtime.streaming_server import StreamingServer


async def run(config: RuntimeConfig, lifetime: Lifetime) -> None:
    """Serve until the lifetime ends; pods keep running in the shim."""
    behavior = config.behavior
    shim = ShimClient(config.state_dir, config.owner_pid or os.getppid())
    await shim.start()
    dialer = Dialer(shim, config.driver, behavior)
    streaming = StreamingServer(dialer, behavior)
    runtime = EmbeddedRuntime(config, shim, dialer, streaming)
    streaming.listener.start(config.streaming_host, config.streaming_port)
    server = make_server(config.listen, runtime, EmbeddedImages())
    await server.start()
    control: ControlServer | None = None
    if config.control:
        faults = RuntimeFaults(shim, streaming, behavior)
        control = ControlServer(config.control, faults.handle)
        await control.start()
    announce(pid=os.getpid(), streaming_port=streaming.listener.port, socket=config.listen)
    try:
        await lifetime.ending.wait()
    finally:
        if control is not None:
            await control.close()
        await streaming.close()
        await server.stop(grace=0.0)
        # As containerd does: a kubelet then reports that there is no such file.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(config.listen)  # noqa: PTH108 - one system call at the end
        await shim.close()
        dialer.close()


def prepare(config: RuntimeConfig) -> None:
    """Fork the shim, which then need not import anything."""
    folder = Path(config.state_dir)
    fork_shim(folder / SOCKET, config.owner_pid or os.getppid(), folder / LOG)


def main() -> int:
    """Run the process and return its exit code."""
    return run_component(RuntimeConfig, run, prepare)


if __name__ == "__main__":
    sys.exit(main())
