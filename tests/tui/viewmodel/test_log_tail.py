from __future__ import annotations

import os
from pathlib import Path

import pytest

from tui_forward.daemon.log_record import LogEntry, encode_entry
from tui_forward.tui.viewmodel import log_tail
from tui_forward.tui.viewmodel.log_tail import LogLevel, LogTail, sanitize_terminal_text

TIME = "2026-01-02T03:04:05.678+01:00"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "engine.log"


def texts(tail: LogTail) -> list[str]:
    return [line.text for line in tail.lines]


def test_lines_have_levels_and_tracebacks_belong_to_their_record(path: Path) -> None:
    entries = [
        ("info", "fine", ""),
        ("error", "broken", "Traceback:\n  ValueError"),
        ("warning", "odd", ""),
        ("novel", "new", ""),
    ]
    path.write_text(
        "".join(
            encode_entry(LogEntry(TIME, level, "tui_forward.daemon", message, exception=failed))
            + "\n"
            for level, message, failed in entries
        )
        + "something else\n"
    )
    tail = LogTail(path)
    assert tail.read()
    assert [line.level for line in tail.lines] == [
        LogLevel.INFO,
        LogLevel.ERROR,
        LogLevel.ERROR,
        LogLevel.ERROR,
        LogLevel.WARNING,
        LogLevel.INFO,
        LogLevel.INFO,
    ]
    assert [line.number for line in tail.lines] == [1, 2, 3, 4, 5, 6, 7]
    assert texts(tail)[:4] == [
        "2026-01-02 03:04:05.678 INFO daemon: fine",
        "2026-01-02 03:04:05.678 ERROR daemon: broken",
        "Traceback:",
        "  ValueError",
    ]
    assert texts(tail)[-1] == "something else"
    assert not tail.read()


def test_appended_lines_are_read_when_complete(path: Path) -> None:
    path.write_bytes(b"one\ntw")
    tail = LogTail(path)
    tail.read()
    assert texts(tail) == ["one"]
    with path.open("ab") as stream:
        stream.write("o ü".encode()[:-1])
    assert not tail.read()
    with path.open("ab") as stream:
        stream.write("ü".encode()[-1:] + b"\r\nthree\n")
    assert tail.read()
    assert texts(tail) == ["one", "two ü", "three"]


def test_missing_file(path: Path) -> None:
    tail = LogTail(path)
    assert tail.read()
    assert "No log file at" in tail.problem
    assert tail.hint
    assert not tail.read()
    path.write_text("first\n")
    assert tail.read()
    assert (tail.problem, texts(tail)) == ("", ["first"])
    path.unlink()
    assert tail.read()
    assert tail.problem
    assert texts(tail) == ["first"]  # what was seen stays


def test_folder_is_an_error(path: Path) -> None:
    path.mkdir()
    tail = LogTail(path)
    assert tail.read()
    assert "Cannot read the log" in tail.problem


def test_rotation_loses_nothing(path: Path) -> None:
    path.write_text("old 1\n")
    tail = LogTail(path)
    tail.read()
    with path.open("a") as stream:
        stream.write("old 2\n")
    path.rename(path.with_name("engine.log.1"))
    path.write_text("new 1\n")
    assert tail.read()
    assert texts(tail) == ["old 1", "old 2", "new 1"]
    with path.open("a") as stream:
        stream.write("new 2\n")
    assert tail.read()
    assert texts(tail) == ["old 1", "old 2", "new 1", "new 2"]


@pytest.mark.parametrize("after", ["x\n", "something longer than there was before\n"])
def test_truncated_file_is_read_from_its_start(path: Path, after: str) -> None:
    path.write_text("before, line 1\nbefore, line 2\n")
    tail = LogTail(path)
    tail.read()
    with path.open("r+") as stream:  # the same inode
        stream.truncate()
        stream.write(after)
    assert tail.read()
    assert texts(tail)[-1] == after.strip()
    assert len(texts(tail)) == 3


def test_only_the_end_of_a_large_file(path: Path) -> None:
    with path.open("w") as stream:
        stream.writelines(f"line {number} {'x' * 90}\n" for number in range(30_000))
    assert path.stat().st_size > 2 * log_tail.MAX_BYTES
    tail = LogTail(path)
    tail.read()
    assert len(tail.lines) == log_tail.MAX_LINES
    assert texts(tail)[-1].startswith("line 29999 ")
    assert texts(tail)[0].startswith("line 28000 ")


def test_flood_between_two_reads_is_skipped(path: Path) -> None:
    path.write_text("calm\n")
    tail = LogTail(path)
    tail.read()
    with path.open("a") as stream:
        stream.write("y" * 50 + "\n")
        for _ in range(60):
            stream.write("z" * 30_000 + "\n")
    tail.read()
    assert set(map(len, texts(tail)[1:])) == {4000}
    assert len(tail.lines) < 60
    assert all(text == "calm" or text.startswith("zz") for text in texts(tail))


def test_one_endless_line_is_bounded(path: Path) -> None:
    path.write_bytes(b"a" * 100_000)
    tail = LogTail(path)
    assert tail.read()
    assert len(tail._rest) == 0
    assert [len(text) for text in texts(tail)] == [4000]


def test_untrusted_text_is_sanitized(path: Path) -> None:
    path.write_bytes(b"\x1b[31mred\x07 \x00 [b]x[/b] \xe2\x80\xaeevil \xff\tend\n")
    tail = LogTail(path)
    tail.read()
    text = texts(tail)[0]
    assert text.isprintable()
    assert "[b]x[/b]" in text
    assert "\x1b" not in text
    assert sanitize_terminal_text("a\tb") == "a   b"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_an_error(path: Path) -> None:
    path.write_text("secret\n")
    path.chmod(0)
    tail = LogTail(path)
    tail.read()
    assert "Permission denied" in tail.problem
