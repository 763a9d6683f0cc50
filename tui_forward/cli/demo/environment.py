"""The stage of the demonstration: a cluster, an engine, and forwards to its test pod."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

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
    Pod,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.session import Session

# The toolbox: a pod of the embedded cluster with one port per behaviour.
TOOLBOX = "toolbox"
ECHO, SINK, SOURCE, NEVER_READS, RESETS, LATE = 7000, 7001, 7002, 7003, 7004, 7006
COUNTERS = 7009
NOBODY = 7999

_READY_S = 20.0
_POLL_S = 0.005


async def wait_until(condition: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    """Wait until something in another process is so; whether it became so in time."""
    deadline = time.monotonic() + within_s
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


@dataclass(slots=True)
class DemoEnvironment:
    """What every test of the demonstration works with."""

    session: Session
    control: ControlClient
    context: str
    pods: dict[str, Pod] = field(default_factory=dict)
    namespaces: tuple[str, ...] = ()
    _version: int = 0

    async def look(self) -> None:
        """Bring `pods` up to date."""
        view = await self.session.catalog(CatalogScope(self.context), self._version)
        self._take(view)

    def _take(self, view: CatalogView) -> None:
        if view.complete:
            self.pods.clear()
        self._version = view.version
        for key in view.removed:
            self.pods.pop(key.removeprefix("pods/"), None)
        self.pods.update({f"{pod.namespace}/{pod.name}": pod for pod in view.pods})
        if view.complete or view.namespaces:
            names = {*self.namespaces, *(n.name for n in view.namespaces)}
            self.namespaces = tuple(sorted(names))

    async def listed(self) -> None:
        """Wait until every pod of the cluster is known.

        Raises:
            TransportError: The list did not come.
        """

        async def synced() -> bool:
            view = await self.session.catalog(CatalogScope(self.context), self._version)
            self._take(view)
            if view.health is not None and view.health.ok is False:
                raise TransportError(view.health.error, hint=view.health.hint)
            known = {s.resource for s in view.resources if s.synced}
            return {"pods", "namespaces"} <= known

        if not await wait_until(synced, _READY_S):
            raise TransportError("the cluster's pods were not listed in time")

    async def until(self, condition: Callable[[], bool], what: str) -> float:
        """Wait for something of `pods`; returns when it was seen, on the wall clock.

        Raises:
            TransportError: It did not happen in time.
        """

        async def seen() -> bool:
            await self.look()
            return condition()

        if not await wait_until(seen, _READY_S):
            raise TransportError(f"waited in vain for {what}")
        return time.time()

    async def toolbox(self) -> Pod:
        """The test pod, once it is ready.

        Raises:
            TransportError: There is none.
        """

        def found() -> bool:
            return self._toolbox() is not None

        await self.until(found, "a ready pod of the toolbox")
        pod = self._toolbox()
        assert pod is not None
        return pod

    def _toolbox(self) -> Pod | None:
        for pod in self.pods.values():
            if pod.name.startswith(TOOLBOX) and pod.ready and not pod.deleting:
                return pod
        return None

    @contextlib.asynccontextmanager
    async def forwarded(
        self, port: int, *, transport: TransportChoice = TransportChoice.AUTO
    ) -> AsyncIterator[DemoForward]:
        """A forward to a port of the toolbox, ready, switched off at the end.

        Raises:
            ForwardError: It did not become ready.
        """
        pod = await self.toolbox()
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
        line = DemoForward(self, forward_id)
        try:
            await line.ready()
            yield line
        finally:
            await self.session.stop(forward_id)

    async def counted_by_pod(self, counters: DemoForward, port: int) -> tuple[int, int]:
        """Bytes that the test pod sent and received on a port, by its own count."""
        ledger = await traffic.get_json(counters.address, f"/counters?port={port}")
        return int(ledger["sent"]), int(ledger["received"])


class DemoForward:
    """One forward of the stage."""

    def __init__(self, stage: DemoEnvironment, forward_id: str) -> None:
        self._stage = stage
        self.id = forward_id
        self.address = LocalAddress("127.0.0.1", 0)

    async def forward(self) -> Forward:
        """The forward as it stands.

        Raises:
            ForwardError: It is gone.
        """
        for forward in (await self._stage.session.snapshot()).forwards:
            if forward.id == self.id:
                return forward
        raise ForwardError(f"the forward {self.id} has vanished")

    async def ready(self) -> Forward:
        """Wait until it can be used.

        Raises:
            ForwardError: It cannot.
        """
        forward = await self.forward()

        async def usable() -> bool:
            nonlocal forward
            forward = await self.forward()
            if forward.state is ForwardState.BLOCKED:
                raise ForwardError(forward.reason, hint=forward.hint)
            return forward.state is ForwardState.READY and bool(forward.listening)

        if not await wait_until(usable, _READY_S):
            state = forward.state.value
            raise ForwardError(f"not ready in time, still {state}: {forward.reason}")
        self.address = forward.listening[0]
        return forward

    async def connections(self) -> tuple[Connection, ...]:
        """Its open and recent connections."""
        return await self._stage.session.connections(self.id)

    async def counted(self) -> tuple[int, int]:
        """Bytes from the pod and to the pod, by the engine's count."""
        counters = (await self.forward()).counters
        return counters.bytes_from_pod, counters.bytes_to_pod
