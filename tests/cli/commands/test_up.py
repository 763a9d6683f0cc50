from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.fake_session import FakeSession
from tui_forward.cli.commands import up
from tui_forward.cli.main import main
from tui_forward.common import paths as paths
from tui_forward.model import ForwardSpec, ForwardState, Target, TargetKind

TEXT = """\
context: here
namespace: shop
forwards:
  db: {target: sts/db, port: 5432}
  web: {target: deploy/web, port: http, needs: db}
"""
OTHER = ForwardSpec(
    target=Target(context="here", namespace="ops", kind=TargetKind.SERVICE, name="x", port="80"),
    name="x", profile="other",
)  # fmt: skip


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, own_home: Path) -> FakeSession:
    """An engine, and a profile `shop`."""
    fake = FakeSession(lambda fake, one: fake.change(one, ForwardState.READY))

    @contextlib.asynccontextmanager
    async def door(_kubeconfig: str | None) -> AsyncIterator[FakeSession]:
        yield fake

    monkeypatch.setattr(up, "remote_session", door)
    monkeypatch.setattr(up, "attached_session", door)
    paths.profiles_dir().mkdir(parents=True)
    (paths.profiles_dir() / "shop.yaml").write_text(TEXT)
    return fake


def names(session: FakeSession) -> list[str]:
    return [one.spec.name for one in session.forwards.values()]


async def prepared(session: FakeSession) -> None:
    await session.start(OTHER)
    db = Target(context="here", namespace="shop", kind=TargetKind.STATEFULSET, name="db", port="1")
    await session.start(ForwardSpec(target=db, name="db", profile="shop"))


@pytest.mark.parametrize(
    ("words", "lines", "then", "said"),
    [
        ([], ["+ web shop/deploy/web:http", "~ db shop/sts/db:1 → shop/sts/db:5432"],
         {"f1", "f3", "f4"}, ""),
        (["--merge"], ["+ web shop/deploy/web:http"], {"f1", "f2", "f3"}, ""),
        (["--replace"],
         ["+ web shop/deploy/web:http", "~ db shop/sts/db:1 → shop/sts/db:5432",
          "- x of profile other"],
         {"f3", "f4"}, "off: x of profile other\n"),
    ],
)  # fmt: skip
def test_each_manner_is_seen_then_done(
    session: FakeSession, capsys: pytest.CaptureFixture[str], words: list[str],
    lines: list[str], then: set[str], said: str,
) -> None:  # fmt: skip
    from tui_forward.cli.sessions import run_async

    run_async(prepared(session))
    assert main(["up", "shop", "--dry-run", *words]) == 0
    assert capsys.readouterr().out.splitlines() == lines
    assert names(session) == ["x", "db"]
    assert main(["up", "shop", *words]) == 0
    assert set(session.forwards) == then
    assert capsys.readouterr().err == said
    assert main(["up", "shop", "--dry-run", *words]) == 0
    assert capsys.readouterr().err == "shop: nothing to do\n"


def test_one_manner_at_a_time(session: FakeSession, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "shop", "--merge", "--replace"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    assert not session.forwards
