"""The whole dashboard on a session whose every text was written by an attacker.

Each screen must open, show the texts as data, and write printable characters only.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen

from tests.cli.fake_session import FakeSession, until
from tests.common.test_printable import HOSTILE as UNPRINTABLE
from tests.tui.app_harness import screen_text
from tui_forward.daemon.log_record import LogEntry, encode_entry
from tui_forward.errors import ForwardError, TuiForwardError
from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    CatalogView,
    Connection,
    Context,
    DeclaredPort,
    EngineNotice,
    Forward,
    ForwardSpec,
    ForwardState,
    Hop,
    HopKind,
    HopState,
    LocalAddress,
    Namespace,
    OtherEngine,
    Pod,
    PodLog,
    PodRef,
    ReasonCode,
    ResourceStatus,
    Service,
    Snapshot,
    Target,
    TargetKind,
    TimelineEntry,
    TimelineKind,
    Workload,
)
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.controllers.restore_controller import RestoreOffer
from tui_forward.tui.storage.paths import DashboardPaths
from tui_forward.tui.widgets.log_view import LogView

MARKUP = "[/nope][@click=app.quit]x[/][$y][["
HOSTILE = f"{MARKUP}{UNPRINTABLE}" + "x" * 2_000 + "漢" * 1_000
CONTEXT, OTHER = "[/nope]c", "[@click=app.quit]d[/]"


def fill(value: Any, text: str) -> Any:
    """Return a struct in which every text is the attacker's, except ids and what Python checks."""
    changes: dict[str, Any] = {}
    hints = typing.get_type_hints(type(value))
    for field in msgspec.structs.fields(value):
        old = getattr(value, field.name)
        if isinstance(old, enum.Enum) or field.name in ("id", "forward_id", "uid", "version"):
            continue
        if isinstance(old, msgspec.Struct):
            changes[field.name] = fill(old, text)
        elif isinstance(old, str) and hints[field.name] in (str, str | None):
            changes[field.name] = f"{old}{text}"
        elif isinstance(old, tuple) and old and isinstance(old[0], msgspec.Struct):
            changes[field.name] = tuple(fill(one, text) for one in old)
        elif isinstance(old, tuple) and old and isinstance(old[0], str):
            changes[field.name] = tuple(f"{one}{text}" for one in old)
        elif isinstance(old, dict):
            changes[field.name] = {f"{key}{text}": f"{one}{text}" for key, one in old.items()}
    return msgspec.structs.replace(value, **changes)


class HostileSession(FakeSession):
    """Session that answers with the attacker's texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        port = DeclaredPort(number=8080, name="p", container="c", target="t")
        scope = CatalogScope(CONTEXT, "")
        namespaces = tuple(
            fill(Namespace(name=f"n{number}", status="s"), text) for number in (1, 2)
        )
        namespace = namespaces[0].name
        pods = [
            Pod(namespace="n", name=f"w{number}", uid=f"u{number}", phase="Running", status="S",
                message="m", ready=number != 2, node="node", ip="ip", labels={"k": "v"},
                ports=(port,), containers_total=1, restarts=3)
            for number in (1, 2, 3)
        ]  # fmt: skip
        pods = [msgspec.structs.replace(fill(one, text), namespace=namespace) for one in pods]
        service = Service(namespace="n", name="s", type="T", cluster_ip="ip", selector="l",
                          ports=(port,))  # fmt: skip
        workload = Workload(namespace="n", name="d", kind=TargetKind.DEPLOYMENT, selector="l")
        health = ApiHealth(context="", server="s", ok=False, version="v", error="e", hint="h")
        health = msgspec.structs.replace(fill(health, text), context=CONTEXT)
        resource = ResourceStatus(resource="services", error="e", hint="h", forbidden=True)
        self.health = (health,)
        self.views[scope] = CatalogView(
            scope=scope, version=1, complete=True, namespaces=namespaces, pods=tuple(pods),
            services=(msgspec.structs.replace(fill(service, text), namespace=namespace),),
            workloads=(msgspec.structs.replace(fill(workload, text), namespace=namespace),),
            resources=(
                ResourceStatus(resource="pods", synced=True, count=3),
                msgspec.structs.replace(
                    resource, error=f"e{text}", hint=f"h{text}"
                ),
            ),
            health=health,
        )  # fmt: skip
        self.context_list = tuple(
            Context(name=name, cluster=f"cl{text}", namespace=namespace, current=name == CONTEXT)
            for name in (CONTEXT, OTHER, f"third{text}")
        )
        for number, state in enumerate(ForwardState, 1):
            target = Target(context=CONTEXT, namespace="n", kind=TargetKind.POD, name="w1",
                            port="http")  # fmt: skip
            spec = ForwardSpec(target=target, label="label", name="name", profile="profile",
                               local_port=8000 + number)  # fmt: skip
            forward = Forward(
                id=f"f{number}",
                spec=spec,
                state=state,
                code=ReasonCode.POD_NOT_READY,
                reason="r",
                hint="h",
                last_event="e",
                pod=PodRef(namespace="n", name="w", uid="u", node="k"),
            )
            self.forwards[forward.id] = msgspec.structs.replace(
                fill(forward, text), listening=(LocalAddress("127.0.0.1", 8000 + number),)
            )
        self.connection_list = [
            fill(Connection(id=1, forward_id="f1", client="c", process="p"), text),
            fill(Connection(id=2, forward_id="f1", client="c", closed_at=2.0, failed=True,
                            close_code=ReasonCode.PORT_REFUSED, close_reason="r"), text),
        ]  # fmt: skip
        self.timeline_entries = tuple(
            fill(TimelineEntry(at=1.0, kind=kind, text="t"), text) for kind in TimelineKind
        )
        self.hop_list = tuple(
            fill(Hop(kind=kind, name="n", facts=("a", "b"), state=HopState.BROKEN, error="e",
                     hint="h"), text)
            for kind in HopKind
        )  # fmt: skip
        log = PodLog(pod="p", container="c", containers=("c", "d"), lines=("one", "two"))
        self.log = fill(log, text)

    async def snapshot(self) -> Snapshot:
        notice = fill(EngineNotice(number=1, at=1.0, profile="p", text="t", is_problem=True),
                      self._text)  # fmt: skip
        other = fill(OtherEngine(pid=1, kubeconfig="k", forwards=2), self._text)
        snapshot = await super().snapshot()
        return msgspec.structs.replace(snapshot, notices=(notice,), other_engines=(other,))

    async def start(self, spec: ForwardSpec, *, forward_id: str = "") -> str:
        raise ForwardError(f"start{self._text}", hint=f"hint{self._text}")

    async def stop(self, forward_id: str) -> None:
        raise ForwardError(f"stop{self._text}", hint=f"hint{self._text}")


def files_of(folder: Path, text: str) -> DashboardPaths:
    """Return files of the attacker: profiles, a working tree and a log."""
    name = "".join(text.split("/"))[:40].replace("\0", "").encode()[:200].decode(errors="ignore")
    profiles, tree = folder / "profiles", folder / f"tree{name}"
    profiles.mkdir()
    (tree / ".git").mkdir(parents=True)
    good = {
        "description": MARKUP, "context": MARKUP, "label": MARKUP,
        "forwards": {"db": {"target": "svc/db", "port": 80, "label": MARKUP, "address": "::"}},
    }  # fmt: skip
    (profiles / "good.yaml").write_bytes(msgspec.json.encode(good))
    (profiles / f"bad{name}.yaml").write_bytes(msgspec.json.encode({text[:300] or "x": text}))
    (tree / ".tui-forward.yaml").write_bytes(msgspec.json.encode(good))
    log = folder / "log"
    lines = [
        encode_entry(LogEntry(time="t", level=level, logger=text, message=text, exception=text))
        for level in ("info", "error")
    ]
    log.write_bytes("\n".join([*lines, text]).encode() + b"\n\xff\x9b\x1b[2J\n")
    return DashboardPaths(
        log=log, profiles=profiles, trusted_profiles=folder / "trusted.json", working_dir=tree,
        favorites=folder / "favorites.json",
    )  # fmt: skip


class Visitor:
    """Presses keys, and checks the screen after each of them."""

    def __init__(self, app: TuiForwardApp, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot
        self.visited: set[str] = set()

    def check(self) -> None:
        app = self.app
        assert app.crash is None, app.crash
        assert app.is_running
        self.visited.add(type(app.screen).__name__)
        for strip in app.screen._compositor.render_strips():
            for segment in strip:
                assert segment.text.isprintable(), segment.text
                meta = segment.style.meta if segment.style is not None else {}
                assert "app.quit" not in str(meta), "markup became an action"
            assert strip.cell_length == app.size.width

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self._pilot.press(key)
            self.check()

    async def close_dialogs(self) -> None:
        for _ in range(10):
            if self.app.screen is self.app.dashboard:
                return
            await self.press("escape")
        raise AssertionError(self.app.screen)

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition, 30)
        self.check()

    async def open(self, key: str, screen: str) -> Screen[Any]:
        """Open a screen by a key."""
        await self.press(key)
        await self.until(lambda: type(self.app.screen).__name__ == screen)
        return self.app.screen


@asynccontextmanager
async def visiting(text: str, folder: Path) -> AsyncIterator[Visitor]:
    session = HostileSession(text)

    async def restore() -> list[TuiForwardError]:
        return [ForwardError(f"restore{text}", hint=text)]

    offer = RestoreOffer([one.spec for one in session.forwards.values()], restore, lambda: None)
    app = TuiForwardApp(
        session, context=CONTEXT, namespace="", paths=files_of(folder, text),
        startup_message=f"startup{text}", restore_offer=offer,
    )  # fmt: skip
    async with app.run_test(size=(110, 34), notifications=True, tooltips=True) as pilot:
        yield Visitor(app, pilot)
    assert app.crash is None


def shown(app: App[None], text: str) -> bool:
    return text in screen_text(app)  # type: ignore[arg-type]


@pytest.mark.timeout(180)
async def test_every_screen_shows_hostile_texts_as_data(tmp_path: Path) -> None:
    async with visiting(HOSTILE, tmp_path) as visitor:
        app = visitor.app
        await visitor.until(lambda: type(app.screen).__name__ == "RestoreScreen")
        await visitor.press("y")  # each forward that is not restored is a notification
        await visitor.until(lambda: app.screen is app.dashboard)
        await visitor.until(lambda: shown(app, "[/nope]c"))
        # Lists of workloads, pods and services; groups and sort orders; all panes.
        await visitor.press("1", "m", "asterisk", "right", "t", "1", "t", "1", "t")
        await visitor.press("tab", "b", "b", "b", "b", "z", "z", "l", "tab", "x", "tab")
        await visitor.press("slash", "[", "escape")
        for key, screen in (
            ("n", "Picker"), ("c", "Picker"), ("v", "PasteDialog"), ("question_mark", "HelpScreen"),
            ("ctrl+p", "CommandPalette"), ("W", "Picker"), ("f", "ForwardForm"),
        ):  # fmt: skip
            app.dashboard.entry_table.focus()
            await visitor.open(key, screen)
            await visitor.press("[")
            await visitor.close_dialogs()
        # The log of the engine.
        await visitor.open("ctrl+l", "LogScreen")
        await visitor.until(lambda: app.screen.query_one(LogView)._lines != ())
        await visitor.press("w", "slash", "[", "enter", "escape")
        await visitor.close_dialogs()
        # Profiles: a valid one, an invalid one, one of a working tree.
        for number in range(3):
            await visitor.open("P", "Picker")
            await visitor.press(*["down"] * number, "enter")
            await visitor.until(lambda: type(app.screen).__name__ == "ProfileScreen")
            await visitor.press("m", "r")
            await visitor.close_dialogs()
        # Details of a forward, with the log of its pod, and its form.
        app.dashboard.forward_table.focus()
        await visitor.press("y", "p", "x")
        await visitor.open("d", "DetailScreen")
        await visitor.press("l", "c", "tab", "tab", "x")
        await visitor.open("e", "ForwardForm")
        await visitor.close_dialogs()
        await visitor.open("q", "QuitScreen")
        await visitor.close_dialogs()
        assert app.is_running
        assert len(visitor.visited) >= 11


def texts_of(value: Any) -> Iterator[str]:
    for field in msgspec.structs.fields(value):
        item = getattr(value, field.name)
        if isinstance(item, str) and not isinstance(item, enum.Enum):
            yield item


def test_the_attacker_fills_every_text() -> None:
    filled = fill(Hop(kind=HopKind.API, name="n", facts=("f",)), MARKUP)
    assert all(MARKUP in text for text in texts_of(filled))
    assert MARKUP in filled.facts[0]
