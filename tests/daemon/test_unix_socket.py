from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.common.test_private_files import plant
from tests.support.other_user import give_away, needs_other_user, run_as_other_user
from tui_forward.daemon import unix_socket
from tui_forward.errors import ConfigError


def test_each_kubeconfig_has_its_socket(own_home: Path) -> None:
    runtime = str(own_home / "run")
    default = unix_socket.default_socket_path(None, {"XDG_RUNTIME_DIR": runtime})
    assert default == own_home / "run" / "tui-forward" / "engine.sock"
    usual = str(own_home / ".kube" / "config")
    assert unix_socket.default_socket_path(usual, {"XDG_RUNTIME_DIR": runtime}) == default
    assert (
        unix_socket.default_socket_path("~/.kube/config", {"XDG_RUNTIME_DIR": runtime}) == default
    )
    named = unix_socket.default_socket_path(
        None, {"XDG_RUNTIME_DIR": runtime, "KUBECONFIG": "/a:/b"}
    )
    assert named != default
    assert named == unix_socket.default_socket_path(
        None, {"XDG_RUNTIME_DIR": runtime, "KUBECONFIG": "/a::/b:/a"}
    )
    # An empty file, and a folder that is called ~.
    for listed in (":", "~/.kube/config"):
        environ = {"XDG_RUNTIME_DIR": runtime, "KUBECONFIG": listed}
        assert unix_socket.default_socket_path(None, environ) not in {default, named}
    assert (
        unix_socket.default_socket_path("/a", {"XDG_RUNTIME_DIR": runtime, "KUBECONFIG": "/b"})
        != named
    )


def test_folder_of_the_user_is_used_without_a_runtime_folder() -> None:
    path = unix_socket.default_socket_path(None, {"XDG_RUNTIME_DIR": "/nonexistent/here"})
    assert f"tui-forward-{os.getuid()}" in str(path)


def test_folder_is_created_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "engine.sock"
    unix_socket.ensure_private_dir(path)
    unix_socket.ensure_private_dir(path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_readable_folder_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "readable"
    folder.mkdir()
    folder.chmod(0o755)
    unix_socket.ensure_private_dir(folder / "engine.sock")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_writable_folder_is_rejected(mode: int, tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ConfigError, match="open to other users") as failed:
        unix_socket.ensure_private_dir(folder / "engine.sock")
    assert failed.value.hint == f"see what is in it, then run: chmod 700 {folder}"


def test_symlink_to_a_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="does not belong to you"):
        unix_socket.ensure_private_dir(tmp_path / "link" / "engine.sock")


# Attacks of another user in a folder of all users ---------------------------------------------


@pytest.fixture
def shared_temp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder like /tmp, used where there is no runtime folder of the user."""
    folder = Path(tempfile.mkdtemp(prefix="tf-shared-", dir="/tmp"))
    folder.chmod(0o1777)
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def shared_socket() -> Path:
    return unix_socket.default_socket_path(None, {"TMPDIR": os.environ["TMPDIR"]})


def test_folders_in_a_shared_folder_are_private(shared_temp: Path) -> None:
    path = shared_socket()
    unix_socket.ensure_private_dir(path)
    unix_socket.ensure_private_dir(path)
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.lstat().st_mode) == 0o700
    assert path.parent.parent.parent == shared_temp


@needs_other_user
def test_folder_that_another_user_created_first_is_rejected(shared_temp: Path) -> None:
    outer = shared_socket().parent.parent

    def attack() -> str:
        outer.mkdir(mode=0o777)
        return "done"

    assert run_as_other_user(attack) == "done"
    with pytest.raises(ConfigError, match="does not belong to you"):
        unix_socket.ensure_private_dir(shared_socket())
    assert not list(outer.iterdir()), "nothing was created in it"


def test_link_in_place_of_the_outer_folder_is_rejected(shared_temp: Path) -> None:
    elsewhere = shared_temp / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    shared_socket().parent.parent.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="does not belong to you"):
        unix_socket.ensure_private_dir(shared_socket())


def test_open_outer_folder_is_rejected(shared_temp: Path) -> None:
    outer = shared_socket().parent.parent
    outer.mkdir()
    outer.chmod(0o777)
    with pytest.raises(ConfigError, match="open to other users") as failed:
        unix_socket.ensure_private_dir(shared_socket())
    assert failed.value.hint == f"see what is in it, then run: chmod 700 {outer}"


def test_shared_folder_without_sticky_bit_is_rejected(shared_temp: Path) -> None:
    shared_temp.chmod(0o777)
    with pytest.raises(ConfigError, match="can be written by another user") as failed:
        unix_socket.ensure_private_dir(shared_socket())
    assert "XDG_RUNTIME_DIR" in failed.value.hint


@needs_other_user
def test_shared_folder_of_another_user_is_rejected(shared_temp: Path) -> None:
    give_away(shared_temp)
    with pytest.raises(ConfigError, match="belongs to another user"):
        unix_socket.ensure_private_dir(shared_socket())


@needs_other_user
def test_runtime_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert unix_socket.default_socket_path(None, environ).is_relative_to(tmp_path)
    give_away(tmp_path)
    assert not unix_socket.default_socket_path(None, environ).is_relative_to(tmp_path)


def test_runtime_folder_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    path = unix_socket.default_socket_path(None, {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert not path.is_relative_to(tmp_path)


@pytest.mark.parametrize("kind", ["link", "hard link", "fifo"])
def test_planted_lock_file_is_refused(kind: str, tmp_path: Path) -> None:
    path, victim = tmp_path / "engine.sock", tmp_path / "victim"
    victim.write_text("precious")
    plant(kind, tmp_path / "engine.sock.lock", victim)
    with pytest.raises(ConfigError, match="cannot lock"):
        unix_socket.SocketLock(path).acquire()
    assert victim.read_text() == "precious"


def test_path_that_is_too_long_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long"):
        unix_socket.ensure_private_dir(tmp_path / ("x" * 120) / "engine.sock")


def test_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot create the folder"):
        unix_socket.ensure_private_dir(tmp_path / "file" / "engine.sock")


def test_lock_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    one, other = unix_socket.SocketLock(path), unix_socket.SocketLock(path)
    assert one.acquire()
    assert not other.acquire()
    assert (tmp_path / "engine.sock.lock").read_text() == f"{os.getpid()}\n"
    one.release()
    one.release()
    assert other.acquire()
    other.release()


def test_socket_is_private_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    unix_socket.bind_socket(path).close()
    assert path.exists(), "a crash leaves it behind"
    with closing(unix_socket.bind_socket(path)) as listening:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with closing(socket.socket(socket.AF_UNIX)) as client:
            client.connect(str(path))
            listening.setblocking(True)
            ours, _ = listening.accept()
            with closing(ours):
                assert unix_socket.peer_uid(ours) == unix_socket.peer_uid(client) == os.getuid()
                assert unix_socket.is_same_user(ours)
    unix_socket.unlink_socket(path)
    unix_socket.unlink_socket(path)
    assert not path.exists()


def test_other_user_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair()
    with closing(one), closing(other):
        monkeypatch.setattr(unix_socket, "peer_uid", lambda sock: os.getuid() + 1)
        assert not unix_socket.is_same_user(one)
        monkeypatch.setattr(unix_socket, "peer_uid", lambda sock: None)
        assert unix_socket.is_same_user(one)


def test_full_or_read_only_file_system_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tmp_path.chmod(0o700)
    lock = unix_socket.SocketLock(tmp_path / "e.sock")
    monkeypatch.setattr(os, "pwrite", fail)
    assert lock.acquire()  # the id of its holder is only for people
    assert lock.holder is None
    lock.release()
    monkeypatch.setattr(unix_socket, "unlink_socket", fail)
    with pytest.raises(ConfigError, match="no space left on device") as caught:
        unix_socket.bind_socket(tmp_path / "e.sock")
    assert "XDG_RUNTIME_DIR" in caught.value.hint


@pytest.mark.parametrize("folder", ["", "relative", "/nonexistent/tmp", "/dev/null"])
def test_useless_temporary_folder_is_ignored(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tempfile` would take the current folder if it could write to no other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "gettempdir", Path.cwd)
    path = unix_socket.default_socket_path(None, {"TMPDIR": folder})
    assert path.parent.parent == Path(f"/tmp/tui-forward-{os.getuid()}")
    path = unix_socket.default_socket_path(None, {"TMPDIR": str(tmp_path)})
    assert path.parent.parent == tmp_path / f"tui-forward-{os.getuid()}"
