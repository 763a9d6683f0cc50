"""Commands that start forwards ask first in protected contexts."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.cli.fake_session import FakeSession
from tui_forward.cli import protection
from tui_forward.cli.commands import run, up
from tui_forward.cli.main import main
from tui_forward.cli.protection import require_permission
from tui_forward.common import paths
from tui_forward.errors import ConfigError, TuiForwardError, UsageError
from tui_forward.model import AccessOptions, Context, ForwardState, Target, TargetKind

PROD = Context(name="prod-eu", cluster="c", current=True)
DEV = Context(name="dev", cluster="dev")
PROFILE = """\
namespace: shop
forwards:
  db: {context: %s, target: sts/db, port: 5432}
"""


def target(context: str) -> Target:
    return Target(
        context=context, namespace="shop", kind=TargetKind.STATEFULSET, name="db", port="1"
    )


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, own_home: Path) -> FakeSession:
    """Session of an engine with two contexts, of which one is protected."""
    fake = FakeSession(lambda fake, one: fake.change(one, ForwardState.READY))
    fake.context_list = (PROD, DEV)

    @contextlib.asynccontextmanager
    async def fake_session(_kubeconfig: str | None) -> AsyncIterator[FakeSession]:
        yield fake

    for module in (up, run):
        monkeypatch.setattr(module, "remote_session", fake_session)
    paths.profiles_dir().mkdir(parents=True)
    for context in (PROD.name, DEV.name):
        (paths.profiles_dir() / f"in-{context}.yaml").write_text(PROFILE % context)
    paths.settings_file().write_text('protected_contexts = ["prod*"]\n')
    return fake


def answer(monkeypatch: pytest.MonkeyPatch, *, yes: bool) -> list[str]:
    """Answer the questions at a terminal; return them."""
    asked: list[str] = []

    def ask(question: str, *, default: bool) -> bool:
        assert not default
        asked.append(question)
        return yes

    monkeypatch.setattr(protection, "can_ask", lambda: True)
    monkeypatch.setattr(protection, "ask", ask)
    return asked


@pytest.mark.parametrize("command", [["up"], ["run", "--", "true"]])
def test_without_a_terminal_the_option_is_required(
    session: FakeSession, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    name, *rest = command
    assert main([name, "in-prod-eu", *rest]) == 2
    assert "prod-eu! is protected" in (error := capsys.readouterr().err)
    assert "--allow-protected" in error
    assert not session.calls or all(call[0] != "start" for call in session.calls)
    assert main([name, "in-dev", *rest]) == 0
    assert main([name, "in-prod-eu", "--allow-protected", *rest]) == 0
    assert len([call for call in session.calls if call[0] == "start"]) == 2


def test_at_a_terminal_the_user_is_asked(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answer(monkeypatch, yes=False)
    assert main(["up", "in-prod-eu"]) == 1
    assert asked == ["Start shop/sts/db:5432 in prod-eu! (protected)?"]
    assert "not started" in capsys.readouterr().err
    assert not session.forwards
    answer(monkeypatch, yes=True)
    assert main(["up", "in-prod-eu"]) == 0
    assert len(session.forwards) == 1


@pytest.mark.parametrize(
    ("settings", "protected"),
    [
        ("", False),
        ('theme = "x"\n', False),
        ("protected_contexts = []\n", False),
        ("protected_contexts = 5\n", True),
        ("protected_contexts = [\n", True),
        ('protected_contexts = []\nkeep_running = "x"\n', False),
    ],
)
def test_unreadable_settings_protect_what_looks_like_production(
    session: FakeSession, settings: str, protected: bool
) -> None:
    paths.settings_file().write_text(settings)

    async def ask_for(context: str) -> None:
        await require_permission(session, [target(context)], allowed=False)

    asyncio.run(ask_for("dev"))
    with pytest.raises(UsageError) if protected else contextlib.nullcontext():
        asyncio.run(ask_for(""))


def test_several_contexts_are_named_once(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(monkeypatch, yes=False)
    contexts = ["prod-us\n", "", "dev", "prod-us\n"]

    async def check() -> None:
        await require_permission(session, map(target, contexts), allowed=False)

    with pytest.raises(TuiForwardError, match="not started"):
        asyncio.run(check())
    assert asked == ["Start 3 forwards in prod-us !, prod-eu! (protected)?"]


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("https://prod.example:1", "https://prod.example:1! is protected"),
        ("https://dev.example:1", ""),
        ("", "there is no kubeconfig"),
    ],
)
def test_server_without_a_kubeconfig(
    server: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_contexts() -> tuple[Context, ...]:
        raise ConfigError("there is no kubeconfig")

    paths.settings_file().parent.mkdir(parents=True, exist_ok=True)
    paths.settings_file().write_text('protected_contexts = ["prod*"]')
    fake = FakeSession()
    monkeypatch.setattr(fake, "contexts", no_contexts)
    one = replace(target(""), options=AccessOptions(server=server))

    async def ask_for() -> None:
        await require_permission(fake, [one], allowed=False)

    with pytest.raises(TuiForwardError, match=message) if message else contextlib.nullcontext():
        asyncio.run(ask_for())


@pytest.mark.usefixtures("session")
def test_forward_asks_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "a",
                "clusters": [{"name": "c", "cluster": {"server": "https://prod.example:1"}}],
                "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
            }
        )
    )  # fmt: skip
    assert main(["forward", "--kubeconfig", str(kubeconfig), "svc/web", "80"]) == 2
    assert "a! is protected" in capsys.readouterr().err
