"""The API server's process: store, server, controllers and control socket put together."""

from __future__ import annotations

import asyncio
import gc
import shutil
from pathlib import Path
from typing import Any

from tui_forward.errors import UsageError
from tui_forward.minicluster.apiserver.defaults import UidGenerator
from tui_forward.minicluster.apiserver.journal import Journal
from tui_forward.minicluster.apiserver.server import ApiServer
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.config import ApiServerConfig
from tui_forward.minicluster.control_socket import ControlServer
from tui_forward.minicluster.controllers import ControllerManager
from tui_forward.minicluster.controllers.startup_wait import (
    wait_until_settled as controllers_settled,
)
from tui_forward.minicluster.process_lifecycle import Lifetime, announce

# Objects of a fresh cluster begin at a version that looks like one.
FIRST_VERSION = 600


async def serve(config: ApiServerConfig, lifetime: Lifetime) -> None:
    """Serve until asked to end."""
    journal = Journal(config.state)
    store = Store(history=config.history, journal=journal, first_version=FIRST_VERSION)
    # A restart must not repeat the names and UIDs of the first start.
    seed = None if config.seed is None else config.seed + store.version
    server = ApiServer(config, store, UidGenerator(seed))
    controllers = ControllerManager(config, store, server.writer)
    hop = ApiServerComponent(server)
    control = ControlServer(config.control, hop.control)
    await control.start()
    try:
        controllers.start()
        server.start()
        # Everything built so far stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        announce(port=server.port)
        await lifetime.ending.wait()
    finally:
        hop.close()
        await controllers.close()
        await server.close()
        await control.close()
        journal.close()
        if lifetime.orphaned:
            await _remove(config.leftovers)


async def _remove(leftovers: tuple[str, ...]) -> None:
    """Remove what the supervisor left behind; the other hops may still be writing."""
    for _ in range(20):
        there = [path for path in map(Path, leftovers) if path.exists()]
        if not there:
            return
        for path in there:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        await asyncio.sleep(0.1)


class ApiServerComponent:
    """Carries out what the control socket asks for; see `minicluster.control`."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._timers: list[asyncio.TimerHandle] = []

    def close(self) -> None:
        """End what is still to happen."""
        for timer in self._timers:
            timer.cancel()

    async def control(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Do what is asked.

        Raises:
            UsageError: It cannot be understood, or not be done.
        """
        server, faults = self._server, self._server.faults
        what = str(request.get("what", "tunnels"))
        match request.get("fault"):
            case "status":
                return self._status()
            case "settle":
                settled = await controllers_settled(
                    server.store, float(request.get("timeout_s", 10))
                )
                return {"settled": settled}
            case "delete-pod":
                self._delete_pod(request)
            case "cut":
                return {"ended": server.cut(what)}
            case "stall":
                server.stall(what if request.get("on", True) else "")
                self._later(request.get("for_s"), lambda: server.stall(""))
            case "delay":
                server.delay(float(request.get("seconds", 0)))
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
            case "granularity":
                faults.go_framing = bool(request.get("go", True))
            case "clear":
                server.stall("")
                server.delay(0)
                faults.clear()
                server.authenticator.restore()
            case other:
                raise UsageError(f"the API server knows no fault {other!r}")
        return None

    def _status(self) -> dict[str, Any]:
        server = self._server
        return {
            "tunnels": len(server.tunnels),
            "watches": len(server.watches),
            "connections": len(server.connections),
            "requests": server.requests,
            "version": server.store.version,
            "objects": {
                resource.plural: len(table.items) for resource, table in server.store.tables.items()
            },
            "tasks": len(asyncio.all_tasks()),
        }

    def _delete_pod(self, request: dict[str, Any]) -> None:
        from tui_forward.minicluster.apiserver import resources

        options = {}
        if request.get("grace") is not None:
            options["gracePeriodSeconds"] = int(request["grace"])
        try:
            self._server.writer.end(
                resources.PODS, str(request["namespace"]), str(request["pod"]), options
            )
        except KeyError as error:
            raise UsageError(f"delete-pod needs {error}") from None
        except StatusError as failure:
            raise UsageError(failure.message) from None

    def _later(self, seconds: object, what: Any) -> None:
        if isinstance(seconds, int | float) and seconds > 0:
            self._timers.append(asyncio.get_running_loop().call_later(float(seconds), what))
