from __future__ import annotations

import os
from pathlib import Path

import pytest

from tui_forward.tui.storage.favorites import Favorites


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "browse.json"


def test_favorites_and_recent_persist(file: Path) -> None:
    memory = Favorites(file)
    assert memory.toggle("prod", "deploy/shop/web")
    for key in ("a", "b", "a"):
        memory.record_use("prod", key)
    again = Favorites(file)
    assert again.keys("prod") == {"deploy/shop/web"}
    assert again.recent("prod") == {"a": 0, "b": 1}
    assert again.recent("other") == {}
    assert not again.toggle("prod", "deploy/shop/web")
    assert Favorites(file).keys("prod") == frozenset()
    assert not memory.problem


def test_stored_entries_are_bounded(file: Path) -> None:
    memory = Favorites(file)
    for number in range(250):
        memory.record_use("prod", str(number))
    assert len(memory.recent("prod")) == 200
    assert memory.recent("prod")["249"] == 0
    for number in range(300):
        memory.record_use(f"c{number}", "a")
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
def test_invalid_file_is_moved_aside(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    memory = Favorites(file)
    assert "is invalid; moved to" in memory.problem
    memory.record_use("prod", "a")
    assert file.with_name("browse.json.bad").read_bytes() == content
    assert Favorites(file).recent("prod") == {"a": 0}


def test_earlier_moved_file_is_kept(file: Path) -> None:
    file.parent.mkdir()
    for content in (b"one", b"two"):
        file.write_bytes(content)
        assert Favorites(file).problem
    assert file.with_name("browse.json.bad").read_bytes() == b"one"
    assert file.with_name("browse.json.bad.1").read_bytes() == b"two"
    for number in range(2, 10):
        file.with_name(f"browse.json.bad.{number}").touch()
    file.write_bytes(b"three")
    memory = Favorites(file)
    assert "cannot be moved" in memory.problem
    memory.record_use("prod", "a")
    assert file.read_bytes() == b"three"


def test_two_dashboards_share_favorites(file: Path) -> None:
    one, two = Favorites(file), Favorites(file)
    one.toggle("prod", "a")
    two.toggle("prod", "b")
    one.record_use("prod", "c")
    assert one.keys("prod") == Favorites(file).keys("prod") == {"a", "b"}
    assert Favorites(file).recent("prod") == {"c": 0}


def test_deleted_file_is_written_again(file: Path) -> None:
    memory = Favorites(file)
    memory.toggle("prod", "a")
    file.unlink()
    memory.record_use("prod", "b")
    assert Favorites(file).keys("prod") == {"a"}


def test_unwritable_folder_is_reported(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    memory = Favorites(blocked / "browse.json")
    memory.record_use("prod", "a")
    assert "cannot read" in memory.problem
    assert memory.recent("prod") in ({"a": 0}, {})


def test_failed_write_leaves_no_partial_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Favorites(file)
    memory.record_use("prod", "a")

    def fail(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    memory.record_use("prod", "b")
    assert "No space left" in memory.problem
    memory.record_use("prod", "c")
    assert list(memory.recent("prod")) == ["c", "b", "a"]
    assert os.listdir(file.parent) == ["browse.json"]  # noqa: PTH208


def test_without_a_path_nothing_is_kept() -> None:
    memory = Favorites(None)
    memory.record_use("prod", "a")
    assert memory.recent("prod") == {"a": 0}
