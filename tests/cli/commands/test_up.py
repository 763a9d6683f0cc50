from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.fake_session import FakeSession
from tui_forward.cli.commands import up
from tui_forward.cli.main import main
from tui_forward.common import paths
from tui_forward.model import (
    Connection,
    ConnectionState,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    PortCheck,
    Target,
    TargetKind,
)

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
    """Session of an engine, and a profile `shop`."""
    fake = FakeSession(lambda fake, one: fake.change(one, ForwardState.READY))

    @contextlib.asynccontextmanager
    async def fake_session(_kubeconfig: str | None) -> AsyncIterator[FakeSession]:
        yield fake

    monkeypatch.setattr(up, "remote_session", fake_session)
    monkeypatch.setattr(up, "attached_session", fake_session)
    paths.profiles_dir().mkdir(parents=True)
    (paths.profiles_dir() / "shop.yaml").write_text(TEXT)
    return fake


def names(session: FakeSession) -> list[str]:
    return [one.spec.name for one in session.forwards.values()]


async def start_forwards(session: FakeSession) -> None:
    await session.start(OTHER)
    db = Target(context="here", namespace="shop", kind=TargetKind.STATEFULSET, name="db", port="1")
    await session.start(ForwardSpec(target=db, name="db", profile="shop"))


@pytest.mark.parametrize(
    ("options", "lines", "active", "stderr"),
    [
        ([], ["+ web here shop deploy/web:http auto after sts/db",
              "~ db here shop sts/db:1 auto → sts/db:5432"],
         {"f1", "f3", "f4"}, ""),
        (["--merge"], ["+ web here shop deploy/web:http auto after sts/db",
                       "= db here shop sts/db:1 auto unchanged; differs from the profile"],
         {"f1", "f2", "f3"}, ""),
        (["--replace"],
         ["+ web here shop deploy/web:http auto after sts/db",
          "~ db here shop sts/db:1 auto → sts/db:5432",
          "- x here ops svc/x:80 auto stops; of profile other"],
         {"f3", "f4"}, "stopped x of profile other\n"),
    ],
)  # fmt: skip
def test_mode_prints_its_plan_and_applies_it(
    session: FakeSession, capsys: pytest.CaptureFixture[str], options: list[str],
    lines: list[str], active: set[str], stderr: str,
) -> None:  # fmt: skip
    asyncio.run(start_forwards(session))
    assert main(["up", "shop", "--dry-run", *options]) == 0
    head, *rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert head == "NAME CONTEXT NAMESPACE TARGET LOCAL EFFECT"
    assert rows == lines
    assert names(session) == ["x", "db"]
    assert main(["up", "shop", *options]) == 0
    assert set(session.forwards) == active
    assert capsys.readouterr().err == stderr
    assert main(["up", "shop", "--dry-run", *options]) == 0
    assert capsys.readouterr().err == "shop: no changes\n"


def test_dry_run_names_what_uses_a_port_and_what_is_closed(
    session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(start_forwards(session))
    session.update("f1", listening=(LocalAddress("127.0.0.1", 8080),))
    session.connection_list = [
        Connection(id=1, forward_id="f2", client="127.0.0.1:1", process="psql (7)",
                   state=ConnectionState.OPEN, opened_at=1.0),
    ]  # fmt: skip
    session.port_checks[5433] = PortCheck(port=5433, problem="used by java (48213)")
    text = TEXT.replace("port: 5432", "port: 5432, local: 5433")
    (paths.profiles_dir() / "shop.yaml").write_text(
        text.replace("port: http", "port: http, local: 8080")
    )
    assert main(["up", "shop", "--dry-run"]) == 1, "up would fail: another forward has a port"
    shown = capsys.readouterr()
    assert "after sts/db ✗ used by here/ops" in shown.out
    assert "→ :5433, → sts/db:5432 ✗ used by java (48213)" in shown.out
    assert "Closes 1 open connection (psql).\n2 local ports are used" in shown.err
    assert "local port 8080 is in use by x of profile other" in shown.err
    assert names(session) == ["x", "db"]


def test_modes_cannot_be_combined(session: FakeSession, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "shop", "--merge", "--replace"]) == 2
    assert "cannot be combined" in capsys.readouterr().err
    assert not session.forwards


def test_forwards_have_the_options_of_the_profile(
    session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    file = paths.profiles_dir() / "shop.yaml"
    file.write_text(f"access: {{as: ann}}\n{TEXT}")
    assert main(["up", "shop", "--dry-run"]) == 0
    assert "after sts/db; --as=ann" in capsys.readouterr().out
    assert main(["up", "shop"]) == 0
    targets = [one.spec.target for one in session.forwards.values()]
    assert [one.options.impersonate_user for one in targets] == ["ann", "ann"]
    table = capsys.readouterr().out.splitlines()
    assert table.count("    with --as=ann") == 2
    # They do not move the columns.
    assert {line.index("ready") for line in table if "ready" in line} == {table[0].index("STATE")}
    file.write_text(f"access: {{as: bob}}\n{TEXT}")
    assert main(["up", "shop", "--dry-run"]) == 0
    assert "access --as=ann → --as=bob" in capsys.readouterr().out
    assert main(["profile", "show", "shop", "--json"]) == 0
    assert '"impersonate_user":"bob"' in capsys.readouterr().out.replace(" ", "")
    assert main(["down", "shop"]) == 0
    assert not session.forwards


def test_profile_that_others_can_write_sends_credentials_nowhere(
    session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even if the user trusts it without a look."""
    file = paths.profiles_dir() / "shop.yaml"
    file.write_text(f"access: {{server: 'https://evil'}}\n{TEXT}")
    file.chmod(0o666)
    assert main(["up", "shop", "--yes"]) == 1
    assert not session.forwards
    assert "1:10: server decides who receives your credentials" in capsys.readouterr().err
    assert main(["profile", "check", "shop"]) == 1
    file.chmod(0o600)
    assert main(["up", "shop"]) == 0
    assert {one.spec.target.options.server for one in session.forwards.values()} == {"https://evil"}


def test_replace_stops_other_proxies(
    session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    profiles = paths.profiles_dir()
    (profiles / "shop.yaml").write_text(TEXT)
    (profiles / "other.yaml").write_text("context: here\nforwards: {}\nproxy: 1080\n")
    assert main(["up", "other"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("p1 cluster proxy on 127.0.0.1:1080 for here, 0 targets")
    assert main(["up", "shop"]) == 0
    assert "cluster proxy" not in capsys.readouterr().out
    assert len(session.proxies) == 1
    assert main(["up", "shop", "--replace", "--dry-run"]) == 0
    assert "- proxy here default cluster proxy :1080 stops; of profile other" in " ".join(
        capsys.readouterr().out.split()
    )
    assert main(["up", "shop", "--replace"]) == 0
    assert not session.proxies
    assert "stopped cluster proxy p1 of profile other\n" in capsys.readouterr().err


def test_proxy_of_a_profile_starts_and_stops_with_it(
    session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    (paths.profiles_dir() / "shop.yaml").write_text(f"{TEXT}proxy: 1090\n")
    assert main(["up", "shop", "--dry-run"]) == 0
    row = " ".join(capsys.readouterr().out.splitlines()[1].split())
    assert row == "+ proxy here shop cluster proxy :1090 starts"
    assert not session.proxies
    assert main(["up", "shop"]) == 0
    assert [(one.spec.port, one.spec.profile) for one in session.proxies.values()] == [
        (1090, "shop")
    ]
    assert main(["up", "shop", "--dry-run"]) == 0
    capsys.readouterr()
    assert main(["down", "shop"]) == 0
    assert capsys.readouterr().err == "shop: stopped 2 forwards and the cluster proxy\n"
    assert not session.proxies
    assert main(["down", "shop"]) == 0
    assert capsys.readouterr().err == "shop: no active forwards\n"
