from __future__ import annotations

import os
import select
import threading
import time
from pathlib import Path

import pytest

from tests.support.other_user import needs_other_user, run_as_other_user
from tui_forward.common import bounded_file
from tui_forward.common.bounded_file import is_folder, may_exist, read_bounded


def test_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    assert read_bounded(path, 100) == bytes(100)
    with pytest.raises(OSError, match="too large"):
        read_bounded(path, 99)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="too large"):
        read_bounded(path)


def test_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = bytes(300_000)
    writer = threading.Thread(target=lambda: path.write_bytes(content))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # so that the writer can open it
    writer.start()
    try:
        until = time.monotonic() + 10
        while not select.select([reader], [], [], 1)[0]:
            assert time.monotonic() < until
        assert read_bounded(path) == content
    finally:
        writer.join()
        os.close(reader)


def test_pipe_without_an_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_file, "_PIPE_TIMEOUT_S", 0.2)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(TimeoutError):  # no writer
        read_bounded(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(TimeoutError):
            read_bounded(path)
    finally:
        os.close(descriptor)


@needs_other_user
def test_path_in_a_folder_of_another_user(tmp_path: Path) -> None:
    """`Path.exists` raises there, for example if HOME is that of the user before `su`."""
    (tmp_path / "closed").mkdir(mode=0o700)
    inside = tmp_path / "closed" / "config"

    def look() -> str:
        return f"{may_exist(inside)} {is_folder(inside)}"

    assert run_as_other_user(look) == "True False"


def test_missing_paths(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for name, expected in {
        "none": False, "broken": False, "file/inside": False,
        "file": True, "loop": True, "n\0": True,
    }.items():  # fmt: skip
        assert may_exist(tmp_path / name) is expected, name
        assert not is_folder(tmp_path / name)
    assert is_folder(tmp_path)
