from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tests.cli.fake_session import FakeSession, until
from tests.tui.samples import shop
from tui_forward.cli import dashboard_runner, output
from tui_forward.cli.commands import dashboard
from tui_forward.cli.terminal_watchdog import TerminalWatchdog
from tui_forward.errors import ConfigError, TuiForwardError
from tui_forward.model import (
    NO_CONTEXT,
    NO_OPTIONS,
    AccessOptions,
    ApiHealth,
    CatalogScope,
    CatalogView,
    Context,
    ForwardSpec,
    Target,
    TargetKind,
)
from tui_forward.session import Session
from tui_forward.tui.storage.context_choice import ContextChoice
from tui_forward.tui.storage.view_state import ViewStateStore


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "has_terminal", lambda: True)


WEB = ForwardSpec(
    target=Target(context="here", namespace="shop", kind=TargetKind.POD, name="web-1", port="80")
)


async def show(*arguments: Any, **options: Any) -> None:
    """Show the dashboard under a watchdog."""
    watchdog = TerminalWatchdog()
    try:
        with watchdog.watch():
            await watchdog.run(dashboard.show_dashboard(watchdog, *arguments, **options))
    finally:
        watchdog.stop()


@contextlib.asynccontextmanager
async def fake_remote_session(session: FakeSession) -> AsyncIterator[Session]:
    yield session


def test_dashboard_that_always_crashes_writes_a_report(
    monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    from tui_forward.tui.app import TuiForwardApp

    async def crash(app: TuiForwardApp) -> None:
        app.crash = "Traceback: the details"

    monkeypatch.setattr(
        dashboard, "remote_session", lambda *_, **__: fake_remote_session(FakeSession())
    )
    monkeypatch.setattr(TuiForwardApp, "run_async", crash)
    with pytest.raises(TuiForwardError, match="crashed repeatedly") as caught:
        asyncio.run(show(None, context=None, namespace=None))
    path = Path(caught.value.hint.split()[-1])
    assert path.read_text() == "Traceback: the details"
    assert own_home in path.parents
    assert path.stat().st_mode & 0o077 == 0


def test_unwritable_crash_report_is_reported(
    monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    (own_home / ".local/state/tui-forward").write_text("a file where a folder should be")
    assert "could not be written" in dashboard_runner.write_crash_report("Traceback")


async def test_crash_reopens_the_dashboard_and_keeps_forwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tui_forward.tui.app import TuiForwardApp

    session, messages, scopes = shop(), [], []

    async def run(app: TuiForwardApp) -> None:
        messages.append(app._startup_message)
        scopes.append(app.cluster_state.scope)
        if len(messages) == 1:
            app.scope.show("there", "default")
            app.crash = "Traceback: the details"

    monkeypatch.setattr(dashboard, "remote_session", lambda *_, **__: fake_remote_session(session))
    monkeypatch.setattr(TuiForwardApp, "run_async", run)
    await session.start(WEB)
    await show(None, context=None, namespace="shop")
    assert messages[0] == ""
    assert "forwards keep running" in messages[1]
    assert scopes == [CatalogScope("here", "shop"), CatalogScope("there", "default")]
    assert len(session.forwards) == 1
    assert not session.keep_running_if_lost, "the user quit the second one"


async def test_crash_while_the_user_quits_does_not_reopen_the_dashboard(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tui_forward.common import paths
    from tui_forward.tui.app import TuiForwardApp

    session, runs = shop(), []

    async def run(app: TuiForwardApp) -> None:
        runs.append(app)
        app.exit()
        app.crash = "Traceback: the details"

    monkeypatch.setattr(dashboard, "remote_session", lambda *_, **__: fake_remote_session(session))
    monkeypatch.setattr(TuiForwardApp, "run_async", run)
    await session.start(WEB)
    await show(None, context=None, namespace="shop")
    assert len(runs) == 1
    assert not session.keep_running_if_lost
    assert paths.crash_report_file().read_text() == "Traceback: the details"
    assert f"Please report it with {paths.crash_report_file()}" in capsys.readouterr().err


async def test_forwards_keep_running_after_repeated_crashes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tui_forward.tui.app import TuiForwardApp

    async def crash(app: TuiForwardApp) -> None:
        app.crash = "Traceback: the details"

    session = shop()
    monkeypatch.setattr(dashboard, "remote_session", lambda *_, **__: fake_remote_session(session))
    monkeypatch.setattr(output, "has_terminal", lambda: True)
    monkeypatch.setattr(TuiForwardApp, "run_async", crash)
    await session.start(WEB)
    with pytest.raises(TuiForwardError, match="crashed repeatedly; 1 forward keeps running; see"):
        await show(None, context=None, namespace="shop")
    assert session.keep_running_if_lost


@pytest.mark.parametrize("keep_running", ["ask", "always", "never"])
async def test_dashboard_that_gets_a_signal_reports_running_forwards(
    keep_running: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    from tui_forward.common import paths
    from tui_forward.tui.app import TuiForwardApp

    (tmp_path / "settings.toml").write_text(f'keep_running = "{keep_running}"\n')
    monkeypatch.setattr(paths, "settings_file", lambda: tmp_path / "settings.toml")

    async def run(app: TuiForwardApp) -> None:
        signal.raise_signal(signal.SIGTERM)
        await until(lambda: app._exit)

    session = shop()
    monkeypatch.setattr(dashboard, "remote_session", lambda *_, **__: fake_remote_session(session))
    monkeypatch.setattr(TuiForwardApp, "run_async", run)
    await session.start(WEB)
    await show(None, context=None, namespace="shop")
    keeps_running = keep_running != "never"
    assert session.keep_running_if_lost is keeps_running
    assert ("1 forward keeps running" in capsys.readouterr().err) is keeps_running


async def test_context_is_checked_before_the_dashboard_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = FakeSession()
    monkeypatch.setattr(dashboard, "remote_session", lambda *_, **__: fake_remote_session(session))
    with pytest.raises(ConfigError, match='no context "nowhere"') as caught:
        await show(None, context="nowhere", namespace=None)
    assert "here" in caught.value.hint


@pytest.mark.parametrize("missing", [True, False])
async def test_dashboard_opens_without_any_context(
    missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = FakeSession()
    session.context_list = ()
    if missing:
        error = ConfigError("there is no kubeconfig at /x", hint="Get one")
        monkeypatch.setattr(session, "contexts", AsyncMock(side_effect=error))
    store = ViewStateStore(None)
    start = await dashboard._start_view(session, None, None, NO_OPTIONS, store, "/x")
    assert start.scope.context == ""
    assert start.choice is not None
    expected = "there is no kubeconfig at /x" if missing else "the kubeconfig has no contexts"
    assert start.choice.reason == expected
    assert start.choice.hint.startswith("Get ")
    assert [file.state for file in start.choice.files] == ["file not found"]


KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: me, user: {}}]
contexts:
- {name: good, context: {cluster: here, user: me}}
- {name: no-cluster, context: {cluster: gone, user: me}}
- {name: no-user, context: {cluster: here, user: gone}}
"""
MISSING = 'there is no context "deleted" in /home/ana/.kube/config'
NO_CLUSTER = 'context "b" names the cluster "x", which is not in /home/ana/.kube/config'


@pytest.mark.parametrize(
    ("problem", "reported"), [("", MISSING), (NO_CLUSTER, "")], ids=["dangling", "broken"]
)
@pytest.mark.parametrize("namespace", [None, "", "data"])
async def test_without_a_usable_context_the_user_chooses_one(
    problem: str, reported: str, namespace: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tui_forward.tui.app import TuiForwardApp

    shown: list[tuple[CatalogScope, ContextChoice | None]] = []

    async def run(app: TuiForwardApp) -> None:
        shown.append((app.cluster_state.scope, app._context_choice))

    session = FakeSession()
    session.context_list = (
        Context(name="a", cluster="c"),
        Context(name="b", cluster="x", current=bool(problem), problem=problem),
    )
    scope = CatalogScope("")
    health = ApiHealth(context="", ok=False, error=reported or problem)
    session.views[scope] = CatalogView(scope=scope, version=1, complete=True, health=health)
    monkeypatch.setattr(dashboard, "remote_session", lambda *_, **__: fake_remote_session(session))
    monkeypatch.setattr(TuiForwardApp, "run_async", run)
    await show(None, context=None, namespace=namespace)
    (shown_scope, choice), *_ = shown
    assert shown_scope == CatalogScope("", namespace or "")
    assert choice is not None
    assert (choice.reason, choice.namespace) == (reported or problem, namespace)
    assert choice.files, "what is wrong with each file is shown"
    # One that the command line names is shown, with its problem.
    await show(None, context="b", namespace=namespace)
    assert shown[1] == (CatalogScope("b", "default" if namespace is None else namespace), None)


@pytest.mark.parametrize(
    ("current", "words"),
    [
        ("current-context: gone", 'no context "gone"'),
        ('current-context: ""', "no current context"),
        ("", "no current context"),
        ("current-context: no-cluster", 'the cluster "gone"'),
        ("current-context: no-user", 'the user "gone"'),
    ],
    ids=["dangling", "empty", "missing", "no cluster", "no user"],
)
async def test_question_for_a_context_names_what_is_wrong_with_the_current_one(
    current: str, words: str, tmp_path: Path
) -> None:
    from tui_forward.session.local import LocalSession
    from tui_forward.tui.storage.view_state import ViewStateStore

    path = tmp_path / "config"
    path.write_text(f"{KUBECONFIG}{current}\n")
    session = LocalSession(path, monitor_system=False)
    try:
        start = await dashboard._start_view(session, None, None, NO_OPTIONS, ViewStateStore(None))
    finally:
        await session.close()
    assert start.choice is not None
    assert words in start.choice.reason


@pytest.mark.parametrize("has_kubeconfig", [False, True])
@pytest.mark.parametrize("namespace", [None, "", "data"])
async def test_server_of_the_options_needs_no_context(
    has_kubeconfig: bool, namespace: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tui_forward.tui.app import TuiForwardApp

    shown: list[tuple[CatalogScope, ContextChoice | None]] = []

    async def run(app: TuiForwardApp) -> None:
        shown.append((app.cluster_state.scope, app._context_choice))

    async def no_contexts() -> tuple[Context, ...]:
        raise ConfigError("there is no kubeconfig")

    session = FakeSession()
    session.context_list = (Context(name="a", cluster="c"),)
    if not has_kubeconfig:
        monkeypatch.setattr(session, "contexts", no_contexts)
    monkeypatch.setattr(dashboard, "remote_session", lambda *_, **__: fake_remote_session(session))
    monkeypatch.setattr(TuiForwardApp, "run_async", run)
    options = AccessOptions(server="https://127.0.0.1:6443")
    await show(None, context=None, namespace=namespace, options=options)
    expected = "default" if namespace is None else namespace
    assert shown == [(CatalogScope(NO_CONTEXT, expected, options), None)]
    if not has_kubeconfig:
        await show(None, context=None, namespace=None)
        scope, choice = shown[-1]
        assert scope == CatalogScope("", "")
        assert choice is not None
        assert choice.reason == "there is no kubeconfig"


@pytest.mark.parametrize(
    ("context", "namespace", "change", "shown"),
    [
        (None, None, "", ("there", "data")),
        ("here", None, "", ("here", "shop")),
        (None, "x", "", ("here", "x")),
        (None, "", "", ("here", "")),
        (None, None, "another context is current", ("other", "shop")),
        (None, None, "another namespace is its own", ("here", "new")),
        (None, None, "its context is gone", ("here", "shop")),
        (None, None, "another kubeconfig", ("here", "shop")),
    ],
)
async def test_dashboard_opens_the_last_view_unless_options_or_kubeconfig_differ(
    monkeypatch: pytest.MonkeyPatch,
    context: str | None,
    namespace: str | None,
    change: str,
    shown: tuple[str, str],
) -> None:
    from tui_forward.tui.app import TuiForwardApp

    session, scopes = shop(), []

    def contexts(current: str = "here", own: str = "shop", *, there: bool = True) -> None:
        names = ("here", "other", *(("there",) if there else ()))
        session.context_list = tuple(
            Context(name=name, cluster="c", namespace=own, current=name == current)
            for name in names
        )

    async def run(app: TuiForwardApp) -> None:
        scopes.append((app.cluster_state.scope.context, app.cluster_state.scope.namespace))
        if len(scopes) == 1:
            app.scope.show("there", "data")

    monkeypatch.setattr(dashboard, "remote_session", lambda *_, **__: fake_remote_session(session))
    monkeypatch.setattr(TuiForwardApp, "run_async", run)
    contexts()
    await show(None, context=None, namespace=None)
    contexts(
        "other" if "another context" in change else "here",
        "new" if "namespace" in change else "shop",
        there="gone" not in change,
    )
    kubeconfig = "/elsewhere/config" if "kubeconfig" in change else None
    await show(kubeconfig, context=context, namespace=namespace)
    assert scopes == [("here", "shop"), shown]
