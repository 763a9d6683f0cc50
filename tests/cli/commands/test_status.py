from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.cli.fake_session import FakeSession
from tui_forward.cli.commands import status, up
from tui_forward.cli.main import main
from tui_forward.errors import TransportError
from tui_forward.model import Forward, ForwardSpec, ForwardState, ReasonCode, Target, TargetKind


class UnstoppableSession(FakeSession):
    """Has three forwards, one of which cannot be stopped."""

    def __init__(self) -> None:
        super().__init__()
        for number in (1, 2, 3):
            target = Target(
                context="here", namespace="shop", kind=TargetKind.POD, name=f"w{number}", port="80"
            )
            self.forwards[f"f{number}"] = Forward(
                id=f"f{number}", spec=ForwardSpec(target=target), state=ForwardState.READY,
                code=ReasonCode.FORWARD_READY, reason="",
            )  # fmt: skip

    async def stop(self, forward_id: str) -> None:
        if forward_id == "f2":
            raise TransportError("the engine did not answer")
        del self.forwards[forward_id]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    session = UnstoppableSession()

    @contextlib.asynccontextmanager
    async def attached(_kubeconfig: str | None) -> AsyncIterator[FakeSession]:
        yield session

    for module in (status, up):
        monkeypatch.setattr(module, "attached_session", attached)
    return session


def test_stop_reports_each_forward(
    session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stop", "--all"]) == 1
    assert list(session.forwards) == ["f2"]
    assert capsys.readouterr().err.splitlines() == [
        "stopped f1: shop/pod/w1:80",
        "stopped f3: shop/pod/w3:80",
        "cannot stop f2: shop/pod/w2:80: the engine did not answer",
    ]


def test_stop_of_some(session: FakeSession, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", "f1", "f3"]) == 0
    assert list(session.forwards) == ["f2"]
    assert main(["stop", "f1"]) == 2
    assert 'no active forward "f1"' in capsys.readouterr().err


@pytest.mark.parametrize("command", [["stop", "f1"], ["down", "shop"]])
def test_user_is_told_if_what_was_stopped_may_be_restored(
    command: list[str],
    session: FakeSession,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = session.forwards["f1"]
    session.forwards["f1"] = msgspec.structs.replace(
        first, spec=msgspec.structs.replace(first.spec, profile="shop")
    )
    session.save_problem = "active forwards cannot be saved: disk \x1b[2J full"
    assert main(command) == 0
    assert "f1" not in session.forwards
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("warning: active forwards cannot be saved: disk ")
    assert "\x1b" not in last
