"""The driver: output to a terminal that is lost or has another encoding, and keys."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sys
import tty
from collections.abc import Iterator

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


@pytest.fixture
def terminal_ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Return both ends of a pseudo-terminal, the second of which is stdin."""
    master, slave = pty.openpty()
    with open(slave, closefd=False) as stdin:
        monkeypatch.setattr(sys, "__stdin__", stdin)
        handlers = {one: signal.getsignal(one) for one in (signal.SIGTSTP, signal.SIGCONT)}
        yield master, slave
        for one, handler in handlers.items():
            signal.signal(one, handler)
    os.close(slave)
    with contextlib.suppress(OSError):
        os.close(master)


async def test_keys_are_read_in_the_event_loop(terminal_ends: tuple[int, int]) -> None:
    master, slave = terminal_ends
    app = KeysApp()
    driver = TerminalDriver(app)
    tty.setraw(slave)
    driver._run_input_thread()
    os.write(master, b"a\x1b[A\xc3")
    await until(lambda: app.keys == ["a", "up"])
    os.write(master, b"\xa4\x1b")  # the rest of a character, and the Escape key
    await until(lambda: len(app.keys) == 4)
    assert app.keys[-1] == "escape"
    driver.disable_input()
    assert not driver._loop.remove_reader(slave)


async def test_lost_terminal_is_not_read_any_more(terminal_ends: tuple[int, int]) -> None:
    master, slave = terminal_ends
    app = KeysApp()
    driver = TerminalDriver(app)
    tty.setraw(slave)
    driver._run_input_thread()
    os.write(master, b"a")
    await until(lambda: app.keys)
    os.close(master)
    await until(lambda: not driver.is_reading)
    assert not driver._loop.remove_reader(slave)
