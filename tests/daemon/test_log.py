from __future__ import annotations

import argparse
import logging
import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tui_forward.common import paths
from tui_forward.common.logging_levels import TRACE, temporary_handler
from tui_forward.daemon import log, log_record
from tui_forward.daemon.engine_process import _configure_log
from tui_forward.errors import TransportError
from tui_forward.settings.parser import Settings


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    with temporary_handler(logging.NullHandler(), logging.INFO):
        yield
        for handler in logging.getLogger().handlers:
            handler.close()


def test_log_file_is_private_and_free_of_secrets(tmp_path: Path) -> None:
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
    assert lines[1].startswith("  File "), "traceback lines keep their indentation"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_log_file_rotates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_MAX_BYTES", 1000)
    path = tmp_path / "engine.log"
    log.log_to_file(path)
    for number in range(200):
        logging.getLogger("some").info("line %d with some words in it", number)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 4
    assert all(file.stat().st_size <= 1000 for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_log_on_stderr_is_free_of_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    log.log_to_stderr()
    logging.getLogger("some").info("password=hunter2hunter2")
    assert "hunter2" not in capsys.readouterr().err


def test_trace_level_applies_to_own_loggers_only(capsys: pytest.CaptureFixture[str]) -> None:
    log.log_to_stderr(level=TRACE)
    logging.getLogger("tui_forward.engine").log(TRACE, "a frame")
    logging.getLogger("kubernetes").debug("response body: a secret")
    err = capsys.readouterr().err
    assert "TRACE tui_forward.engine: a frame" in err
    assert "response body" not in err


def test_default_log_file_is_absolute() -> None:
    assert log.log_file(Path("engine.sock")).is_absolute()


@pytest.mark.parametrize("is_default", [True, False])
def test_engine_needs_no_log(
    is_default: bool, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home folder may be read-only, or its disk full; a file the user named must be written."""
    folder = own_home / "folder"
    folder.write_text("a file where the folder should be")
    monkeypatch.setattr(paths, "logs_dir", lambda: folder / "log")
    options = argparse.Namespace(
        log=None if is_default else folder / "log" / "x.log", log_level="info", detach=True
    )
    if is_default:
        problem = _configure_log(options, Path("engine.sock"), Settings())
        assert problem == f"cannot write the log {folder}/log/engine.log: not a directory"
        logging.getLogger("tui_forward").warning("dropped")
    else:
        with pytest.raises(
            TransportError, match=r"cannot write the log .*/x\.log: not a directory"
        ):
            _configure_log(options, Path("engine.sock"), Settings())
