from __future__ import annotations

import shlex

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.common.kubectl_command import (
    OtherKubeconfigError,
    format_command,
    parse_command,
)
from tui_forward.errors import UsageError
from tui_forward.model import (
    BUILT_IN,
    Balance,
    ForwardDefaults,
    ForwardSpec,
    Target,
    TargetKind,
    TransportChoice,
)


def specs(text: str) -> tuple[ForwardSpec, ...]:
    return parse_command(shlex.split(text), context="here", namespace="shop")


@pytest.mark.parametrize(
    "text",
    [
        "kubectl port-forward svc/web 8080:80",
        "kubectl -n shop port-forward service/web 8080:80",
        "kubectl port-forward --namespace=shop svc/web 8080:80 --address localhost",
        "kubectl port-forward -nshop svc/web 8080:80 --pod-running-timeout=1m",
        "/usr/local/bin/kubectl --context here port-forward svc/web 8080:80",
        "tui-forward forward -n shop svc/web 8080:80",
        "oc port-forward 'svc/web' \"8080:80\"",
    ],
)
def test_one_line(text: str) -> None:
    (spec,) = specs(text)
    assert spec == ForwardSpec(
        target=Target(
            context="here", namespace="shop", kind=TargetKind.SERVICE, name="web", port="80"
        ),
        local_port=8080,
    )


def test_each_port_is_a_forward() -> None:
    found = (
        *specs("kubectl port-forward web-1 8080 :http --address 0.0.0.0"),
        *specs("kubectl --context=prod -n data port-forward sts/db 5432"),
        *specs("k port-forward deploy/x 1:2"),
    )
    assert [(str(spec.target), spec.local_port, spec.target.context) for spec in found] == [
        ("shop/pod/web-1:8080", None, "here"),
        ("shop/pod/web-1:http", 0, "here"),
        ("data/sts/db:5432", None, "prod"),
        ("shop/deploy/x:2", 1, "here"),
    ]
    assert found[0].addresses == ("0.0.0.0",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not kubectl"),
        ("ls -l", "not kubectl"),
        ("kubectl get pods", "is not kubectl port-forward"),
        ("kubectl port-forward", "has no target"),
        ("kubectl port-forward svc/web", "no port"),
        ("kubectl port-forward svc/web 99999", "out of range"),
        ("kubectl port-forward cm/web 80", "not a kind"),
        ("kubectl port-forward svc/web 80 --what", "--what is not supported"),
        ("kubectl port-forward svc/web 80 -n", "-n needs a value"),
        ("kubectl --kubeconfig x port-forward svc/web 80", "has its own kubeconfig"),
        ("tui-forward forward svc/web 80 --transport carrier-pigeon", "not a transport"),
        ("kubectl port-forward svc/web 80 --address here", "not an address"),
    ],
)
def test_invalid_commands_are_reported(text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        specs(text)
    assert words in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("text", ["svc/web 8080:80 -n data", "port-forward svc/web 8080:80 -ndata"])
def test_bare_target_and_ports(text: str) -> None:
    (spec,) = parse_command(shlex.split(text), context="here", namespace="shop", bare=True)
    assert (str(spec.target), spec.local_port) == ("data/svc/web:80", 8080)
    with pytest.raises(UsageError, match="is not kubectl"):
        specs(text)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_a_usage_error(text: str) -> None:
    for prefix in ("", "kubectl port-forward "):
        try:
            parse_command([*prefix.split(), *text.split()], context="here", namespace="shop")
        except UsageError as error:
            assert error.hint  # noqa: PT017 - some texts are understood


NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
SPECS = st.builds(
    ForwardSpec,
    target=st.builds(
        Target,
        context=st.sampled_from(["here", "prod cluster", "a@b"]),
        namespace=NAMES,
        kind=st.sampled_from([kind for kind in TargetKind if kind is not TargetKind.SELECTOR]),
        name=NAMES,
        port=st.one_of(st.integers(1, 65535).map(str), NAMES),
        pin=st.booleans(),
        balance=st.sampled_from(list(Balance)),
    ),
    local_port=st.one_of(st.none(), st.integers(0, 65535)),
    addresses=st.sampled_from([("localhost",), ("127.0.0.1", "::1"), ("0.0.0.0",)]),
    transport=st.sampled_from(list(TransportChoice)),
    queue_timeout_s=st.sampled_from([30.0, 0.0, 60.0, 86399.75]),
    half_close_timeout_s=st.sampled_from([5.0, 0.5]),
)
PRECONNECT = st.sampled_from([(0, 5.0), (1, 5.0), (16, 90.0)])  # number and age
DEFAULTS = st.builds(
    ForwardDefaults,
    addresses=st.sampled_from([("localhost",), ("0.0.0.0",)]),
    queue_timeout_s=st.sampled_from([30.0, 60.0]),
    half_close_timeout_s=st.sampled_from([5.0, 1.0]),
)


@given(SPECS, PRECONNECT, DEFAULTS)
def test_formatted_command_is_parsed_back(
    spec: ForwardSpec, preconnect: tuple[int, float], defaults: ForwardDefaults
) -> None:
    count, age_s = preconnect
    spec = msgspec.structs.replace(spec, preconnect=count, preconnect_age_s=age_s)
    line = format_command(spec, defaults)
    # Elsewhere, and here, where the settings say otherwise.
    for counts in (BUILT_IN, defaults):
        assert parse_command(
            shlex.split(line), context="here", namespace="shop", defaults=counts
        ) == (spec,)


def test_spread_is_short_for_a_balance() -> None:
    for option in ("--spread", "--balance spread", "--balance=spread"):
        (spec,) = specs(f"tui-forward forward {option} svc/web 80")
        assert spec.target.balance is Balance.SPREAD
    with pytest.raises(UsageError, match="not a way to balance"):
        specs("tui-forward forward --balance most svc/web 80")


def test_command_with_a_selector() -> None:
    target = Target(
        context="here", namespace="shop", kind=TargetKind.SELECTOR, name="app in (a, b)", port="80"
    )
    line = format_command(ForwardSpec(target=target))
    assert specs(line)[0].target == target


@pytest.mark.parametrize(
    "options",
    [
        ["-v6"], ["-v", "6"], ["--v=6"], ["--warnings-as-errors"], ["--match-server-version=true"],
        ["--insecure-skip-tls-verify=false"], ["--kubeconfig", "own"], ["--kubeconfig=own"],
        ["--cache-dir", "/tmp/x"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_options_that_do_not_change_the_forward(options: list[str]) -> None:
    words = ["kubectl", *options, "port-forward", "svc/web", *options, "8080:80"]
    (spec,) = parse_command(
        words, context="here", namespace="shop", is_own_kubeconfig=lambda path: path == "own"
    )
    assert (str(spec.target), spec.local_port) == ("shop/svc/web:80", 8080)


@pytest.mark.parametrize("options", [["--kubeconfig", "other"], ["--kubeconfig=other"]])
def test_another_kubeconfig_is_refused(options: list[str]) -> None:
    words = ["kubectl", *options, "port-forward", "svc/web", "8080:80"]
    with pytest.raises(OtherKubeconfigError) as raised:
        parse_command(
            words, context="here", namespace="shop", is_own_kubeconfig=lambda path: path == "own"
        )
    assert raised.value.path == "other"
