"""Environment of the demo's checks: cluster, engine, and forwards to the test pod."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tui_forward.cli.demo import traffic
from tui_forward.errors import ForwardError, TransportError
from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.model import (
    CatalogScope,
    CatalogView,
    Connection,
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    PodSummary,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.session import Session

# Test pod of the embedded cluster, with one port per behavior.
TOOLBOX = "toolbox"
ECHO, SINK, SOURCE, NEVER_READS, RESETS, LATE = 7000, 7001, 7002, 7003, 7004, 7006
COUNTERS = 7009
CLOSED_PORT = 7999

_READY_S = 20.0
_POLL_S = 0.005


async def wait_until(condition: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    """Poll a condition until it holds; return whether it did in time."""
    deadline = time.monotonic() + within_s
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


@dataclass(slots=True)
class DemoEnvironment:
    """Session and cluster of the checks, with a live view of the pods."""

    session: Session
    control: ControlClient
    kubeconfig: Path
    context: str
    pods: dict[str, PodSummary] = field(default_factory=dict)  # pods by namespace and name
    namespaces: tuple[str, ...] = ()
    _version: int = 0

    async def refresh(self) -> None:
        """Update `pods` and `namespaces`."""
        view = await self.session.catalog(CatalogScope(self.context), self._version)
        self._apply(view)

    def _apply(self, view: CatalogView) -> None:
        if view.complete:
            self.pods.clear()
        self._version = view.version
        for key in view.removed:
            self.pods.pop(key.removeprefix("pods/"), None)
        self.pods.update({f"{pod.namespace}/{pod.name}": pod for pod in view.pods})
        if view.complete or view.namespaces:
            names = {*self.namespaces, *(n.name for n in view.namespaces)}
            self.namespaces = tuple(sorted(names))

    async def wait_listed(self) -> None:
        """Wait until every pod of the cluster is listed; TransportError if it takes too long."""

        async def synced() -> bool:
            view = await self.session.catalog(CatalogScope(self.context), self._version)
            self._apply(view)
            if view.health is not None and view.health.ok is False:
                raise TransportError(view.health.error, hint=view.health.hint)
            known = {s.resource for s in view.resources if s.synced}
            return {"pods", "namespaces"} <= known

        if not await wait_until(synced, _READY_S):
            raise TransportError("the cluster's pods were not listed in time")

    async def wait_for(self, condition: Callable[[], bool], description: str) -> float:
        """Wait for a condition on `pods`; return the wall clock time when it was observed."""

        async def holds() -> bool:
            await self.refresh()
            return condition()

        if not await wait_until(holds, _READY_S):
            raise TransportError(f"timed out waiting for {description}")
        return time.time()

    async def wait_toolbox(self) -> PodSummary:
        """Return the test pod, once it is ready; TransportError if it takes too long."""

        def found() -> bool:
            return self._find_toolbox() is not None

        await self.wait_for(found, "a ready toolbox pod")
        pod = self._find_toolbox()
        assert pod is not None
        return pod

    def _find_toolbox(self) -> PodSummary | None:
        for pod in self.pods.values():
            if pod.name.startswith(TOOLBOX) and pod.ready and not pod.deleting:
                return pod
        return None

    @contextlib.asynccontextmanager
    async def open_forward(
        self, port: int, *, transport: TransportChoice = TransportChoice.AUTO
    ) -> AsyncIterator[DemoForward]:
        """Start a forward to a port of the test pod, wait until it is ready, stop it at the end."""
        pod = await self.wait_toolbox()
        target = Target(
            context=self.context,
            namespace=pod.namespace,
            kind=TargetKind.POD,
            name=pod.name,
            port=str(port),
        )
        forward_id = await self.session.start(
            ForwardSpec(target=target, local_port=0, addresses=("127.0.0.1",), transport=transport)
        )
        forward = DemoForward(self.session, forward_id)
        try:
            await forward.wait_ready()
            yield forward
        finally:
            await self.session.stop(forward_id)

    async def pod_byte_counts(self, counters: DemoForward, port: int) -> tuple[int, int]:
        """Return the bytes that the test pod sent and received on a port, by its own count."""
        counts = await traffic.get_json(counters.address, f"/counters?port={port}")
        return int(counts["sent"]), int(counts["received"])


class DemoForward:
    """Forward to the test pod."""

    def __init__(self, session: Session, forward_id: str) -> None:
        self._session = session
        self.id = forward_id
        self.address = LocalAddress("127.0.0.1", 0)  # local address, once it is ready

    async def status(self) -> Forward:
        """Return the forward's current status; ForwardError if the engine has no such forward."""
        for forward in (await self._session.snapshot()).forwards:
            if forward.id == self.id:
                return forward
        raise ForwardError(f"the forward {self.id} is gone")

    async def wait_ready(self) -> None:
        """Wait until the forward listens; ForwardError if it is blocked, or not ready in time."""
        forward = await self.status()

        async def usable() -> bool:
            nonlocal forward
            forward = await self.status()
            if forward.state is ForwardState.BLOCKED:
                raise ForwardError(forward.reason, hint=forward.hint)
            return forward.state is ForwardState.READY and bool(forward.listening)

        if not await wait_until(usable, _READY_S):
            state = forward.state.value
            raise ForwardError(f"not ready in time, still {state}: {forward.reason}")
        self.address = forward.listening[0]

    async def connections(self) -> tuple[Connection, ...]:
        """Return its open and recent connections."""
        return await self._session.connections(self.id)

    async def byte_counts(self) -> tuple[int, int]:
        """Return the bytes from the pod and to the pod, by the engine's count."""
        counters = (await self.status()).counters
        return counters.bytes_from_pod, counters.bytes_to_pod
