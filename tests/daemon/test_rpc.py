from __future__ import annotations

import contextlib
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.reasons import because
from tui_forward.daemon import rpc
from tui_forward.errors import (
    ApiError,
    AuthError,
    ConfigError,
    ForwardError,
    ProtocolError,
    TransportError,
    TuiForwardError,
    UpgradeError,
    UsageError,
)
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    CatalogScope,
    DoctorQuery,
    ForwardSpec,
    LocalAddress,
    LogSource,
    ProxySpec,
    ReasonCode,
    Snapshot,
    Target,
    TargetKind,
)

TARGET = Target(context="here", namespace="shop", kind=TargetKind.POD, name="web-1", port="")

SPEC = ForwardSpec(
    target=Target(
        context="here", namespace="shop", kind=TargetKind.SERVICE, name="web", port="http"
    ),
    local_port=None,
)
CLUSTER = ("here", AccessOptions(user="bob", impersonate_groups=("ops",)))
REQUESTS: list[rpc.FromClient] = [
    rpc.HandoverRequest(),
    rpc.HandoverDone(),
    rpc.Hello(1),
    rpc.Start(1, SPEC),
    rpc.Stop(2, "f1"),
    rpc.StartProxy(24, ProxySpec(context="here", port=1080)),
    rpc.StopProxy(25, "p1"),
    rpc.Pause(3, "f1"),
    rpc.Resume(4, "f1"),
    rpc.Reconnect(5, "f1"),
    rpc.CloseConnection(6, 77),
    rpc.SetKeepRunning(9, True),
    rpc.GetSnapshot(7),
    rpc.GetConnections(8, None),
    rpc.GetConnections(8, "f1"),
    rpc.GetTimeline(9, "f1"),
    rpc.SetKeepRunningIfLost(22, True),
    rpc.GetHistories(21),
    rpc.GetHistories(20),
    rpc.GetHops(13, "f1"),
    rpc.ReadLog(14, LogSource(target=TARGET, pod="web-1"), "2026-01-02T03:04:05Z", 200),
    rpc.Describe(15, TARGET),
    rpc.Diagnose(18, DoctorQuery(target=TARGET)),
    rpc.GetMissingPermissions(17, CatalogScope("c", "shop")),
    rpc.CheckPort(16, ("localhost",), 8080),
    rpc.GetContexts(10),
    rpc.BeginLogin(20, CLUSTER),
    rpc.FinishLogin(21, CLUSTER, b"{}", 0),
    rpc.CancelLogin(22, CLUSTER),
    rpc.RetryLogin(23, ("here", NO_OPTIONS)),
    rpc.GetCatalog(11, CatalogScope("here", "shop"), 5),
    rpc.Subscribe(12, 0),
    rpc.SubscribeChanges(13),
    rpc.Cancel(12),
]
RESPONSES: list[rpc.FromEngine] = [
    rpc.Welcome(1, 4211, "/home/x/.kube/config"),
    rpc.VersionMismatch(1, "of another version"),
    rpc.HandoverAccepted(),
    rpc.HandoverOffer(4, b"{}", (LocalAddress("::1", 8080),), 3, "prod", 1.5, "/s.json", "/e.log"),
    rpc.Result(1, rpc.encode_value("f1")),
    rpc.Item(2, rpc.encode_value(None)),
    rpc.End(3),
    rpc.Failure(4, "ApiError", because("no", hint="hint"), 403, "Forbidden"),
]


def body(message: rpc.FromClient | rpc.FromEngine) -> bytes:
    encoded = rpc.encode_message(message)
    assert int.from_bytes(encoded[: rpc.HEADER_SIZE], "big") == len(encoded) - rpc.HEADER_SIZE
    return encoded[rpc.HEADER_SIZE :]


def test_messages_round_trip() -> None:
    assert {type(one) for one in REQUESTS} == set(get_args(rpc.FromClient))
    assert {type(one) for one in RESPONSES} == set(get_args(rpc.FromEngine))
    for request in REQUESTS:
        assert rpc.decode_request(body(request)) == request
    for response in RESPONSES:
        assert rpc.decode_response(body(response)) == response


def test_values_round_trip() -> None:
    snapshot = Snapshot(version=3, at=1.5)
    response = rpc.decode_response(body(rpc.Result(1, rpc.encode_value(snapshot))))
    assert isinstance(response, rpc.Result)
    assert rpc.decode_value(response.value, Snapshot) == snapshot
    with pytest.raises(ProtocolError):
        rpc.decode_value(response.value, int)


@given(st.binary(max_size=200))
def test_garbage_raises_only_protocol_errors(data: bytes) -> None:
    for decode in (rpc.decode_request, rpc.decode_response):
        with contextlib.suppress(ProtocolError):
            decode(data)


@given(st.sampled_from(REQUESTS), st.data())
def test_damaged_request_raises_only_protocol_errors(
    request: rpc.FromClient, data: st.DataObject
) -> None:
    damaged = bytearray(body(request))
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        rpc.decode_request(bytes(damaged))


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
        ApiError("forbidden", status=403, status_reason="Forbidden", hint="ask"),
        UpgradeError("no upgrade", status=400, status_reason="BadRequest"),
        ForwardError("taken", code=ReasonCode.LOCAL_PORT_TAKEN, hint="another"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_round_trip(error: TuiForwardError) -> None:
    response = rpc.decode_response(body(rpc.from_exception(9, error)))
    assert isinstance(response, rpc.Failure)
    again = rpc.to_exception(response)
    assert type(again) is type(error)
    assert vars(again) == vars(error)


def test_unknown_error_class_becomes_its_base() -> None:
    assert type(rpc.to_exception(rpc.from_exception(1, _OwnError("x")))) is TransportError
    newer = rpc.Failure(1, "Newer", because("x"))
    assert type(rpc.to_exception(newer)) is TuiForwardError


def test_raw_values_are_not_encoded_twice() -> None:
    value = rpc.encode_value({"a": 1})
    assert msgspec.msgpack.decode(value) == {"a": 1}
