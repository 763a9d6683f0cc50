from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.common.arguments import (
    PortPair,
    format_duration_arg,
    format_size_arg,
    is_loopback,
    parse_addresses,
    parse_duration_s,
    parse_duration_value,
    parse_port,
    parse_ports,
    parse_size_value,
    parse_target,
    validate_selector,
)
from tui_forward.errors import UsageError
from tui_forward.model import TargetKind


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("web-1", TargetKind.POD, "web-1"),
        ("web.example-1", TargetKind.POD, "web.example-1"),
        ("pod/x", TargetKind.POD, "x"),
        ("pods/x", TargetKind.POD, "x"),
        ("po/x", TargetKind.POD, "x"),
        ("Pod/x", TargetKind.POD, "x"),
        ("svc/x", TargetKind.SERVICE, "x"),
        ("service/x", TargetKind.SERVICE, "x"),
        ("services/x", TargetKind.SERVICE, "x"),
        ("deploy/x", TargetKind.DEPLOYMENT, "x"),
        ("deployment/x", TargetKind.DEPLOYMENT, "x"),
        ("deployments/x", TargetKind.DEPLOYMENT, "x"),
        ("deployment.apps/x", TargetKind.DEPLOYMENT, "x"),
        ("deployments.v1.apps/x", TargetKind.DEPLOYMENT, "x"),
        ("sts/x", TargetKind.STATEFULSET, "x"),
        ("statefulsets/x", TargetKind.STATEFULSET, "x"),
        ("ds/x", TargetKind.DAEMONSET, "x"),
        ("rs/x", TargetKind.REPLICASET, "x"),
        ("rc/x", TargetKind.REPLICATION_CONTROLLER, "x"),
        ("replicationcontrollers/x", TargetKind.REPLICATION_CONTROLLER, "x"),
        ("ReplicationController.v1./x", TargetKind.REPLICATION_CONTROLLER, "x"),
        ("job/x", TargetKind.JOB, "x"),
        ("jobs.batch/x", TargetKind.JOB, "x"),
    ],
)
def test_targets_as_kubectl_writes_them(text: str, kind: TargetKind, name: str) -> None:
    assert parse_target(text) == (kind, name)


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "pod/", "/x", "node/x", "deploy.batch/x", "pod.apps/x", "svc/a/b", "Web", "a_b",
        "-x", "pod/x-", "pod/" + "a" * 254, "cronjob/x", "pod/x y",
    ],
)  # fmt: skip
def test_bad_targets_have_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("8080", PortPair(None, "8080")),
        ("8080:80", PortPair(8080, "80")),
        (":80", PortPair(0, "80")),
        ("0:80", PortPair(0, "80")),
        ("8080:http", PortPair(8080, "http")),
        (":http", PortPair(0, "http")),
        ("http", PortPair(None, "http")),
        ("0080", PortPair(None, "80")),
        ("1:65535", PortPair(1, "65535")),
        ("9:http-2", PortPair(9, "http-2")),
    ],
)
def test_ports_as_kubectl_writes_them(text: str, pair: PortPair) -> None:
    assert parse_port(text) == pair


@pytest.mark.parametrize(
    "text",
    ["", ":", "8080:", "a:b:c", "1:2:3", "0", ":0", "65536", "99999:80", "http:80", "-1", "8080:-1",
     "80 80", "+80", "8_0", "٨٠", "Http", "ht_tp", "-http", "http-", "8080/tcp", "x" * 64],
)  # fmt: skip
def test_bad_ports_have_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_port(text)
    assert caught.value.hint
    assert text in caught.value.message


@given(st.text())
def test_any_port_text_is_a_pair_or_a_usage_error(text: str) -> None:
    try:
        pair = parse_port(text)
    except UsageError:
        return
    assert pair.local is None or 0 <= pair.local <= 65535


def test_ports_need_at_least_one_and_no_local_port_twice() -> None:
    with pytest.raises(UsageError, match="no port"):
        parse_ports([])
    with pytest.raises(UsageError, match="8080 is used twice"):
        parse_ports(["8080:80", "8080:81"])
    assert len(parse_ports([":80", ":80", "80", "80"])) == 4


def test_addresses_are_comma_lists_without_duplicates() -> None:
    assert parse_addresses([]) == ("localhost",)
    assert parse_addresses(["127.0.0.1,::1", "localhost", "::1"]) == (
        "127.0.0.1", "::1", "localhost",
    )  # fmt: skip
    assert parse_addresses(["[::1]"]) == ("::1",)
    assert parse_addresses(["0.0.0.0"]) == ("0.0.0.0",)
    assert parse_addresses(["[FE80::1%eth0.5]"]) == ("fe80::1%eth0.5",)


@pytest.mark.parametrize(
    "text",
    [
        "", "a.example", "127.0.0.1,", "300.1.1.1", "127.0.0.1:80", "[127.0.0.1]", "[::1", "::1]",
        "fe80::1%$(id)", "::1%`id`", "fe80::1%a;id", "fe80::1%a b", "fe80::1%", "fe80::1%a%b",
        "fe80::1%et\nh0", "fe80::1%\u202e", "fe80::1%éth0", "fe80::1%abcdefghijklmnop",
        "127.0.0.1%lo", "127.1", "0x7f.0.0.1", "１２７.0.0.1",
    ],
)  # fmt: skip
def test_bad_addresses_have_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_addresses([text])
    assert caught.value.hint


def test_loopback() -> None:
    assert is_loopback("localhost")
    assert is_loopback("127.0.0.2")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("192.168.1.1")


@pytest.mark.parametrize("address", ["::1%eth0", "fe80::1%lo", "::ffff:127.0.0.1", "::"])
def test_addresses_that_only_look_like_loopback(address: str) -> None:
    assert not is_loopback(parse_addresses([address])[0])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("30s", 30), ("500ms", 0.5), ("1.5m", 90), ("1h", 3600), ("0", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@given(st.floats(0, 24 * 3600).map(lambda seconds: round(seconds, 6)))
def test_formatted_duration_is_parsed_back(seconds: float) -> None:
    assert parse_duration_value(format_duration_arg(seconds)) == pytest.approx(seconds, abs=1e-6)
    assert parse_duration_value(seconds) == seconds


@pytest.mark.parametrize("value", [True, None, [30], -1, float("nan"), float("inf"), 1e300])
def test_invalid_duration_values(value: object) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration_value(value)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "x", "-1", "1d", "25h", "1 s", "nan", "inf", "٣s"])
def test_bad_durations_have_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration_s(text)
    assert caught.value.hint


def test_selectors() -> None:
    assert validate_selector(" app=web,tier in (a, b) ") == "app=web,tier in (a, b)"
    assert validate_selector("app.kubernetes.io/name=web") == "app.kubernetes.io/name=web"
    assert validate_selector("app.kubernetes.io/name") == "app.kubernetes.io/name"
    for text in ("", " ", "svc/web"):
        with pytest.raises(UsageError):
            validate_selector(text)


@pytest.mark.parametrize(
    ("value", "size", "text"),
    [
        (0, 0, "0B"), ("0B", 0, "0B"), (1500, 1500, "1500B"), ("256MiB", 1 << 28, "256MiB"),
        ("1 GB", 10**9, "1000000000B"), (1 << 40, 1 << 40, "1024GiB"), ("4KiB", 4096, "4KiB"),
    ],
)  # fmt: skip
def test_size_is_parsed_and_formatted(value: object, size: int, text: str) -> None:
    assert parse_size_value(value) == size
    assert format_size_arg(size) == text


@pytest.mark.parametrize("value", [-1, (1 << 40) + 1, 1.5, True, None, "", "1", "1TB", "1.5GB"])
def test_invalid_size_is_an_error(value: object) -> None:
    with pytest.raises(UsageError):
        parse_size_value(value)
