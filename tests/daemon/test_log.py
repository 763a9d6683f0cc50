from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tui_forward.daemon import log, log_record


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)


def test_the_log_is_private_and_holds_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "engine.log"
    log.log_to_file(path)
    logging.getLogger("some").warning("Authorization: Bearer abcdef0123456789")
    try:
        raise ValueError("token=hunter2hunter2")
    except ValueError:
        logging.getLogger("some").exception("failed")
    text = path.read_text()
    assert "abcdef0123456789" not in text
    assert "hunter2" not in text
    first, second = (log_record.decode_entry(line) for line in path.read_bytes().splitlines())
    assert first is not None
    assert second is not None
    assert (first.level, first.logger, first.process) == ("warning", "some", os.getpid())
    assert first.message.startswith("Authorization:")
    assert datetime.fromisoformat(first.time).tzinfo is not None
    lines = second.exception.splitlines()
    assert (second.message, lines[0][:9]) == ("failed", "Traceback")
    assert lines[1].startswith("  File "), "it is indented as tracebacks are"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_log_rotates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_SIZE", 1000)
    path = tmp_path / "engine.log"
    log.log_to_file(path)
    for number in range(200):
        logging.getLogger("some").info("line %d with some words in it", number)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4
    assert all(file.stat().st_size <= 1000 for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_standard_error_can_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    log.to_stderr()
    logging.getLogger("some").info("password=hunter2hunter2")
    assert "hunter2" not in capsys.readouterr().err


def test_there_is_a_default_place() -> None:
    assert log.log_file(Path("engine.sock")).is_absolute()
