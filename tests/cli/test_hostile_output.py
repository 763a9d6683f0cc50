"""What commands print about a session whose every text was written by an attacker."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.support.hostile_session import HOSTILE, MARKUP, HostileSession, fill
from tui_forward.cli.commands import metrics, status, up
from tui_forward.cli.dashboard_runner import write_crash_report
from tui_forward.cli.event_output import JsonEventPrinter, KubectlEventPrinter
from tui_forward.cli.main import main
from tui_forward.cli.openmetrics import format_openmetrics
from tui_forward.cli.output import error_lines
from tui_forward.common import paths
from tui_forward.common.logging_levels import temporary_handler
from tui_forward.daemon import log, session_store
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.errors import ConfigError, ForwardError
from tui_forward.model import Connection, Event, EventKind, ForwardState, Snapshot
from tui_forward.profiles.trust import TrustStore
from tui_forward.tui.storage.favorites import Favorites

STYLE = re.compile(r"\x1b\[[0-9;]*m")  # of this program


def is_safe(text: str) -> bool:
    return STYLE.sub("", text).replace("\n", "").isprintable()


class EngineSession(HostileSession):
    engine_pid = 1
    kubeconfig = HOSTILE

    async def stop(self, forward_id: str) -> None:
        self.forwards.pop(forward_id)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> EngineSession:
    session = EngineSession(HOSTILE)

    @contextlib.asynccontextmanager
    async def attached(*_: object, **__: object) -> AsyncIterator[EngineSession]:
        yield session

    async def snapshot(_kubeconfig: str | None) -> Snapshot:
        return await session.snapshot()

    for module in (status, up):
        monkeypatch.setattr(module, "attached_session", attached)
    monkeypatch.setattr(metrics, "_snapshot", snapshot)
    return session


@pytest.mark.parametrize(
    "command",
    [
        ("ls",), ("ls", "--json"), ("status",), ("status", "--json"), ("metrics",), ("stop", "f1"),
        ("stop", "f2", "--json"), ("stop", HOSTILE), ("up", HOSTILE), ("down", HOSTILE),
        ("profile", "show", HOSTILE), (HOSTILE,), ("ls", f"--{HOSTILE}"),
        ("forward", HOSTILE, "80"), ("forward", "svc/x", HOSTILE),
        ("forward", "--address", HOSTILE, "svc/x", "80"), ("config",),
    ],
    ids=lambda command: " ".join(command)[:20].encode("ascii", "replace").decode(),
)  # fmt: skip
def test_commands_print_printable_text(
    command: tuple[str, ...], session: EngineSession, capsys: pytest.CaptureFixture[str]
) -> None:
    main(command)
    shown = capsys.readouterr()
    assert is_safe(shown.out)
    assert is_safe(shown.err)
    assert shown.out or shown.err
    if "--json" in command:
        records = [json.loads(line) for line in shown.out.splitlines()]
        assert HOSTILE in json.dumps(records, ensure_ascii=False) or any(
            HOSTILE in str(value) for record in records for value in record.values()
        ), "the meaning is kept"


def test_profile_files_with_hostile_names_are_listed(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = paths.profiles_dir()
    folder.mkdir(parents=True)
    names = ["[@click=app.quit]x.yaml", "a\x1b[2J\u202e.yaml", "b\n\x9b.yaml"]
    for name in names:
        (folder / name).write_text("forwards: 1")
    with contextlib.suppress(OSError):  # macOS has UTF-8 names only
        (folder / "c\udcff.yaml").write_text("forwards: {}")
    for command in (("profile", "list"), ("profile", "list", "--json"), ("profile", "check"),
                    ("profile", "check", "--json"), ("profile", "show", "c\udcff")):  # fmt: skip
        assert main(command) in (0, 1, 2)
        shown = capsys.readouterr()
        assert is_safe(shown.out)
        assert is_safe(shown.err)
        assert "unexpected" not in shown.err


class Lines:
    """Stands for `Output`."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def out(self, line: str | bytes) -> None:
        self.lines.append(line if isinstance(line, str) else line.decode())

    out_soon = err = out


async def test_events_are_printable(session: EngineSession) -> None:
    lines = Lines()
    connection = fill(Connection(id=1, forward_id="f1", client="c", failed=True), HOSTILE)
    for printer in (
        JsonEventPrinter(lines),  # type: ignore[arg-type]
        KubectlEventPrinter(lines, named=True, color=True),  # type: ignore[arg-type]
    ):
        for kind in EventKind:
            event = Event(
                event=kind, time=1.0, forward="f1", target=HOSTILE, state=ForwardState.READY,
                reason=HOSTILE, hint=HOSTILE, connection=connection,
            )  # fmt: skip
            printer.event(event)
        printer.note(HOSTILE, HOSTILE)
    assert len(lines.lines) > len(EventKind)
    assert all(map(is_safe, lines.lines))


def test_errors_and_reports_are_printable(own_home: Path) -> None:
    for error in (ForwardError(HOSTILE, hint=HOSTILE), ConfigError(HOSTILE)):
        assert all(map(is_safe, error_lines(error, color=True)))
    write_crash_report(f"Traceback\n  x\nValueError: {HOSTILE}")
    assert is_safe(paths.crash_report_file().read_text())


async def test_metrics_of_hostile_names_are_valid(session: EngineSession) -> None:
    text = format_openmetrics(await session.snapshot())
    assert is_safe(text)
    assert MARKUP in text


async def test_state_files_and_logs_are_printable(session: EngineSession, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("session", "favorites", "trusted", "log")]
    saver = SessionSaver(session, files[0])
    await saver.open(restore=False)
    saver.schedule_save()
    await saver.close()
    saved = session_store.load_session(files[0])
    assert [one.spec for one in saved.forwards] == [
        msgspec.structs.replace(one.spec, local_port=one.listening[0].port)
        for one in session.forwards.values()
    ]
    Favorites(files[1]).toggle(HOSTILE, HOSTILE)
    assert Favorites(files[1]).keys(HOSTILE) == {HOSTILE}
    TrustStore(files[2]).trust(Path("/x/[/nope]\x1b\x9b\u202e"), "text")
    with temporary_handler(logging.NullHandler(), logging.INFO):
        log.log_to_file(files[3])
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("some").exception("failed: %s", HOSTILE)
        for handler in logging.getLogger().handlers:
            handler.close()
    for file in files:
        text = file.read_text()
        assert is_safe(text), file
        assert "nope" in text
