from __future__ import annotations

import msgspec
import pytest

from tests.tui.samples import connection
from tui_forward.model import (
    ApiHealth,
    Connection,
    ConnectionState,
    Forward,
    ForwardSpec,
    ForwardState,
    ForwardWarning,
    Login,
    ReasonCode,
    Snapshot,
    Target,
    TargetKind,
)
from tui_forward.tui.viewmodel.counting import counts_seconds

NOW = 1e6
SPEC = ForwardSpec(
    target=Target(context="here", namespace="shop", kind=TargetKind.POD, name="web", port="80")
)


def forward(**fields: object) -> Forward:
    quiet = Forward(
        id="f1", spec=SPEC, state=ForwardState.READY, code=ReasonCode.FORWARD_READY, reason="",
        since=NOW - 100,
    )  # fmt: skip
    return msgspec.structs.replace(quiet, **fields)


def counts(
    one: Forward, *connections: Connection, health: ApiHealth | None = None, newest_at: float = 0.0,
    logins: tuple[Login, ...] = (),
) -> bool:  # fmt: skip
    snapshot = Snapshot(version=1, at=NOW, forwards=(one,), logins=logins)
    return counts_seconds(snapshot, connections, health, newest_at, NOW)


def test_older_ages_are_in_minutes() -> None:
    assert not counts(forward())
    assert not counts(forward(), health=ApiHealth(context="here", credentials_end_at=NOW + 3600))
    closed = msgspec.structs.replace(connection(1), state=ConnectionState.CLOSED)
    assert not counts(forward(), closed)


@pytest.mark.parametrize(
    "fields",
    [
        {"since": NOW - 30},
        {"retry_at": NOW + 5},
        {"expired_at": NOW - 3},
        {
            "warnings": (
                ForwardWarning(code=ReasonCode.PORT_REFUSED, reason="", count=2, last_at=NOW - 9),
            )
        },
    ],
)
def test_forwards_count_seconds(fields: dict[str, object]) -> None:
    assert counts(forward(**fields))


def test_rest_of_the_screen_counts_seconds() -> None:
    is_open = msgspec.structs.replace(connection(1), opened_at=NOW - 200)
    assert counts(forward(), is_open)
    assert counts(forward(), newest_at=NOW - 20)
    assert counts(forward(), health=ApiHealth(context="here", credentials_end_at=NOW + 60))
    login = Login(clusters=(("here", SPEC.target.options),), code=ReasonCode.AUTH_LOGIN_RUNNING)
    assert counts(forward(), logins=(login,))


def test_paused_forward_has_no_countdown() -> None:
    assert not counts(forward(retry_at=NOW + 5, paused=True))
