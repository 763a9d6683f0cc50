"""Output of the driver to a terminal that is lost or has another encoding."""

from __future__ import annotations

import contextlib
import os
import pty
from collections.abc import Iterator

import pytest
from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from tui_forward.tui.textual_internals import terminal
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
