"""Names that another user has created first, and folders that are created on the way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psutil
import pytest

from tests.support.other_user import give_away, needs_other_user
from tui_forward.cli.env_vars import write_env_file
from tui_forward.common.atomic_file import write_atomically
from tui_forward.common.private_files import ensure_private_dirs, open_private_file
from tui_forward.errors import ConfigError
from tui_forward.profiles.store import ProfileStore

WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def modes(folder: Path, below: Path) -> list[int]:
    """Return the modes of a folder and those above it, up to one of them."""
    found = []
    while folder != below:
        found.append(stat.S_IMODE(folder.stat().st_mode))
        folder = folder.parent
    return found


def test_every_created_folder_is_private(tmp_path: Path) -> None:
    ensure_private_dirs(tmp_path / "a" / "b" / "c")
    ensure_private_dirs(tmp_path / "a" / "b" / "c")
    assert modes(tmp_path / "a" / "b" / "c", tmp_path) == [0o700] * 3
    (tmp_path / "open").mkdir(mode=0o755)
    write_atomically(tmp_path / "open" / "d" / "e" / "file", b"x")
    assert modes(tmp_path / "open" / "d" / "e", tmp_path) == [0o700, 0o700, 0o755]


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="exists"):
        ensure_private_dirs(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        ensure_private_dirs(tmp_path / "file" / "below")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Return a file of the user that no other user may truncate."""
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


def plant(kind: str, path: Path, victim: Path) -> None:
    """Create what an attacker would: a name that leads elsewhere, or blocks."""
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "dangling link":
        path.symlink_to(victim.with_name("created"))
    elif kind == "hard link":
        path.hardlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()


def open_descriptors() -> int:
    return psutil.Process().num_fds()


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "fifo", "folder"])
def test_a_planted_name_is_not_opened(kind: str, victim: Path) -> None:
    path = victim.with_name("engine.sock.lock")
    plant(kind, path, victim)
    before = open_descriptors()
    with pytest.raises(OSError, match=r"link|name|regular|directory|device"):
        open_private_file(path, WRITE)
    assert victim.read_text() == "precious"
    assert not victim.with_name("created").exists()
    assert open_descriptors() == before


def test_own_file_is_opened_truncated_and_not_inherited(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in (b"a longer text", b"short"):
        descriptor = open_private_file(path, WRITE)
        assert not os.get_inheritable(descriptor)
        os.write(descriptor, text)
        os.close(descriptor)
    assert path.read_bytes() == b"short"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@needs_other_user
def test_file_of_another_user_is_not_opened(victim: Path) -> None:
    give_away(victim)
    with pytest.raises(PermissionError, match="belongs to another user"):
        open_private_file(victim, WRITE)
    assert victim.read_text() == "precious"


# Atomic replacement ---------------------------------------------------------------------------


@needs_other_user
def test_link_and_file_of_another_user_are_not_replaced(victim: Path) -> None:
    link = victim.with_name("link")
    link.symlink_to(victim)
    give_away(link)
    with pytest.raises(PermissionError, match="link of another user"):
        write_atomically(link, b"x")
    assert victim.read_text() == "precious"
    # A file that the attacker prepared would keep its mode: he could change it afterwards.
    victim.chmod(0o666)
    give_away(victim)
    own_link = victim.with_name("own-link")
    own_link.symlink_to(victim)
    for path in (victim, own_link):
        with pytest.raises(PermissionError, match="belongs to another user"):
            write_atomically(path, b"x")
    assert victim.read_text() == "precious"
    assert len(list(victim.parent.iterdir())) == 3, "no temporary file is left"


def test_own_link_is_kept(victim: Path) -> None:
    link, second = victim.with_name("link"), victim.with_name("second")
    link.symlink_to("victim")
    second.symlink_to(link)
    write_atomically(second, b"x")
    assert second.is_symlink()
    assert link.is_symlink()
    assert victim.read_text() == "x"


@pytest.mark.parametrize("kind", ["link", "dangling link"])
def test_link_of_a_cloned_repository_is_not_followed(kind: str, victim: Path) -> None:
    """`git clone` creates links that belong to the user: `.env` may lead to `~/.bashrc`."""
    env = victim.with_name(".env")
    plant(kind, env, victim)
    with pytest.raises(ConfigError, match="symbolic link"):
        write_env_file(env, {"A": "b"})
    store = ProfileStore(victim.parent / "profiles", victim.parent)
    with pytest.raises(ConfigError, match="symbolic link"):
        store.write(env, "forwards: {}")
    assert victim.read_text() == "precious"
    assert not victim.with_name("created").exists()


def test_environment_file_is_replaced(victim: Path) -> None:
    victim.chmod(0o640)
    write_env_file(victim, {"A": "b", "C": "d e"})
    assert victim.read_text() == "A=b\nC='d e'\n"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o640


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_not_replaced(kind: str, victim: Path) -> None:
    path = victim.with_name("env")
    plant(kind, path, victim)
    with pytest.raises(PermissionError, match="not a regular file"):
        write_atomically(path, b"x")
    assert not path.is_file()


@needs_other_user
def test_device_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "null"
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with pytest.raises(PermissionError, match="not a regular file"):
        write_atomically(path, b"x")
    assert stat.S_ISCHR(path.stat().st_mode)


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="levels of symbolic links"):
        write_atomically(tmp_path / "a", b"x")
