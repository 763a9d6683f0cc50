"""The driver: output to a terminal that is lost or has another encoding, and keys."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sys
import tty
from collections.abc import AsyncIterator, Iterator
from io import FileIO, TextIOWrapper
from typing import NamedTuple

import pytest
from textual import events
from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread
from textual.message import Message

from tests.cli.fake_session import until
from tui_forward.tui.textual_internals import terminal
from tui_forward.tui.textual_internals.input_priority import InputFirstApp
from tui_forward.tui.textual_internals.terminal import CrashCapturingApp, TerminalDriver
from tui_forward.tui.textual_internals.terminal import _TerminalFile as TerminalFile


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TerminalFile, int]]:
    """Return the driver's file, which writes to a pseudo-terminal, and the terminal's end."""
    master, slave = pty.openpty()
    monkeypatch.setattr(terminal, "_stdout", lambda: slave)
    yield TerminalFile("utf-8"), master
    os.close(slave)
    with contextlib.suppress(OSError):
        os.close(master)


def test_driver_drops_output_to_a_lost_terminal(driver: tuple[TerminalFile, int]) -> None:
    file, master = driver
    writer = WriterThread(file)  # type: ignore[arg-type]
    writer.start()
    writer.write("shown")
    assert os.read(master, 100) == b"shown"
    os.close(master)
    for _ in range(10 * MAX_QUEUED_WRITES):  # would block if the thread had ended
        writer.write("dropped")
    writer.stop()
    assert not writer.is_alive()


def test_driver_replaces_what_the_encoding_lacks(
    driver: tuple[TerminalFile, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, master = driver
    file._encoding = "latin-1"
    file.write("● ready")
    file.flush()
    assert os.read(master, 100) == b"* ready"


class KeysApp(InputFirstApp[None], CrashCapturingApp[None]):
    """App that keeps what it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    def receive(self, message: Message) -> None:
        if isinstance(message, events.Key):
            self.keys.append(message.key)


class OtherEnd(NamedTuple):
    """The other end of the terminal of an app that reads keys."""

    terminal: FileIO
    app: KeysApp
    driver: TerminalDriver

    @property
    def is_watched(self) -> bool:
        """Whether the event loop waits for keys; it does not any more after this call."""
        return self.driver._loop.remove_reader(self.driver.fileno)


@pytest.fixture
async def other_end(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OtherEnd]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    with FileIO(master, "r+") as terminal, TextIOWrapper(FileIO(slave)) as stdin:
        monkeypatch.setattr(sys, "__stdin__", stdin)
        handlers = {one: signal.getsignal(one) for one in (signal.SIGTSTP, signal.SIGCONT)}
        app = KeysApp()
        driver = TerminalDriver(app)
        driver._run_input_thread()
        yield OtherEnd(terminal, app, driver)
        driver._stop_reading()
        for one, handler in handlers.items():
            signal.signal(one, handler)


async def test_keys_are_read_in_the_event_loop(other_end: OtherEnd) -> None:
    app = other_end.app
    other_end.terminal.write(b"a\x1b[A\xc3")
    await until(lambda: app.keys == ["a", "up"])
    other_end.terminal.write(b"\xa4\x1b")  # the rest of a character, and the Escape key
    await until(lambda: len(app.keys) == 4)
    assert app.keys[-1] == "escape"
    other_end.driver.disable_input()
    assert not other_end.is_watched


async def test_lost_terminal_is_not_read_any_more(other_end: OtherEnd) -> None:
    other_end.terminal.write(b"a")
    await until(lambda: other_end.app.keys)
    other_end.terminal.close()
    await until(lambda: not other_end.driver.is_reading)
    assert not other_end.is_watched


async def test_terminal_is_not_lost_if_another_program_has_read_the_key(
    other_end: OtherEnd,
) -> None:
    os.set_blocking(other_end.driver.fileno, False)
    other_end.driver._read_keys()
    assert other_end.driver.is_reading
    other_end.terminal.write(b"a")
    await until(lambda: other_end.app.keys == ["a"])
