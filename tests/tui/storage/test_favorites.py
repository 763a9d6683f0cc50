from __future__ import annotations

import os
from pathlib import Path

import pytest

from tui_forward.tui.storage.favorites import Memory


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
    for number in range(250):
        memory.use("prod", str(number))
    assert len(memory.recent("prod")) == 200
    assert memory.recent("prod")["249"] == 0
    for number in range(300):
        memory.use(f"c{number}", "a")
    assert memory.recent("prod") == {}
    assert memory.recent("c299") == {"a": 0}


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"contexts": 3}',
        b"\xff\xfe",
        b'{"version": 2, "contexts": {}}',
        b'{"version": 1, "contexts": {}, "more": 1}',
        b'{"version": 1, "contexts": {"a": {"b": 1}}}',
    ],
)
def test_what_cannot_be_understood_is_put_aside_not_lost(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    memory = Memory(file)
    assert "could not be understood" in memory.trouble
    memory.use("prod", "a")
    assert file.with_name("browse.json.bad").read_bytes() == content
    assert Memory(file).recent("prod") == {"a": 0}


def test_what_was_put_aside_before_is_kept_too(file: Path) -> None:
    file.parent.mkdir()
    for content in (b"one", b"two"):
        file.write_bytes(content)
        assert Memory(file).trouble
    assert file.with_name("browse.json.bad").read_bytes() == b"one"
    assert file.with_name("browse.json.bad.1").read_bytes() == b"two"
    for number in range(2, 10):
        file.with_name(f"browse.json.bad.{number}").touch()
    file.write_bytes(b"three")
    memory = Memory(file)
    assert "nor put aside" in memory.trouble
    memory.use("prod", "a")
    assert file.read_bytes() == b"three"


def test_two_screens_keep_each_other_s_stars(file: Path) -> None:
    one, two = Memory(file), Memory(file)
    one.toggle_favourite("prod", "a")
    two.toggle_favourite("prod", "b")
    one.use("prod", "c")
    assert one.favourites("prod") == Memory(file).favourites("prod") == {"a", "b"}
    assert Memory(file).recent("prod") == {"c": 0}


def test_a_file_that_was_deleted_is_written_again(file: Path) -> None:
    memory = Memory(file)
    memory.toggle_favourite("prod", "a")
    file.unlink()
    memory.use("prod", "b")
    assert Memory(file).favourites("prod") == {"a"}


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
    memory.use("prod", "c")
    assert list(memory.recent("prod")) == ["c", "b", "a"]
    assert os.listdir(file.parent) == ["browse.json"]  # noqa: PTH208


def test_without_a_file_nothing_is_kept() -> None:
    memory = Memory(None)
    memory.use("prod", "a")
    assert memory.recent("prod") == {"a": 0}
