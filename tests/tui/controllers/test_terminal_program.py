from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from textual.app import App

from tests.cli.fake_session import until
from tui_forward.tui.controllers.terminal_program import TerminalProgram


class SuspendableApp:
    @contextlib.contextmanager
    def suspend(self) -> Iterator[None]:
        yield


@pytest.fixture
def editor() -> TerminalProgram:
    return TerminalProgram(cast("App[None]", SuspendableApp()))


def test_interrupt_belongs_to_the_editor(editor: TerminalProgram) -> None:
    before = signal.getsignal(signal.SIGINT)
    # The terminal sends SIGINT to both; the editor's own is not ignored.
    editor.run(["sh", "-c", "kill -INT $PPID; kill -INT $$; sleep 60"])
    assert signal.getsignal(signal.SIGINT) is before


async def test_editor_can_be_ended_from_another_thread(
    editor: TerminalProgram, tmp_path: Path
) -> None:
    editor.interrupt()  # does nothing without an editor
    started = tmp_path / "started"

    async def interrupt() -> None:
        await until(started.exists)
        await asyncio.to_thread(editor.interrupt)

    interrupting = asyncio.to_thread(asyncio.run, interrupt())
    task = asyncio.create_task(interrupting)
    await asyncio.sleep(0)
    editor.run(["sh", "-c", f"touch {started}; exec sleep 60"])
    await task


def test_editor_that_does_not_exist_is_an_error(editor: TerminalProgram) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(FileNotFoundError):
        editor.run(["/nowhere/editor"])
    assert signal.getsignal(signal.SIGINT) is before
    editor.interrupt()
