"""Readiness of a pod's containers: runs their probes and keeps the results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tui_forward.minicluster.kubelet.objects import Object
from tui_forward.minicluster.kubelet.pod_status import PodView
from tui_forward.minicluster.kubelet.prober import Prober


class ProbeManager:
    """Readiness probes of one pod: one task per running container that has a probe."""

    def __init__(self, prober: Prober, on_change: Callable[[], None]) -> None:
        self._prober = prober
        self._on_change = on_change
        # By container id: a new incarnation starts unready.
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._results: dict[str, bool] = {}
        self._forced_unready: set[str] = set()

    @property
    def forced_unready(self) -> bool:
        """Whether a fault keeps any container unready."""
        return bool(self._forced_unready)

    def force_unready(self, names: list[str], *, unready: bool) -> None:
        """Fault: keep containers unready whatever their probes report, or stop doing so."""
        if unready:
            self._forced_unready.update(names)
        else:
            self._forced_unready.difference_update(names)
        self._on_change()

    def is_ready(self, container: Object, container_id: str) -> bool:
        """Return whether a running container is ready; without a probe it is."""
        return container["name"] not in self._forced_unready and (
            "readinessProbe" not in container or self._results.get(container_id, False)
        )

    def update(self, pod: Object, view: PodView) -> None:
        """Start probes of running containers and stop those of others."""
        probed: dict[str, Object] = {}
        for container, container_view in zip(
            pod["spec"]["containers"], view.containers, strict=True
        ):
            current = container_view.current
            if container_view.running and current is not None and "readinessProbe" in container:
                probed[current.id] = container
        for container_id in set(self._tasks) - set(probed):
            self._tasks.pop(container_id).cancel()
            self._results.pop(container_id, None)
        for container_id in set(probed) - set(self._tasks):
            container = probed[container_id]

            def record(ready: bool, container_id: str = container_id) -> None:
                self._results[container_id] = ready
                self._on_change()

            self._tasks[container_id] = asyncio.create_task(
                self._prober.run(
                    container["readinessProbe"], container, container_id, view.ip, record
                ),
                name=f"probe {container['name']}",
            )

    async def close(self) -> None:
        """Stop all probes."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
