from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.cli.fake_session import FakeSession, until
from tests.tui.app_harness import notifications, running, screen_text, shows
from tests.tui.samples import shop
from tui_forward.errors import ApiError
from tui_forward.model import (
    Description,
    LogSource,
    ObjectEvent,
    PodLog,
    Target,
    TargetKind,
)
from tui_forward.tui.messages import DescriptionRequested, LogRequested
from tui_forward.tui.screens import pod_log
from tui_forward.tui.screens.pod_log import PodLogScreen
from tui_forward.tui.storage.paths import DashboardPaths

TARGET = Target(context="here", namespace="shop", kind=TargetKind.DEPLOYMENT, name="web", port="")


def at(second: int) -> str:
    return f"2026-11-29T12:26:{second:02d}.5Z"


LOG = PodLog(
    pod="web-1", container="web", containers=("web", "proxy"), pods=("web-1", "web-2"),
    state="exited with code 1",
    lines=((at(1), "starting"), (at(2), "ERROR panic: no"), (at(3), '{"level": "info"}')),
)  # fmt: skip


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    monkeypatch.setattr(pod_log, "FOLLOW_S", 0.05)
    monkeypatch.setattr(pod_log, "_RETRY_S", 0.05)
    fake = shop()
    fake.log = LOG
    return fake


def requests(session: FakeSession) -> list[LogSource]:
    return [
        source for call in session.calls for source in call[1:2] if isinstance(source, LogSource)
    ]


async def test_log_is_followed_and_searched(session: FakeSession) -> None:
    async with running(session, (100, 20)) as (app, pilot):
        app.post_message(LogRequested(TARGET))
        await shows(app, "log of web-1 / web", "exited with code 1", "pod 1/2", "starting")
        assert "12:26:01" not in screen_text(app)
        session.log = msgspec.structs.replace(LOG, lines=(*LOG.lines, (at(4), "a new line")))
        await shows(app, "a new line")
        assert screen_text(app).count("starting") == 1
        followed = requests(session)[-1]
        assert (followed.pod, followed.container) == ("web-1", "web")
        await pilot.press("slash", *"panic", "enter")
        await shows(app, "/panic 1 of 1")
        await pilot.press("ampersand")
        await shows(app, "only /panic")
        assert "starting" not in screen_text(app)
        await pilot.press("ampersand", "t", "i")
        await shows(app, "12:26:01.5", '"level": "info"', "starting")
        await pilot.press("escape")
        await shows(app, "log of web-1")
        assert "/panic" not in screen_text(app)
        await pilot.press("escape")
        await shows(app, "forwards")


async def test_other_containers_pods_and_runs(session: FakeSession) -> None:
    async with running(session, (100, 20)) as (app, pilot):
        app.post_message(LogRequested(TARGET))
        await shows(app, "log of web-1 / web")
        await pilot.press("c")
        await until(lambda: requests(session)[-1].container == "proxy")
        await pilot.press("J")
        await until(lambda: requests(session)[-1].pod == "web-2")
        await pilot.press("p")
        await until(lambda: requests(session)[-1].previous)
        await shows(app, "previous run")
        count = len(requests(session))
        await pilot.pause(0.3)
        assert len(requests(session)) <= count + 1, "a run that is over is read once"
        session.log = msgspec.structs.replace(LOG, containers=("web",), pods=("web-1",))
        await pilot.press("escape")
        app.post_message(LogRequested(TARGET))
        await shows(app, "log of web-1 / web")
        await until(lambda: "pod 1/2" not in screen_text(app))
        await pilot.press("c", "J", "ampersand")
        assert len(notifications(app)) == 3


async def test_errors_are_shown_and_retried(session: FakeSession) -> None:
    session.log_error = ApiError("not allowed to get pods/log", status=403, hint="Ask for a role")
    async with running(session, (100, 20)) as (app, _):
        app.post_message(LogRequested(TARGET))
        await shows(app, "not allowed to get pods/log → Ask for a role")
        session.log_error = None
        await shows(app, "starting")
        session.log_error = ApiError("pod web-1 is gone", status=404)
        await shows(app, "✗ pod web-1 is gone", "starting")


def saved_lines(folder: Path) -> list[str]:
    (saved,) = folder.glob("web-1-web-*.log")
    return saved.read_text().splitlines()


async def test_log_is_saved_and_copied(session: FakeSession, tmp_path: Path) -> None:
    files = DashboardPaths(working_dir=tmp_path)
    async with running(session, (100, 20), files=files) as (app, pilot):
        app.post_message(LogRequested(TARGET, pod="web-1"))
        await shows(app, "starting")
        await pilot.press("ctrl+s")
        await until(lambda: any("Saved" in text for text in notifications(app)))
        assert saved_lines(tmp_path)[0] == f"{at(1)} starting"
        await pilot.press("slash", *"panic", "enter", "y")
        assert app.clipboard == "ERROR panic: no"


async def test_description(session: FakeSession) -> None:
    session.description = Description(
        kind="Deployment", namespace="shop", name="web", facts=(("node", "node-b"),),
        events=(ObjectEvent(type="Warning", reason="FailedCreate", message="quota"),),
    )  # fmt: skip
    async with running(session, (100, 20)) as (app, pilot):
        app.post_message(DescriptionRequested(TARGET))
        await shows(app, "shop/deploy/web", "Deployment web", "node-b", "FailedCreate: quota")
        await pilot.press("l")
        await until(lambda: isinstance(app.screen, PodLogScreen))
        await pilot.press("escape", "escape")
        session.log_error = ApiError("no such object", status=404)
        app.post_message(DescriptionRequested(TARGET))
        await shows(app, "✗ no such object")
