from __future__ import annotations

import contextlib
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.agent import wire
from tui_forward.errors import (
    ApiError,
    AuthError,
    ConfigError,
    ForwardError,
    ForwardErrorCause,
    ProtocolError,
    TransportError,
    TuiForwardError,
    UpgradeError,
    UsageError,
)
from tui_forward.model import (
    CatalogScope,
    ForwardSpec,
    LocalAddress,
    Snapshot,
    Target,
    TargetKind,
)

SPEC = ForwardSpec(
    target=Target(
        context="here", namespace="shop", kind=TargetKind.SERVICE, name="web", port="http"
    ),
    local_port=None,
)
REQUESTS: list[wire.FromFrontEnd] = [
    wire.TakeOver(),
    wire.Taken(),
    wire.Hello(1),
    wire.Start(1, SPEC),
    wire.Stop(2, "f1"),
    wire.Pause(3, "f1"),
    wire.Resume(4, "f1"),
    wire.Reconnect(5, "f1"),
    wire.CloseConnection(6, 77),
    wire.Keep(9, True),
    wire.GetSnapshot(7),
    wire.GetConnections(8, None),
    wire.GetConnections(8, "f1"),
    wire.GetTimeline(9, "f1"),
    wire.KeepIfLost(22, True),
    wire.GetHistories(21),
    wire.GetHistories(20),
    wire.GetHops(13, "f1"),
    wire.GetPodLog(14, "f1", "main", 200),
    wire.GetContexts(10),
    wire.GetCatalog(11, CatalogScope("here", "shop"), 5),
    wire.Subscribe(12, 0),
    wire.Cancel(12),
]
ANSWERS: list[wire.FromEngine] = [
    wire.Welcome(1, 4211, "/home/x/.kube/config"),
    wire.Refused(1, "of another version"),
    wire.Handed(4, b"{}", (LocalAddress("::1", 8080),), 3, "prod", 1.5, "/s.json", "/e.log"),
    wire.Result(1, wire.raw("f1")),
    wire.Item(2, wire.raw(None)),
    wire.End(3),
    wire.Failure(4, "ApiError", "no", "hint", 403, "Forbidden"),
]


def body(message: wire.FromFrontEnd | wire.FromEngine) -> bytes:
    packed = wire.pack(message)
    assert int.from_bytes(packed[: wire.LENGTH], "big") == len(packed) - wire.LENGTH
    return packed[wire.LENGTH :]


def test_every_message_survives() -> None:
    assert {type(one) for one in REQUESTS} == set(get_args(wire.FromFrontEnd))
    assert {type(one) for one in ANSWERS} == set(get_args(wire.FromEngine))
    for request in REQUESTS:
        assert wire.unpack_request(body(request)) == request
    for answer in ANSWERS:
        assert wire.unpack_answer(body(answer)) == answer


def test_values_survive() -> None:
    snapshot = Snapshot(version=3, at=1.5)
    answer = wire.unpack_answer(body(wire.Result(1, wire.raw(snapshot))))
    assert isinstance(answer, wire.Result)
    assert wire.decode_value(answer.value, Snapshot) == snapshot
    with pytest.raises(ProtocolError):
        wire.decode_value(answer.value, int)


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error_and_nothing_else(data: bytes) -> None:
    for unpack in (wire.unpack_request, wire.unpack_answer):
        with contextlib.suppress(ProtocolError):
            unpack(data)


@given(st.sampled_from(REQUESTS), st.data())
def test_damaged_requests_are_a_protocol_error_and_nothing_else(
    request: wire.FromFrontEnd, data: st.DataObject
) -> None:
    damaged = bytearray(body(request))
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        wire.unpack_request(bytes(damaged))


class _OwnError(TransportError):
    pass


@pytest.mark.parametrize(
    "error",
    [
        TuiForwardError("plain"),
        UsageError("what?", hint="try that"),
        ConfigError("no kubeconfig", hint="get one"),
        AuthError("expired", hint="log in"),
        TransportError("gone"),
        ProtocolError("garbage"),
        ApiError("forbidden", status=403, reason="Forbidden", hint="ask"),
        UpgradeError("no upgrade", status=400, reason="BadRequest"),
        ForwardError("taken", cause=ForwardErrorCause.PORT_TAKEN, hint="another"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_keep_what_they_say(error: TuiForwardError) -> None:
    answer = wire.unpack_answer(body(wire.failure(9, error)))
    assert isinstance(answer, wire.Failure)
    again = wire.error_of(answer)
    assert type(again) is type(error)
    assert vars(again) == vars(error)


def test_an_error_nobody_else_knows_becomes_its_base() -> None:
    assert type(wire.error_of(wire.failure(1, _OwnError("x")))) is TransportError
    assert type(wire.error_of(wire.Failure(1, "Newer", "x"))) is TuiForwardError
    odd = wire.error_of(wire.Failure(1, "ForwardError", "x", cause="newer"))
    assert isinstance(odd, ForwardError)
    assert odd.cause is ForwardErrorCause.OTHER


def test_raw_values_are_not_encoded_twice() -> None:
    value = wire.raw({"a": 1})
    assert msgspec.msgpack.decode(value) == {"a": 1}
