from __future__ import annotations

import os
from pathlib import Path

import pytest

from tui_forward.tui.browse.memory import Memory


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "browse.json"


def test_what_is_liked_and_used_outlives_the_program(file: Path) -> None:
    memory = Memory(file)
    assert memory.toggle_favourite("prod", "deploy/shop/web")
    for key in ("a", "b", "a"):
        memory.use("prod", key)
    again = Memory(file)
    assert again.favourites("prod") == {"deploy/shop/web"}
    assert again.recent("prod") == {"a": 0, "b": 1}
    assert again.recent("other") == {}
    assert not again.toggle_favourite("prod", "deploy/shop/web")
    assert Memory(file).favourites("prod") == frozenset()
    assert not memory.trouble


def test_only_so_much_is_kept(file: Path) -> None:
    memory = Memory(file)
    for number in range(150):
        memory.use("prod", str(number))
    assert len(memory.recent("prod")) == 100
    assert memory.recent("prod")["149"] == 0
    for number in range(300):
        memory.use(f"c{number}", "a")
    assert memory.recent("prod") == {}
    assert memory.recent("c299") == {"a": 0}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"contexts": 3}', b"\xff\xfe"])
def test_what_cannot_be_understood_is_put_aside_not_lost(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    memory = Memory(file)
    assert "could not be understood" in memory.trouble
    memory.use("prod", "a")
    assert file.with_name("browse.json.bad").read_bytes() == content
    assert Memory(file).recent("prod") == {"a": 0}


def test_a_folder_that_cannot_be_written_is_told_and_stops_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    memory = Memory(blocked / "browse.json")
    memory.use("prod", "a")
    assert "cannot be" in memory.trouble
    assert memory.recent("prod") in ({"a": 0}, {})


def test_no_half_written_file_is_left(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(file)
    memory.use("prod", "a")

    def fail(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    memory.use("prod", "b")
    assert "No space left" in memory.trouble
    assert os.listdir(file.parent) == ["browse.json"]  # noqa: PTH208


def test_without_a_file_nothing_is_kept() -> None:
    memory = Memory(None)
    memory.use("prod", "a")
    assert memory.recent("prod") == {"a": 0}
