"""Credentials of plugins are handed over from one engine to the next, in memory only."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from tests.daemon.test_handover import ports, replace, spec
from tests.support.engine_processes import EngineSandbox
from tests.support.fake_engine import FakeBackend
from tests.support.waiting import until
from tui_forward.daemon import handover, rpc, unix_socket
from tui_forward.daemon.handover import HandoverSender, request_handover
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.daemon.server import SessionServer
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.errors import TransportError
from tui_forward.session.local import LocalSession

pytestmark = pytest.mark.timeout(120)

SECRET = "s3cret-t0ken-of-a-plugin"
# Counts its runs; the secret is in no file.
PLUGIN = """\
import json, os, sys
with open(sys.argv[1], "a") as runs:
    runs.write(os.environ.get("AWS_PROFILE", "none") + "\\n")
token = "s3cret-" + "t0ken-of-a-" + "plugin"
status = {"token": token, "expirationTimestamp": sys.argv[2]}
print(json.dumps({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1",
                  "status": status}))
"""
VALID, EXPIRED = "2999-01-01T00:00:00Z", "2001-01-01T00:00:00Z"


class PluginSandbox:
    """An engine with a credential plugin, and the environments in which it has run."""

    def __init__(self, sandbox: EngineSandbox, folder: Path, expiry: str) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.runs_file = folder / "runs"
        self.runs_file.touch()
        plugin = folder / "plugin.py"
        plugin.write_text(PLUGIN)
        arguments = [str(plugin), str(self.runs_file), expiry]
        user = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": sys.executable,
                "args": arguments,
                "interactiveMode": "Never",
            }
        }
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [
                {"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "shop"}}
            ],
            # Credentials are sent by https only; nothing listens.
            "clusters": [{"name": "here", "cluster": {"server": "https://127.0.0.1:1"}}],
            "users": [{"name": "me", "user": user}],
        }
        sandbox.kubeconfig.write_text(json.dumps(content))

    @property
    def runs(self) -> list[str]:
        return self.runs_file.read_text().split()

    async def open(self, profile: str) -> RemoteSession:
        os.environ["AWS_PROFILE"] = profile  # restored by the fixture
        return await self.sandbox.open()

    def leaks(self, home: Path) -> list[str]:
        """Return the files and processes that contain the secret."""
        found = [
            str(path)
            for folder in (self.folder, home)
            for path in folder.rglob("*")
            if path.is_file() and not path.is_symlink() and SECRET.encode() in path.read_bytes()
        ]
        for process in self.sandbox.engines():
            texts = [*process.cmdline(), *process.environ().values()]
            found += [str(process.pid) for text in texts if SECRET in text]
        return found


async def tried(session: RemoteSession, count: int) -> None:
    """Wait until every forward has tried to reach the server, for which it needs credentials."""
    async with asyncio.timeout(60):
        while True:
            forwards = (await session.snapshot()).forwards
            if len(forwards) == count and all("127.0.0.1:1" in one.reason for one in forwards):
                return
            await asyncio.sleep(0.02)


async def test_plugin_does_not_run_again_after_a_handover(
    sandbox: EngineSandbox, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for the environment of the engine, nor for another; also after a second one."""
    monkeypatch.setenv("AWS_PROFILE", "")
    plugin = PluginSandbox(sandbox, tmp_path, VALID)
    one = await plugin.open("one")
    await one.start(spec("web-1"))
    other = await plugin.open("other")
    await other.start(spec("web-2"))
    await tried(other, 2)
    await other.set_keep_running(True)
    assert sorted(plugin.runs) == ["one", "other"]
    before = ports(await one.snapshot())
    for environment in ("other", "third"):
        # The next engine may be started in another environment than the one before.
        monkeypatch.setenv("AWS_PROFILE", environment)
        old = one.engine_pid
        message = await replace(sandbox)
        assert message.pid != old
        await one.close()
        one = await plugin.open("one")
        await tried(one, 2)
        assert ports(await one.snapshot()) == before
        assert sorted(plugin.runs) == ["one", "other"]
        await until(lambda old=old: not psutil.pid_exists(old))  # type: ignore[misc]
    assert plugin.leaks(own_home) == []
    await one.close()
    await other.close()


async def test_plugin_runs_again_if_its_credentials_have_expired(
    sandbox: EngineSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "")
    plugin = PluginSandbox(sandbox, tmp_path, EXPIRED)
    session = await plugin.open("one")
    await session.start(spec("web-1"))
    await tried(session, 1)
    await session.set_keep_running(True)
    await replace(sandbox)
    await session.close()
    before = len(plugin.runs)
    session = await plugin.open("one")
    await until(lambda: len(plugin.runs) > before, 60, "another run")
    await session.close()


class LoggingInBackend(FakeBackend):
    """Has a login in progress until the test ends it."""

    logging_in = True
    held = 0
    released = 0

    def running_logins(self) -> tuple[tuple[str, str], ...]:
        return (("prod", "cloud-login"),) if self.logging_in else ()

    def hold_logins(self) -> bytes:
        self.held += 1
        return b"credentials"

    def release_logins(self) -> None:
        self.released += 1


async def test_login_in_progress_is_awaited_or_named_and_never_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "_LOGIN_S", 0.3)
    backend = LoggingInBackend()
    path = tmp_path / "e.sock"
    async with AsyncExitStack() as undo:
        session = LocalSession(backend=backend, monitor_system=False)
        undo.push_async_callback(session.close)
        saver = SessionSaver(session, tmp_path / "session.json")
        lock, listening = unix_socket.SocketLock(path), unix_socket.bind_socket(path)
        assert lock.acquire()
        sender = HandoverSender(
            session, saver, lock, listening, rpc.HandoverOffer(), on_handed_over=lambda _: None
        )
        server = SessionServer(session, saver, NoticeLog(), sender)
        await server.start(listening)
        with pytest.raises(TransportError) as refused:
            await asyncio.to_thread(request_handover, path)
        assert refused.value.message == (
            'a login is in progress, which a restart would end: cloud-login for context "prod"'
        )
        assert "the running engine continues" in refused.value.hint
        assert (backend.held, sender.idle.is_set(), sender.is_done) == (0, True, False)

        # One that ends soon is awaited.
        monkeypatch.setattr(handover, "_LOGIN_S", 60.0)
        requested = asyncio.ensure_future(asyncio.to_thread(request_handover, path))
        await asyncio.sleep(0.1)
        assert not requested.done()
        assert sender.idle.is_set(), "commands, which may complete the login, are executed"
        backend.logging_in = False
        state = await requested
        assert state.offer.logins == b"credentials"
        assert "credentials" not in repr(state.offer)
        assert (backend.held, backend.released) == (1, 0)
        # The next engine fails, so that this one continues.
        state.server_socket.close()
        os.close(state.lock_fd)
        state._connection.close()
        await until(lambda: backend.released > 0)
        await server.close()
    lock.release()
