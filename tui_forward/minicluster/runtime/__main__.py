"""Process of a runtime: `python -m tui_forward.minicluster.runtime --config FILE`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tui_forward.errors import TuiForwardError
from tui_forward.minicluster.config import load
from tui_forward.minicluster.control_socket import ControlServer
from tui_forward.minicluster.cri.server import make_server
from tui_forward.minicluster.process_lifecycle import Lifetime, announce, run_component
from tui_forward.minicluster.runtime.config import RuntimeConfig
from tui_forward.minicluster.runtime.cri_service import EmbeddedRuntime
from tui_forward.minicluster.runtime.dialer import Dialer
from tui_forward.minicluster.runtime.fault_injection import RuntimeFaults
from tui_forward.minicluster.runtime.image_service import EmbeddedImages
from tui_forward.minicluster.runtime.shim_client import ShimClient
from tui_forward.minicluster.runtime.streaming_server import StreamingServer


async def run(config: RuntimeConfig, lifetime: Lifetime) -> None:
    """Serve until the lifetime ends; pods keep running in the shim."""
    behavior = config.behavior
    shim = ShimClient(config.state_dir, config.owner_pid or os.getppid())
    await shim.start()
    dialer = Dialer(shim, config.driver, behavior)
    streaming = StreamingServer(dialer, behavior)
    runtime = EmbeddedRuntime(config, shim, dialer, streaming)
    streaming.start(config.streaming_host, config.streaming_port)
    server = make_server(config.listen, runtime, EmbeddedImages())
    await server.start()
    control: ControlServer | None = None
    if config.control:
        faults = RuntimeFaults(shim, streaming, behavior)
        control = ControlServer(config.control, faults.handle)
        await control.start()
    announce(pid=os.getpid(), streaming_port=streaming.port, socket=config.listen)
    try:
        await lifetime.ending.wait()
    finally:
        if control is not None:
            await control.close()
        await streaming.close()
        await server.stop(grace=0.0)
        await shim.close()
        dialer.close()


def main() -> int:
    """Run the process."""
    parser = argparse.ArgumentParser(prog="python -m tui_forward.minicluster.runtime")
    parser.add_argument("--config", required=True)
    arguments = parser.parse_args()
    try:
        config = load(arguments.config, RuntimeConfig)
        Path(config.state_dir).mkdir(parents=True, exist_ok=True)
        Path(config.listen).unlink(missing_ok=True)
        return run_component(lambda lifetime: run(config, lifetime))
    except (TuiForwardError, OSError) as error:
        sys.stderr.write(f"runtime: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
