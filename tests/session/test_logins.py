"""Logins of credential plugins, as forwards, lists and snapshots show them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.kube.api_server import ApiServer, serving
from tests.kube.certificates import Authority, server_context
from tests.kube.kubeconfigs import kubeconfig, write
from tests.support.waiting import until
from tui_forward.common.access_options import parse_access_options
from tui_forward.common.logging_levels import TRACE
from tui_forward.common.tasks import spawn
from tui_forward.errors import AuthError, ConfigError
from tui_forward.kube.auth import shared_login
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    BlockedBy,
    Caller,
    CatalogScope,
    ClusterKey,
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
from tui_forward.session import kubernetes_backend
from tui_forward.session.callers import CURRENT_CALLER
from tui_forward.session.kubernetes_backend import KubernetesBackend
from tui_forward.session.local import LocalSession

V1 = "client.authentication.k8s.io/v1"
HERE = ("test", NO_OPTIONS)
URL = "https://login.example/device"
LOGIN = ReasonCode.AUTH_LOGIN_RUNNING
# With valid credentials: the pods of these tests do not exist.
MISSING = (ReasonCode.POD_NOT_FOUND, ReasonCode.TARGET_NOT_FOUND)


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
    # A plugin is not run for a server without TLS.
    tls = server_context(Authority().issue("server"), tmp_path)
    async with serving(tls=tls) as server:
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


# Environments ---------------------------------------------------------------------------


def caller(**environ: str) -> Caller:
    return Caller(environ={**os.environ, **environ}, terminal="pts/7", pid=4211)


@pytest.fixture
def profiles(plugin: Plugin) -> Plugin:
    """Return a plugin like `aws eks get-token`: what it gives depends on the environment."""
    plugin.write(
        "profile = os.environ.get('CLOUD_PROFILE', '')\n"
        "if profile != 'prod': sys.exit(f'profile {profile!r} has no access')\n"
        "answer('good')\n"
    )
    return plugin


@contextlib.contextmanager
def asked_by(one: Caller | None) -> Iterator[None]:
    token = CURRENT_CALLER.set(one)
    try:
        yield
    finally:
        CURRENT_CALLER.reset(token)


DEV, PROD = caller(CLOUD_PROFILE="dev"), caller(CLOUD_PROFILE="prod", SHLVL="7")
FAILED = ReasonCode.AUTH_PLUGIN_FAILED


async def test_plugin_runs_in_the_environment_of_who_asks(
    session: LocalSession, profiles: Plugin
) -> None:
    """A01 of the field: the terminal that started the engine has another profile."""
    ids = {}
    for name, one in (("none", None), ("dev", DEV), ("prod", PROD)):
        with asked_by(one):
            ids[await session.start(spec(name))] = name
    await snapshot_with(
        session,
        lambda s: {ids[one.id] for one in s.forwards if one.code is FAILED} == {"none", "dev"},
    )
    await until(lambda: profiles.count == 3)
    for one, is_healthy in ((None, False), (DEV, False), (PROD, True)):
        with asked_by(one):
            deadline = time.monotonic() + 60
            while True:
                health = (await session.catalog(CatalogScope("test", "shop"))).health
                assert health is not None
                if health.ok is not None:
                    break
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            assert health.ok is is_healthy
    # The lists have used what the forwards had.
    assert profiles.count == 3


async def test_terminals_that_differ_in_volatile_variables_share_a_login(
    session: LocalSession, profiles: Plugin
) -> None:
    for number in range(5):
        with asked_by(caller(CLOUD_PROFILE="prod", SHLVL=str(number), TMUX_PANE=f"%{number}")):
            await session.start(spec(f"web-{number}"))
            await session.catalog(CatalogScope("test", "shop"))
    await snapshot_with(session, lambda s: all(one.code in MISSING for one in s.forwards))
    assert profiles.count == 1


@pytest.mark.parametrize("command", ["reconnect", "resume"])
async def test_forward_takes_the_environment_of_who_resumes_it(
    session: LocalSession, profiles: Plugin, command: str
) -> None:
    with asked_by(DEV):
        forward_id = await session.start(spec())
        await snapshot_with(session, lambda s: s.forwards[0].code is FAILED)
        assert (await session.snapshot()).forwards[0].environment == ""
    with asked_by(PROD):
        snapshot = await session.snapshot()
        assert snapshot.forwards[0].environment == "pts/7 (CLOUD_PROFILE differs)"
        if command == "resume":
            await session.pause(forward_id)
        await getattr(session, command)(forward_id)
        await snapshot_with(session, lambda s: s.forwards[0].code in MISSING)
        assert (await session.snapshot()).forwards[0].environment == ""
    # A program without a terminal, such as the engine itself, changes nothing.
    await session.reconnect(forward_id)
    with asked_by(PROD):
        assert (await session.snapshot()).forwards[0].environment == ""


async def test_values_of_an_environment_are_shown_nowhere(
    session: LocalSession, plugin: Plugin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(TRACE)
    plugin.write("sys.exit('denied: ' + os.environ['CLOUD_SECRET'])\n")
    secret = "s3cr3t-of-the-terminal"
    with asked_by(caller(CLOUD_SECRET=secret)):
        await session.start(spec())
        snapshot = await snapshot_with(session, lambda s: s.forwards[0].code is FAILED)
    snapshots = [snapshot, await session.snapshot()]
    events = [repr(session._engine._events)]
    shown = [repr(one) for one in snapshots] + events + [caplog.text]
    assert not [text for text in shown if secret in text]


async def test_number_of_environments_is_bounded(session: LocalSession, profiles: Plugin) -> None:
    for number in range(40):
        with asked_by(caller(CLOUD_PROFILE="prod", NUMBER=str(number))):
            await session.snapshot()
    backend = session._backend
    assert isinstance(backend, KubernetesBackend)
    assert len(backend._callers) <= kubernetes_backend._MAX_CALLERS
    # One that a forward uses stays.
    with asked_by(PROD):
        forward_id = await session.start(spec())
        await session.pause(forward_id)
    for number in range(40):
        with asked_by(caller(CLOUD_PROFILE="prod", NUMBER=str(number))):
            await session.snapshot()
    with asked_by(PROD):
        await session.resume(forward_id)
        await snapshot_with(session, lambda s: s.forwards[0].code in MISSING)


# In a terminal --------------------------------------------------------------------------


OUTPUT = f'{{"kind": "ExecCredential", "apiVersion": "{V1}", "status": {{"token": "good"}}}}'


@pytest.fixture
async def interactive(
    server: ApiServer, plugin: Plugin, tmp_path: Path
) -> AsyncIterator[LocalSession]:
    user = plugin.user(interactiveMode="Always")
    config = write(tmp_path / "config", kubeconfig(server.url, user=user))
    session = LocalSession(config, monitor_system=False)
    yield session
    await session.close()


async def test_plugin_that_needs_a_terminal_blocks_until_a_front_end_runs_it(
    interactive: LocalSession, plugin: Plugin
) -> None:
    session = interactive
    for name, one in (("a", DEV), ("b", PROD), ("c", None)):
        with asked_by(one):
            await session.start(spec(name))
    required = ReasonCode.AUTH_TERMINAL_REQUIRED
    await snapshot_with(session, lambda s: all(one.code is required for one in s.forwards))
    with asked_by(PROD):
        command = await session.begin_login(HERE)
        assert command is not None
        assert command.arguments == (str(plugin.script),)
        assert '"interactive": true' in command.environ["KUBERNETES_EXEC_INFO"]
        assert "CLOUD_PROFILE" not in command.environ
        await session.finish_login(HERE, OUTPUT.encode(), 0)
        # All of them use this terminal's login from now on.
        snapshot = await snapshot_with(
            session, lambda s: all(one.code in MISSING for one in s.forwards)
        )
        assert {one.environment for one in snapshot.forwards} == {""}
    assert plugin.count == 0


async def test_login_in_a_terminal_that_fails_or_is_not_run(
    interactive: LocalSession, plugin: Plugin
) -> None:
    session = interactive
    await session.start(spec())
    required = ReasonCode.AUTH_TERMINAL_REQUIRED
    await snapshot_with(session, lambda s: s.forwards[0].code is required)
    assert await session.begin_login(HERE) is not None
    with pytest.raises(AuthError, match="exit code 3"):
        await session.finish_login(HERE, b"", 3)
    assert await session.begin_login(HERE) is not None
    await session.cancel_login(HERE)
    with pytest.raises(ConfigError):
        await session.begin_login(("no such context", NO_OPTIONS))
    await session.finish_login(HERE, OUTPUT.encode(), 0)
    await snapshot_with(session, lambda s: s.forwards[0].code in MISSING)


async def test_login_by_another_program_resumes_what_waits(
    session: LocalSession, plugin: Plugin
) -> None:
    plugin.write("sys.exit('the session has expired')\n")
    await session.start(spec())
    await snapshot_with(session, lambda s: s.forwards[0].code is FAILED)
    plugin.write("answer('good')\n")
    await session.retry_login(HERE)
    await snapshot_with(session, lambda s: s.forwards[0].code in MISSING)
    assert plugin.count == 2


# Logins of options -------------------------------------------------------------------------


def options(**given: str) -> AccessOptions:
    return parse_access_options({name.replace("_", "-"): [text] for name, text in given.items()})


def with_options(given: AccessOptions, name: str = "web-1") -> ForwardSpec:
    target = msgspec.structs.replace(spec(name).target, options=given)
    return ForwardSpec(target=target, local_port=0)


@pytest.fixture
async def two_users(
    server: ApiServer, plugin: Plugin, tmp_path: Path
) -> AsyncIterator[LocalSession]:
    """A session whose context has the user `test`; `other` has the same plugin."""
    content = kubeconfig(server.url, user=plugin.user(interactiveMode="Always"))
    content["users"].append({"name": "other", "user": content["users"][0]["user"]})
    content["contexts"].append(
        {"name": "second", "context": {"cluster": "test", "user": "other", "namespace": "x"}}
    )
    session = LocalSession(write(tmp_path / "config", content), monitor_system=False)
    yield session
    await session.close()


async def test_impersonation_shares_the_login(session: LocalSession, plugin: Plugin) -> None:
    for given in (
        NO_OPTIONS, options(**{"as": "ann"}), options(**{"as": "bob", "as_group": "ops"}),
        options(request_timeout="30s"),
    ):  # fmt: skip
        await session.start(with_options(given))
    snapshot = await snapshot_with(session, lambda s: all(map(is_pending, s.forwards)))
    (login,) = snapshot.logins
    assert login.user == "test"
    assert set(login.clusters) == {one.spec.target.cluster_key for one in snapshot.forwards}
    plugin.signed_in.touch()
    await snapshot_with(session, lambda s: all(one.code in MISSING for one in s.forwards))
    assert plugin.count == 1


async def test_a_token_does_not_wait_for_the_login_of_its_context(
    session: LocalSession, plugin: Plugin
) -> None:
    await session.start(spec("waits"))
    await session.start(with_options(options(token="good"), "has-a-token"))
    snapshot = await snapshot_with(
        session,
        lambda s: s.logins and s.forwards[1].code in MISSING and is_pending(s.forwards[0]),
    )
    assert snapshot.logins[0].clusters == (snapshot.forwards[0].spec.target.cluster_key,)


async def test_login_is_that_of_the_user_of_the_options(
    two_users: LocalSession, plugin: Plugin
) -> None:
    session, other = two_users, ("test", options(user="other"))
    await session.start(spec("own"))
    await session.start(with_options(other[1], "other"))
    await session.start(with_options(options(user="other", **{"as": "ann"}), "other-as-ann"))
    second = msgspec.structs.replace(spec("second").target, context="second")
    await session.start(ForwardSpec(target=second, local_port=0))
    required = ReasonCode.AUTH_TERMINAL_REQUIRED
    await snapshot_with(session, lambda s: all(one.code is required for one in s.forwards))
    command = await session.begin_login(other)
    assert command is not None
    assert command.user == "other"
    await session.finish_login(other, OUTPUT.encode(), 0)
    # It is the login of another context, too; but not that of the user of this one.
    snapshot = await snapshot_with(
        session, lambda s: all(one.code in MISSING for one in s.forwards[1:])
    )
    assert snapshot.forwards[0].code is required
    command = await session.begin_login(HERE)
    assert command is not None
    assert command.user == "test"
    await session.cancel_login(HERE)
    assert plugin.count == 0


async def test_login_by_another_program_resumes_all_users_of_the_context(
    two_users: LocalSession, plugin: Plugin
) -> None:
    """What `login_command` runs may have logged in any of them."""
    session = two_users
    for one in (spec("own"), with_options(options(user="other"), "other")):
        await session.start(one)
    required = ReasonCode.AUTH_TERMINAL_REQUIRED
    await snapshot_with(session, lambda s: all(one.code is required for one in s.forwards))
    retried: list[ClusterKey] = []
    backend = session._backend
    original = backend.retry_login

    def retry_login(cluster: ClusterKey) -> None:
        retried.append(cluster)
        original(cluster)

    backend.retry_login = retry_login  # type: ignore[method-assign]
    await session.retry_login(HERE)
    assert set(retried) == {HERE, ("test", options(user="other"))}
