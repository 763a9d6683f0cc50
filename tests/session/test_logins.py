"""Logins of credential plugins, as forwards, lists and snapshots show them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kube.api_server import ApiServer, serving
from tests.kube.kubeconfigs import kubeconfig, write
from tests.support.waiting import until
from tui_forward.common.tasks import spawn
from tui_forward.kube.auth import shared_login
from tui_forward.model import (
    BlockedBy,
    CatalogScope,
    Event,
    EventKind,
    Forward,
    ForwardSpec,
    ForwardState,
    ReasonCode,
    Snapshot,
    Target,
    TargetKind,
)
from tui_forward.session.local import LocalSession

V1 = "client.authentication.k8s.io/v1"
URL = "https://login.example/device"
LOGIN = ReasonCode.AUTH_LOGIN_RUNNING


class Plugin:
    """A plugin that shows a device code and waits until the user has signed in."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "runs"
        self.runs.touch()
        self.signed_in = folder / "signed-in"
        self.script = folder / "device-plugin"
        self.write(
            f"print('To sign in, open {URL} and enter the code ABCD-1234', file=sys.stderr)\n"
            f"while not os.path.exists({str(self.signed_in)!r}): time.sleep(0.01)\n"
            "answer('good')\n"
        )

    def write(self, body: str) -> None:
        self.script.write_text(
            f"#!{sys.executable}\n"
            "import json, os, sys, time\n"
            f"open({str(self.runs)!r}, 'a').write('x')\n"
            "def answer(token):\n"
            f"    print(json.dumps({{'kind': 'ExecCredential', 'apiVersion': {V1!r},"
            " 'status': {'token': token}}))\n" + body
        )
        self.script.chmod(0o755)

    @property
    def count(self) -> int:
        return len(self.runs.read_text())

    def user(self, **options: Any) -> dict[str, Any]:
        entry = {
            "apiVersion": V1,
            "command": str(self.script),
            "interactiveMode": "IfAvailable",
            **options,
        }
        return {"exec": entry}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with serving() as server:
        server.tokens = {"good"}
        server.put("namespaces", {"metadata": {"name": "shop"}})
        yield server


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


@pytest.fixture
async def session(
    server: ApiServer, plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LocalSession]:
    monkeypatch.setattr(shared_login, "_SHOW_AFTER_S", 0.05)
    config = write(tmp_path / "config", kubeconfig(server.url, user=plugin.user()))
    session = LocalSession(config, monitor_system=False)
    yield session
    await session.close()


def spec(name: str = "web-1") -> ForwardSpec:
    target = Target(context="", namespace="shop", kind=TargetKind.POD, name=name, port="80")
    return ForwardSpec(target=target, local_port=0)


async def snapshot_with(session: LocalSession, wanted: Callable[[Snapshot], object]) -> Snapshot:
    deadline = time.monotonic() + 60
    while True:
        snapshot = await session.snapshot()
        if wanted(snapshot):
            return snapshot
        assert time.monotonic() < deadline, snapshot
        await asyncio.sleep(0.01)


def is_pending(forward: Forward) -> bool:
    return forward.code is LOGIN


async def test_device_code_is_shown_by_every_forward_and_list(
    session: LocalSession, plugin: Plugin
) -> None:
    events: list[Event] = []

    async def read_events() -> None:
        async for event in session.events():
            events.append(event)  # noqa: PERF401 - as they come

    reading = spawn(read_events(), name="events")
    for number in range(5):
        await session.start(spec(f"web-{number}"))
    scope = CatalogScope("test", "shop")
    await session.catalog(scope)
    snapshot = await snapshot_with(session, lambda s: all(map(is_pending, s.forwards)))
    assert {one.state for one in snapshot.forwards} == {ForwardState.BLOCKED}
    assert {one.blocked_by for one in snapshot.forwards} == {BlockedBy.CREDENTIALS}
    assert all(URL in one.reason and "ABCD-1234" in one.reason for one in snapshot.forwards)
    (login,) = snapshot.logins
    assert (login.context, login.plugin, login.code) == ("test", "device-plugin", LOGIN)
    assert login.text == f"To sign in, open {URL} and enter the code ABCD-1234"
    health = (await session.catalog(scope)).health
    assert health is not None
    assert (health.ok, health.code) == (False, LOGIN)
    hops = await session.hops(snapshot.forwards[0].id)
    assert [hop.code for hop in hops if hop.code] == [LOGIN]
    lines = [event for event in events if event.event is EventKind.LOGIN]
    assert [(one.context, one.reason) for one in lines] == [("test", login.text)]
    plugin.signed_in.touch()
    snapshot = await snapshot_with(session, lambda s: not any(map(is_pending, s.forwards)))
    # The pods do not exist.
    await snapshot_with(
        session,
        lambda s: (
            {one.code for one in s.forwards} == {ReasonCode.POD_NOT_FOUND}
            or {one.code for one in s.forwards} == {ReasonCode.TARGET_NOT_FOUND}
        ),
    )
    await until(lambda: not session._backend.logins())
    assert plugin.count == 1
    reading.cancel()


@pytest.mark.parametrize("stopped", [1, 4])
async def test_stopping_forwards_leaves_the_login_to_the_others(
    session: LocalSession, plugin: Plugin, stopped: int
) -> None:
    ids = [await session.start(spec(f"web-{number}")) for number in range(5)]
    await snapshot_with(session, lambda s: all(map(is_pending, s.forwards)))
    for forward_id in ids[:stopped]:
        await session.stop(forward_id)
    plugin.signed_in.touch()
    await snapshot_with(session, lambda s: not any(map(is_pending, s.forwards)))
    assert plugin.count == 1


async def test_failing_plugin_runs_rarely_and_says_why(
    session: LocalSession, plugin: Plugin
) -> None:
    """Nine forwards and eight lists once ran it 48 times a minute."""
    plugin.write("time.sleep(0.05)\nsys.exit('the session has expired')\n")
    for number in range(9):
        await session.start(spec(f"web-{number}"))
    await session.catalog(CatalogScope("test", "shop"))
    snapshot = await snapshot_with(
        session,
        lambda s: all(one.code is ReasonCode.AUTH_PLUGIN_FAILED for one in s.forwards),
    )
    assert all("the session has expired" in one.reason for one in snapshot.forwards)
    for _ in range(20):
        await session.catalog(CatalogScope("test", "shop"))
        await asyncio.sleep(0.01)
    assert plugin.count == 1


async def test_request_of_the_user_ends_the_pause(session: LocalSession, plugin: Plugin) -> None:
    plugin.write("sys.exit('the session has expired')\n")
    forward_id = await session.start(spec())
    failed = ReasonCode.AUTH_PLUGIN_FAILED
    await snapshot_with(session, lambda s: s.forwards[0].code is failed)
    session._backend.refresh()  # as after a change of the kubeconfig
    await snapshot_with(session, lambda s: s.forwards[0].code is failed)
    assert plugin.count == 1
    plugin.write("answer('good')\n")
    await session.reconnect(forward_id)
    await until(lambda: plugin.count == 2)
    await snapshot_with(session, lambda s: s.forwards[0].code is not failed)


async def test_success_of_one_user_resumes_the_others(
    session: LocalSession, plugin: Plugin
) -> None:
    plugin.write("sys.exit('the session has expired')\n")
    ids = [await session.start(spec(f"web-{number}")) for number in range(4)]
    failed = ReasonCode.AUTH_PLUGIN_FAILED
    await snapshot_with(session, lambda s: all(one.code is failed for one in s.forwards))
    plugin.write("answer('good')\n")
    await session.reconnect(ids[0])
    # Long before their own retries.
    async with asyncio.timeout(15):
        await snapshot_with(session, lambda s: all(one.code is not failed for one in s.forwards))


async def test_closing_the_session_kills_the_plugin(
    server: ApiServer, plugin: Plugin, tmp_path: Path
) -> None:
    config = write(tmp_path / "config", kubeconfig(server.url, user=plugin.user()))
    pid = tmp_path / "pid"
    plugin.write(f"open({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n")
    session = LocalSession(config, monitor_system=False)
    await session.start(spec())
    await until(lambda: pid.exists() and pid.read_text())
    await session.close()
    await until(lambda: not Path(f"/proc/{pid.read_text()}/cmdline").exists())
