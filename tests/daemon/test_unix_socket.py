from __future__ import annotations

import os
import socket
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tui_forward.daemon import unix_socket as unix_socket
from tui_forward.errors import ConfigError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets")


def test_one_socket_per_kubeconfig(own_home: Path) -> None:
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
    assert (
        unix_socket.default_socket_path("/a", {"XDG_RUNTIME_DIR": runtime, "KUBECONFIG": "/b"})
        != named
    )


def test_without_a_runtime_folder_the_users_own_is_used() -> None:
    path = unix_socket.default_socket_path(None, {"XDG_RUNTIME_DIR": "/nonexistent/here"})
    assert f"tui-forward-{os.getuid()}" in str(path)


def test_the_folder_is_made_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "engine.sock"
    unix_socket.ensure_private_dir(path)
    unix_socket.ensure_private_dir(path)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_open_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="open to other users") as failed:
        unix_socket.ensure_private_dir(folder / "engine.sock")
    assert failed.value.hint == f"run: chmod 700 {folder}"


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="does not belong to you"):
        unix_socket.ensure_private_dir(tmp_path / "link" / "engine.sock")


def test_a_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long"):
        unix_socket.ensure_private_dir(tmp_path / ("x" * 120) / "engine.sock")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        unix_socket.ensure_private_dir(tmp_path / "file" / "engine.sock")


def test_the_lock_belongs_to_one(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    one, other = unix_socket.SocketLock(path), unix_socket.SocketLock(path)
    assert one.acquire()
    assert not other.acquire()
    assert (tmp_path / "engine.sock.lock").read_text() == f"{os.getpid()}\n"
    one.release()
    one.release()
    assert other.acquire()
    other.release()


def test_the_socket_is_closed_to_others_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    unix_socket.bind_socket(path).close()
    assert path.exists(), "what a crash leaves"
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


def test_another_user_is_not_us(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair()
    with closing(one), closing(other):
        monkeypatch.setattr(unix_socket, "peer_uid", lambda sock: os.getuid() + 1)
        assert not unix_socket.is_same_user(one)
        monkeypatch.setattr(unix_socket, "peer_uid", lambda sock: None)
        assert unix_socket.is_same_user(one)
