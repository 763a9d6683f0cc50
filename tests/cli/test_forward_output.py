from __future__ import annotations

import time

import msgspec

from tui_forward.cli.forward_output import format_table, forward_to_dict
from tui_forward.model import (
    EarlierPods,
    Forward,
    ForwardSpec,
    ForwardState,
    ForwardWarning,
    LocalAddress,
    PodRef,
    PodShare,
    PodShareState,
    PreconnectStatus,
    ReasonCode,
    Target,
    TargetKind,
    UnansweredConnections,
)

WARNING = ForwardWarning(
    code=ReasonCode.PORT_REFUSED,
    reason="nothing listens on port 80",
    short_reason="nothing listens on 80",
    hint="Check the port",
    since=1.0,
    count=2,
    last_at=2.0,
)
READY = Forward(
    id="f1",
    spec=ForwardSpec(
        target=Target(
            context="here", namespace="shop", kind=TargetKind.POD, name="web-1", port="80"
        )
    ),
    state=ForwardState.READY,
    code=ReasonCode.PORT_REFUSED,
    reason=WARNING.reason,
    short_reason=WARNING.short_reason,
    hint=WARNING.hint,
    listening=(LocalAddress("127.0.0.1", 8080),),
    warnings=(WARNING,),
)


def test_table_shows_the_warnings_of_a_ready_forward() -> None:
    recent = msgspec.structs.replace(WARNING, last_at=time.time())
    lines = list(format_table([msgspec.structs.replace(READY, warnings=(recent,))], color=True))
    assert "\x1b[33mready" in lines[1]
    assert "nothing listens on port 80 · 2 times, last 0s ago → Check the port" in lines[2]
    healthy = msgspec.structs.replace(READY, warnings=())
    assert len(list(format_table([healthy], color=False))) == 2


def test_json_has_the_warnings() -> None:
    record = forward_to_dict(READY)
    assert (record["state"], record["code"]) == ("ready", "port.refused")
    assert record["short_reason"] == "nothing listens on 80"
    assert record["warnings"] == [
        {
            "code": "port.refused", "reason": "nothing listens on port 80",
            "short_reason": "nothing listens on 80", "hint": "Check the port",
            "since": 1.0, "count": 2, "last_at": 2.0,
        }
    ]  # fmt: skip


def test_json_has_the_pods_that_connections_are_spread_over() -> None:
    assert forward_to_dict(READY)["balance"] == "one"
    assert forward_to_dict(READY)["pods"] == []
    share = PodShare(
        pod=PodRef(namespace="shop", name="web-1", uid="u"),
        state=PodShareState.READY,
        connections_open=1,
        connections_total=4,
        bytes_from_pod=5,
        bytes_to_pod=6,
    )
    earlier = EarlierPods(pods=1, connections_total=2, bytes_from_pod=3, bytes_to_pod=4)
    assert forward_to_dict(READY)["earlier_pods"] is None
    assert forward_to_dict(msgspec.structs.replace(READY, earlier_pods=earlier))[
        "earlier_pods"
    ] == {"pods": 1, "connections_total": 2, "bytes_from_pod": 3, "bytes_to_pod": 4}
    assert forward_to_dict(msgspec.structs.replace(READY, pods=(share,)))["pods"] == [
        {
            "pod": "web-1", "state": "ready", "reason": "", "connections_open": 1,
            "connections_total": 4, "bytes_from_pod": 5, "bytes_to_pod": 6,
        }
    ]  # fmt: skip


def test_json_has_the_connections_opened_ahead() -> None:
    forward = msgspec.structs.replace(READY, preconnect=PreconnectStatus(ready=2))
    assert forward_to_dict(forward)["preconnect"] == {"ready": 2, "off": False, "max_age_s": 0.0}
    plain = msgspec.structs.replace(forward, preconnect=None)
    assert forward_to_dict(plain)["preconnect"] is None


def test_unanswered_connections_are_a_note_and_no_warning() -> None:
    unanswered = UnansweredConnections(count=4, since=time.time() - 120)
    forward = msgspec.structs.replace(READY, unanswered=unanswered)
    assert forward_to_dict(forward)["unanswered"]["count"] == 4
    assert forward_to_dict(READY)["unanswered"] is None
    lines = [*format_table([forward], color=True)]
    assert "the last 4 connections got no byte back for 2m" in lines[-1]
    # The state has the color of a forward without any warning.
    assert lines[1] == [*format_table([READY], color=True)][1]
