"""Process of the API server and the controllers (one process, as in k3s).

`python -m tui_forward.minicluster.control_plane --config FILE` (`config.ApiServerConfig`).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import sys
from pathlib import Path

from tui_forward.minicluster import config as configuration
from tui_forward.minicluster import process_lifecycle
from tui_forward.minicluster.apiserver.component import ApiServerComponent
from tui_forward.minicluster.apiserver.defaults import UidGenerator
from tui_forward.minicluster.apiserver.journal import Journal
from tui_forward.minicluster.apiserver.server import ApiServer
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.config import ApiServerConfig
from tui_forward.minicluster.control_socket import ControlServer
from tui_forward.minicluster.controllers.manager import ControllerManager
from tui_forward.minicluster.controllers.startup_wait import wait_until_settled
from tui_forward.minicluster.process_lifecycle import Lifetime, announce

# A real cluster has a few hundred versions when its first workloads are created.
FIRST_VERSION = 600


async def serve(config: ApiServerConfig, lifetime: Lifetime) -> None:
    """Run the API server and the controllers until the lifetime ends."""
    journal = Journal(config.state)
    store = Store(history=config.history, journal=journal, first_version=FIRST_VERSION)
    # A restart must not generate the names and UIDs of the first start again.
    seed = None if config.seed is None else config.seed + store.version
    server = ApiServer(config, store, UidGenerator(seed))
    controllers = ControllerManager(config, store, server.writer)
    component = ApiServerComponent(server, lambda timeout_s: wait_until_settled(store, timeout_s))
    control = ControlServer(config.control, component.handle)
    await control.start()
    try:
        controllers.start()
        server.start()
        # Objects created so far live as long as the process: exempt them from collection.
        gc.collect()
        gc.freeze()
        announce(port=server.port)
        await lifetime.ending.wait()
    finally:
        component.close()
        await controllers.close()
        await server.close()
        await control.close()
        journal.close()
        if lifetime.orphaned:
            await _remove_files(config.cleanup_paths)


async def _remove_files(paths: tuple[str, ...]) -> None:
    """Remove the files of a supervisor that died; other components may still be writing."""
    for _ in range(20):
        existing = [path for path in map(Path, paths) if path.exists()]
        if not existing:
            return
        for path in existing:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        await asyncio.sleep(0.1)


def main() -> int:
    """Run the process; return its exit code."""
    parser = argparse.ArgumentParser(prog="control_plane")
    parser.add_argument("--config", required=True, help="JSON file, see config.ApiServerConfig")
    options = parser.parse_args()
    config = configuration.load(options.config, ApiServerConfig)
    return process_lifecycle.run_component(lambda lifetime: serve(config, lifetime))


if __name__ == "__main__":
    sys.exit(main())
