from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.worker import WorkerFailed

from tests.cli.fake_session import until
from tests.tui.app_harness import running, shows
from tests.tui.samples import shop
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.screens.dialogs import QuitScreen
from tui_forward.tui.screens.forward_detail import DetailScreen
from tui_forward.tui.screens.forward_form import ForwardForm
from tui_forward.tui.screens.help import HelpScreen
from tui_forward.tui.screens.paste_dialog import PasteDialog
from tui_forward.tui.screens.picker import Picker
from tui_forward.tui.storage.paths import DashboardPaths
from tui_forward.tui.widgets.filter_bar import FilterBar
from tui_forward.tui.widgets.row_table import RowTable


async def test_help_shows_every_key() -> None:
    async with running(shop(), (80, 24)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen))
        await shows(app, "Help: cluster pane", "Start the port with this number")
        await pilot.press(*"switch the namespace")
        await shows(app, "Switch the namespace")
        await pilot.press("escape", *"forwards.stop")
        await shows(app, "Action ids for settings.toml", "forwards.stop")
        await pilot.press("escape", "escape")
        await until(lambda: not isinstance(app.screen, HelpScreen))


async def test_crash_prints_no_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    session = shop()
    app = TuiForwardApp(session, context="here", namespace="shop")

    async def bug() -> object:
        raise ZeroDivisionError("a bug")

    async def run() -> None:
        async with app.run_test(size=(80, 24)):
            await shows(app, "web-1")
            session.snapshot = bug  # type: ignore[assignment,method-assign]
            await until(lambda: app.crash is not None)

    with pytest.raises(WorkerFailed):  # the pilot raises it for the test
        await run()
    assert app.crash is not None
    assert "a bug" in app.crash
    assert "Traceback" not in "".join(capfd.readouterr())


def test_dashboard_process_imports_neither_engine_nor_client() -> None:
    code = (
        "import sys, tui_forward.tui.app, tui_forward.daemon.launcher,"
        " tui_forward.cli.commands.dashboard;"
        "print([m for m in sys.modules if m.startswith(('kubernetes', 'aiohttp', 'grpc', 'ruamel',"
        " 'tui_forward.engine', 'tui_forward.kube', 'tui_forward.catalog',"
        " 'tui_forward.session.local', 'tui_forward.minicluster'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_first_frame_waits_for_no_dataclass() -> None:
    """Creating a dataclass takes fifty times as long as creating a struct."""
    code = (
        "import dataclasses; create, made = dataclasses._process_class, []\n"
        "def record(cls, *options):\n"
        "    made.append(f'{cls.__module__}.{cls.__qualname__}')\n"
        "    return create(cls, *options)\n"
        "dataclasses._process_class = record\n"
        "import tui_forward.tui.app, tui_forward.daemon.launcher,"
        " tui_forward.cli.commands.dashboard\n"
        "print([name for name in made if name.startswith('tui_forward')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_palette_offers_available_actions() -> None:
    session = shop()
    async with running(session, (120, 40)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("ctrl+p", *"stop shop/pod")
        await shows(app, "Stop shop/pod/web-1:http")
        await pilot.press("enter")
        await until(lambda: not session.forwards)


async def test_every_binding_has_an_id_and_a_tooltip() -> None:
    session = shop()
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        owners = (type(app), Dashboard, DetailScreen, RowTable, FilterBar, Picker, PasteDialog,
                  ForwardForm,
                  HelpScreen, QuitScreen)  # fmt: skip
        for owner in owners:
            for binding in owner.BINDINGS:
                assert isinstance(binding, Binding)
                assert binding.id, binding
                assert binding.tooltip, binding
        # What several places have in common is changed in all of them.
        keys: dict[str | None, str] = {}
        for owner in owners:
            for binding in owner.BINDINGS:
                assert isinstance(binding, Binding)
                assert keys.setdefault(binding.id, binding.key) == binding.key, binding
        app.set_keymap({"forwards.stop": "ctrl+x"})
        await pilot.press("1")
        await shows(app, "● ready")
        await pilot.press("x")
        await pilot.press("ctrl+x")
        await until(lambda: not session.forwards)


async def test_engine_log_opens(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text("2026-01-01 10:00:00,000 INFO tui_forward: engine 4211 serves\n")
    async with running(shop(), files=DashboardPaths(log=log)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("ctrl+l")
        await shows(app, "engine 4211 serves")
        await pilot.press("escape")
        await shows(app, "web-1")
