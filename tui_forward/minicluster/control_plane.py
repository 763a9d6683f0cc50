"""Process of the API server and the controllers (one, as in k3s), and its control socket.

`python -m tui_forward.minicluster.control_plane --config FILE` (`config.ApiServerConfig`).
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tui_forward.errors import UsageError
from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.faulty_objects import FaultyObjects
from tui_forward.minicluster.apiserver.journal import Journal
from tui_forward.minicluster.apiserver.own_endpoints import publish_own_endpoints
from tui_forward.minicluster.apiserver.server import ApiServer
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.apiserver.uid_generator import UidGenerator
from tui_forward.minicluster.config import ApiServerConfig
from tui_forward.minicluster.control_socket import ControlServer
from tui_forward.minicluster.controllers.manager import ControllerManager, wait_until_settled
from tui_forward.minicluster.named_faults import unknown_fault
from tui_forward.minicluster.process_lifecycle import Lifetime, announce, run_component


class ApiServerComponent:
    """Handles the requests of the control socket; see `minicluster.control_socket`."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._timers: list[asyncio.TimerHandle] = []
        self._objects = FaultyObjects(server.writer)

    def close(self) -> None:
        """Cancel the pending ends of faults."""
        for timer in self._timers:
            timer.cancel()

    async def handle(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Handle one request. Raises `UsageError`: the request is invalid or failed."""
        server, faults = self._server, self._server.faults
        target = str(request.get("what", "tunnels"))
        match request.get("fault"):
            case "status":
                return self._status()
            case "settle":
                timeout_s = float(request.get("timeout_s", 10))
                return {"settled": await wait_until_settled(server.store, timeout_s)}
            case "delete-pod":
                self._delete_pod(request)
            case "cut":
                return {"ended": server.cut(target)}
            case "stall":
                server.stall(target if request.get("on", True) else "")
                self._call_later(request.get("for_s"), lambda: server.stall(""))
            case "delay":
                server.long_running.delay(float(request.get("seconds", 0)))
            case "refuse":
                faults.set_refusal(request)
            case "transports":
                faults.set_transports(request)
            case "expire-token":
                return {"tokens": server.authenticator.expire(str(request.get("user", "")))}
            case "compact":
                server.store.compact()
            case "gone":
                faults.gone = int(request.get("times", 1))
            case "credentials":
                faults.set_credentials(str(request.get("mode", "")))
            case "throttle":
                faults.throttles = bool(request.get("on", True))
            case "roles":
                server.authorizer.has_roles = bool(request.get("on", True))
            case "gateway":
                server.gateway.set_mode(str(request.get("mode", "")))
            case "tunnel-life":
                faults.tunnel_life_s = float(request.get("seconds", 0))
            case "dial":
                faults.set_dial(str(request.get("mode", "")))
            case "accept":
                server.accept(on=bool(request.get("on", True)))
            case "certificate":
                server.use_certificate(str(request.get("cert", "")), str(request.get("key", "")))
            case "put-objects":
                await self._objects.put(request.get("objects") or ())
            case "delete-objects":
                self._objects.delete(request.get("objects") or ())
            case "granularity":
                faults.go_framing = bool(request.get("go", True))
            case "clear":
                server.stall("")
                server.long_running.delay(0)
                faults.clear()
                server.authenticator.restore()
                server.authorizer.has_roles = True
                server.gateway.set_mode("")
                server.accept(on=True)
                if server.has_tls:
                    server.use_certificate("", "")
            case other:
                raise unknown_fault(str(other))
        return None

    def _status(self) -> dict[str, Any]:
        server = self._server
        return {
            "tunnels": len(server.long_running.tunnels),
            "watches": len(server.long_running.watches),
            "connections": len(server.connections),
            "requests": server.request_count,
            "version": server.store.version,
            "objects": {
                resource.plural: len(table.items) for resource, table in server.store.tables.items()
            },
            "tasks": len(asyncio.all_tasks()),
        }

    def _delete_pod(self, request: dict[str, Any]) -> None:
        options = {}
        if request.get("grace") is not None:
            options["gracePeriodSeconds"] = int(request["grace"])
        try:
            self._server.writer.delete(
                resources.PODS, str(request["namespace"]), str(request["pod"]), options
            )
        except KeyError as error:
            raise UsageError(f"delete-pod requires {error}") from None
        except StatusError as error:
            raise UsageError(error.message) from None

    def _call_later(self, seconds: object, callback: Callable[[], None]) -> None:
        if isinstance(seconds, int | float) and seconds > 0:
            self._timers.append(asyncio.get_running_loop().call_later(float(seconds), callback))


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
    component = ApiServerComponent(server)
    control = ControlServer(config.control, component.handle)
    await control.start()
    try:
        controllers.start()
        server.start()
        publish_own_endpoints(server.writer, config.listen, server.port)
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
    """Run the process and return its exit code."""
    return run_component(ApiServerConfig, serve)


if __name__ == "__main__":
    sys.exit(main())
