"""Scenes of the screenshots.

Forwards and their connections are real (`forwarded_cluster`). Each scene presses keys in a new
dashboard until it shows what the screenshot is about.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from textual.pilot import Pilot

from screenshots.frozen_session import NOW
from screenshots.held_session import HeldSession
from tui_forward.cli.embedded_cluster import EmbeddedCluster
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.model import (
    CatalogScope,
    ConnectionState,
    ForwardSpec,
    ForwardState,
    Target,
    TargetKind,
)
from tui_forward.session import Session
from tui_forward.session.local import LocalSession
from tui_forward.tui.app import TuiForwardApp

SEED = 7
# Delay before a deleted pod is replaced: long enough for a screenshot.
REPLACE_S = 120.0
_WAIT_S = 60.0
_MIB = 1 << 20

_EVERYTHING = CatalogScope("minicluster", "")

# Targets, and bytes per second from and to the pod.
FORWARDS: tuple[tuple[Target, tuple[int, int]], ...] = tuple(
    (Target(context="minicluster", namespace=namespace, kind=kind, name=name, port=port), rate)
    for namespace, kind, name, port, rate in (
        ("shop", TargetKind.DEPLOYMENT, "web", "http", (12_900_000, 214_000)),
        ("shop", TargetKind.DEPLOYMENT, "web", "metrics", (48_300, 1_900)),
        ("data", TargetKind.STATEFULSET, "db", "sql", (3_410_000, 1_170_000)),
        ("shop", TargetKind.SERVICE, "gateway", "http", (0, 0)),
        ("ops", TargetKind.DEPLOYMENT, "toolbox", "echo", (734_000, 734_000)),
    )
)
RATES = {str(target): rate for target, rate in FORWARDS}


_ROLLOUT_S = range(91, 97)  # seconds without a tunnel


class FixedHistories(TrafficHistories):
    """Fixed traffic histories.

    Args:
        targets: Targets by id of the forward.
    """

    def __init__(self, targets: dict[str, str]) -> None:
        super().__init__()
        self._series = {
            forward_id: _waves(target, *RATES.get(target, (0, 0)))
            for forward_id, target in targets.items()
        }

    def series(self, forward_id: str, seconds: int) -> list[tuple[int, int]]:
        """See `TrafficHistories.series`."""
        return self._series.get(forward_id, [])[-seconds:]

    def ready(self, forward_id: str, seconds: int) -> list[bool]:
        """See `TrafficHistories.ready`."""
        count = len(self._series.get(forward_id, []))
        return [second not in _ROLLOUT_S for second in range(count)][-seconds:]


def _waves(target: str, down: int, up: int) -> list[tuple[int, int]]:
    dice = random.Random(target)
    series = []
    for second in range(300):
        swell = 0.55 + 0.35 * math.sin(second / 23 + len(target)) + 0.3 * dice.random()
        pause = second in _ROLLOUT_S
        series.append((0, 0) if pause else (int(down * swell), int(up * swell * dice.random())))
    return series


@dataclass
class SceneCluster:
    """A cluster with forwards and open connections; `held` is what the dashboard shows of them."""

    session: Session
    held: HeldSession
    control: ControlClient
    ids: dict[str, str]  # target -> id
    connections: list[asyncio.StreamWriter]

    async def local_port(self, target: str) -> int:
        """Return the local port of a forward."""
        for forward in (await self.session.snapshot()).forwards:
            if forward.id == self.ids[target]:
                return forward.listening[0].port
        raise LookupError(target)

    async def state(self, target: str) -> ForwardState:
        """Return the state of a forward."""
        forwards = (await self.session.snapshot()).forwards
        return next(one.state for one in forwards if one.id == self.ids[target])

    async def pod(self, target: str) -> str:
        """Return the name of a forward's pod."""
        forwards = (await self.session.snapshot()).forwards
        pod = next(one.pod for one in forwards if one.id == self.ids[target])
        return pod.name if pod is not None else ""

    async def call(self, target: str, text: bytes, answer: int) -> None:
        """Connect, send, read `answer` bytes, and stay connected."""
        port = await self.local_port(target)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.connections.append(writer)
        writer.write(text)
        if answer:
            async with asyncio.timeout(_WAIT_S):
                await reader.readexactly(answer)


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It did not in time.
    """
    try:
        async with asyncio.timeout(_WAIT_S):
            while not await condition():  # noqa: ASYNC110 - a screen has no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"timed out waiting for {what}") from None


async def until_complete(find_missing: Callable[[], Awaitable[str]]) -> None:
    """Wait until a function finds nothing missing.

    Raises:
        TimeoutError: It did not in time; names what is missing.
    """
    missing = ""
    try:
        async with asyncio.timeout(_WAIT_S):
            while missing := await find_missing():  # noqa: ASYNC110 - as in `until`
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimeoutError(f"timed out waiting for {missing}") from None


@contextlib.asynccontextmanager
async def forwarded_cluster(cluster: EmbeddedCluster) -> AsyncIterator[SceneCluster]:
    """Start all forwards and open connections; stop them at the end."""
    # Other programs on this machine may change its network.
    session = LocalSession(cluster.kubeconfig, monitor_system=False)
    held = HeldSession(session, server=urlsplit(cluster.server).netloc, rates=RATES)
    done = SceneCluster(session, held, ControlClient(cluster.control), {}, [])
    try:
        for target, _ in FORWARDS:
            # Another program may hold the default port, for example another test.
            spec = ForwardSpec(target=target, local_port=0)
            done.ids[str(target)] = await session.start(spec)
        for target, _ in FORWARDS:

            async def ready(name: str = str(target)) -> bool:
                return await done.state(name) is ForwardState.READY

            await until(ready, f"{target} to be ready")
        web, _, db, _, echo = (str(target) for target, _ in FORWARDS)
        get = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for _ in range(3):
            await done.call(web, get, 40)
        for _ in range(2):
            await done.call(db, b"PING\n", 1)
        await done.call(echo, b"hello\n", 6)

        await until_complete(lambda: held.hold_ready(_EVERYTHING, len(done.connections)))
        yield done
    finally:
        for writer in done.connections:
            writer.close()
        await session.close()


Scene = Callable[[SceneCluster, TuiForwardApp, Pilot[None]], Awaitable[None]]


@dataclass(frozen=True)
class Screenshot:
    """One scene and the size of its screenshot."""

    name: str
    title: str
    size: tuple[int, int]
    scene: Scene
    namespace: str = "shop"
    theme: str = "forward-dark"


async def shows(app: TuiForwardApp, *texts: str) -> None:
    """Wait until the screen shows all of these, with any number of spaces between words."""

    def text() -> str:
        strips = app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in strips)

    async def there() -> bool:
        shown = re.sub(" +", " ", text())
        return all(one in shown for one in texts)

    try:
        await until(there, f"{texts} on the screen")
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{text()}") from None


async def _overview(cluster: SceneCluster, app: TuiForwardApp, pilot: Pilot[None]) -> None:
    await shows(app, "deploy/payments", "● ready", "python (4211)")
    await pilot.press("end")
    await shows(app, "ports of web", "15000")


async def _detail(cluster: SceneCluster, app: TuiForwardApp, pilot: Pilot[None]) -> None:
    await shows(app, "● ready", "python (4211)")
    await pilot.press("tab", "tab", "d")
    await shows(app, "timeline", "kubelet", "1.3 ms", "open")


async def _reconnecting(cluster: SceneCluster, app: TuiForwardApp, pilot: Pilot[None]) -> None:
    target = str(FORWARDS[4][0])
    await shows(app, "ds/agent")  # the first key fixes the cursor
    pod = await cluster.pod(target)
    await cluster.control.request("delete-pod", namespace="ops", pod=pod, grace=0)

    async def lost() -> bool:
        return await cluster.state(target) is not ForwardState.READY

    await until(lost, "the forward to lose its pod")
    for _ in range(2):
        await cluster.call(target, b"hello\n", 0)

    await until_complete(
        lambda: cluster.held.hold_outage(
            cluster.ids[target],
            CatalogScope("minicluster", "ops"),
            reason="has no pods yet",
            states=(ConnectionState.CLOSED, ConnectionState.QUEUED, ConnectionState.QUEUED),
        )
    )
    # What moves the row would take the cursor along.
    await shows(app, "2 queued")
    await pilot.press("tab", "tab", "home")
    await shows(
        app, "2 queued", "connections of deploy/toolbox:echo", " ready", "python (4211)",
        "closed: pod tool",
    )  # fmt: skip


async def _filter(cluster: SceneCluster, app: TuiForwardApp, pilot: Pilot[None]) -> None:
    await shows(app, "deploy/web")
    await pilot.press("slash", *"wb port:http")
    await shows(app, "/wb port:http")


async def _narrow(cluster: SceneCluster, app: TuiForwardApp, pilot: Pilot[None]) -> None:
    await shows(app, "deploy/legacy", "5 fwd: ●5")


async def _light(cluster: SceneCluster, app: TuiForwardApp, pilot: Pilot[None]) -> None:
    await shows(app, "deploy/web", "● ready", "python (4211)")
    await pilot.press("t")
    await shows(app, "[pods] services · all namespaces")
    await pilot.press("tab", "tab")


SCREENSHOTS: tuple[Screenshot, ...] = (
    Screenshot("dashboard", "tui-forward", (128, 36), _overview),
    Screenshot("detail", "one forward, hop by hop", (128, 36), _detail),
    Screenshot("filter", "search while you type", (128, 30), _filter, namespace=""),
    Screenshot("narrow", "60 columns", (60, 20), _narrow),
    Screenshot("light", "in daylight", (128, 36), _light, namespace="", theme="forward-light"),
    # Last, because it deletes a pod.
    Screenshot("reconnecting", "a pod is replaced", (128, 30), _reconnecting, namespace="ops"),
)


def app_for(screenshot: Screenshot, session: HeldSession, ids: dict[str, str]) -> TuiForwardApp:
    """Return the dashboard of a screenshot."""
    return TuiForwardApp(
        session,
        context="minicluster",
        namespace=screenshot.namespace,
        clock=lambda: NOW,
        histories=FixedHistories({forward_id: target for target, forward_id in ids.items()}),
    )
