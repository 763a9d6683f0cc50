"""Every code has a text, a hint where only a user can help, and a hop where it is a fault."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len

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
from tui_forward.model import BlockedBy, HopKind, Reason, ReasonCode, TransportChoice
from tui_forward.reasons import (
    MAX_SHORT,
    add_previous,
    blocked_by,
    diagnosis_hint,
    expired_at,
    failed_hop,
    hop_hint,
    mentions_pod,
    reason_hint,
    reason_text,
    short_reason,
)
from tui_forward.reasons.entry import RETRIED
from tui_forward.reasons.rendering import DERIVED, FIELD
from tui_forward.reasons.tables import ENTRIES

Code = ReasonCode
NO_FAULT = (
    "connection.client_",
    "connection.closed",
    "connection.forward_",
    "connection.half_close_timeout",
    "connection.stalled",
    "engine.",
    "forward.",
    "pod.port_changed",
    "target.resolving",
)
EXAMPLES: dict[Any, Any] = {
    float | None: 2.5,
    bool: True,
    int | None: 3,
    tuple[str, ...]: ("one", "two"),
    TransportChoice | None: TransportChoice.SPDY,
}
PARAMETERS: dict[str, Any] = {
    field.name: EXAMPLES.get(field.type, f"<{field.name}>")
    for field in msgspec.structs.fields(Reason)
    if field.name not in ("code", "text", "hint", "dialed_pod", "cause", "previous")
}


def minimal(code: ReasonCode) -> Reason:
    return Reason(code=code)


def full(code: ReasonCode) -> Reason:
    return Reason(code=code, cause=Reason(code=ReasonCode.TUNNEL_SILENT), **PARAMETERS)


@pytest.mark.parametrize("make", [minimal, full])
def test_every_code_has_a_text(make: Any) -> None:
    for code in ReasonCode:
        text, hint = reason_text(make(code)), reason_hint(make(code))
        assert text, code
        assert text == text.strip(), code
        assert "  " not in text, code
        for rendered in (text, hint, hop_hint(make(code))):
            assert not set(rendered) & set("{}[]|"), code
            assert not rendered.endswith((".", ":", ";", ",")), code
        assert not hint or hint[0].isupper(), code


def test_every_parameter_of_a_template_is_one_of_a_reason() -> None:
    for code in ReasonCode:
        entry = ENTRIES[code]
        names = set(FIELD.findall(entry.text + entry.hint + entry.short)) - set(DERIVED)
        assert names <= {*PARAMETERS, "cause"}, code


LONG = "averyveryverylong-name-" * 20
HOSTILE = {
    "long": LONG,
    "wide": "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 90,
    "terminal": "\x1b[31m\x07\r\n\t\u202e\u200b\x9b" * 9,
    "markup": "[red]{code}|[/red]",
    "blank": " \n ",
}


def hostile(code: ReasonCode, text: str) -> Reason:
    values: dict[str, Any] = {
        name: text if isinstance(value, str) else (text, text) if type(value) is tuple else value
        for name, value in PARAMETERS.items()
    }
    numbers: dict[str, Any] = {
        "restarts": 10**18,
        "exit_code": -(10**18),
        "at": 0.0,
        "timeout_s": 1e300,
    }
    cause = Reason(code=Code.POD_NOT_READY, detail=text)
    return Reason(code=code, cause=cause, **(values | numbers))


@pytest.mark.parametrize("make", [minimal, full, *HOSTILE])
def test_every_code_has_a_short_reason(make: Any) -> None:
    for code in ReasonCode:
        reason = make(code) if callable(make) else hostile(code, HOSTILE[make])
        short = short_reason(reason)
        assert short.strip() == short != "", code
        assert short.isprintable(), code
        assert not short.endswith((".", ":", ";", ",", "·")), code
        age = " 99999 d ago" if expired_at(reason) is not None else ""
        assert cell_len(short + age) <= MAX_SHORT == 29, code
        assert make is not minimal or "…" not in short, code
        if make in (minimal, full):
            assert not set(short) & set("{}[]|"), code


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        (Reason(code=Code.RBAC_FORBIDDEN, verb="create", resource="pods/portforward"),
         "no permission: portforward"),
        (Reason(code=Code.RBAC_FORBIDDEN, verb="list", resource="pods"),
         "no permission: list pods"),
        (Reason(code=Code.LOCAL_PORT_TAKEN, port="2525", process="java (48213)"),
         "port used by java (48213)"),
        (Reason(code=Code.LOCAL_PORT_TAKEN, process="gnome-terminal-server (4194304)"),
         "port used by gnome-…(4194304)"),
        (Reason(code=Code.LOCAL_PORT_TAKEN, port="2525"), "port 2525 is used"),
        (Reason(code=Code.POD_CRASH_LOOPING, restarts=17), "pod crash-loops · 17 restarts"),
        (Reason(code=Code.POD_CRASH_LOOPING, restarts=1), "pod crash-loops · 1 restart"),
        (Reason(code=Code.TARGET_NO_ENDPOINTS, object="svc/web"), "no endpoints"),
        (Reason(code=Code.PORT_REFUSED, port="9101", pod="web-1"), "nothing listens on 9101"),
        (Reason(code=Code.AUTH_PLUGIN_FAILED, name="gke-gcloud-auth-plugin"),
         "gke-gcloud-auth-plugin failed"),
        # A dial says nothing: what led to it does.
        (Reason(code=Code.FORWARD_CONNECTING, pod="web-2",
                previous=Reason(code=Code.POD_REPLACED, pod="web-1")), "pod replaced"),
        (Reason(code=Code.POD_AWAITING_REPLACEMENT,
                cause=Reason(code=Code.TARGET_PODS_NOT_CREATED)), "pods cannot be created"),
    ],
)  # fmt: skip
def test_short_reasons(reason: Reason, short: str) -> None:
    assert short_reason(reason) == short


def test_only_expired_credentials_have_an_age() -> None:
    expired = Reason(code=Code.AUTH_TOKEN_EXPIRED, at=5.0)
    assert expired_at(expired) == 5.0
    assert expired_at(Reason(code=Code.FORWARD_CONNECTING, previous=expired)) == 5.0
    assert expired_at(Reason(code=Code.AUTH_TOKEN_NOT_YET_VALID, at=5.0)) is None
    assert expired_at(Reason(code=Code.NODE_NOT_READY, at=5.0)) is None


def test_every_fault_has_a_hop() -> None:
    for code in ReasonCode:
        reason = Reason(code=code)
        is_fault = failed_hop(reason) is not None
        assert is_fault or code.startswith(NO_FAULT), code
        if is_fault:
            assert hop_hint(reason), code


def test_every_blocking_code_has_a_hint() -> None:
    blocking = [code for code in ReasonCode if blocked_by(Reason(code=code))]
    assert blocking
    for code in blocking:
        assert reason_hint(Reason(code=code)), code
        assert failed_hop(Reason(code=code)) is not None, code


@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack])
def test_reason_survives_encoding(codec: Any) -> None:
    for code in ReasonCode:
        for reason in (minimal(code), full(code)):
            assert codec.decode(codec.encode(reason), type=Reason) == reason, code


def test_codes_are_grouped_by_area() -> None:
    for code in ReasonCode:
        area, _, name = code.partition(".")
        assert area.isalpha()
        assert name == name.lower()
        assert code.name == f"{area}_{name}".upper()


def test_parts_without_their_parameters_are_left_out() -> None:
    code = ReasonCode.RBAC_FORBIDDEN
    assert reason_text(Reason(code=code)) == "not allowed"
    assert reason_text(Reason(code=code, verb="create", resource="pods")) == (
        "not allowed to create pods"
    )
    reason = Reason(code=code, verb="list", resource="pods", namespace="shop", user="eve")
    assert reason_text(reason) == "not allowed to list pods in namespace shop as eve"
    assert blocked_by(reason) is BlockedBy.FORBIDDEN
    assert failed_hop(reason) is HopKind.API


def test_words_agree_with_the_number_of_pods() -> None:
    code = ReasonCode.POD_CREATING
    one = Reason(code=code, object="deploy/web", ready=0, total=1, pod="web-1")
    assert reason_text(one) == "pod web-1 is still being created"
    two = Reason(code=code, object="deploy/web", ready=0, total=2, pod="web-1")
    assert reason_text(two) == (
        "0 of 2 pods of deploy/web are ready: pod web-1 is still being created"
    )


def test_hint_of_a_code_does_not_follow_another_text() -> None:
    own = Reason(code=ReasonCode.NETWORK_ERROR, text="the engine is not responding")
    assert (reason_text(own), reason_hint(own)) == ("the engine is not responding", "")
    assert reason_hint(Reason(code=ReasonCode.NETWORK_ERROR, text="x", hint="Try")) == "Try"
    assert reason_hint(Reason(code=ReasonCode.NETWORK_ERROR, hint="Try")) == "Try"


def test_previous_reasons_come_first() -> None:
    gone = Reason(code=ReasonCode.POD_DELETED, pod="web-1")
    awaiting = Reason(code=ReasonCode.POD_AWAITING_REPLACEMENT, owner="deploy/web", previous=gone)
    lost = Reason(code=ReasonCode.TUNNEL_CLOSED_BY_SERVER)
    assert reason_text(add_previous(awaiting, lost)) == (
        "the server closed the tunnel; pod web-1 is gone; waiting for its replacement by deploy/web"
    )
    assert add_previous(awaiting, None) == awaiting
    assert mentions_pod(awaiting, "web-1")
    assert not mentions_pod(awaiting, "web-2")


@pytest.mark.parametrize(
    "kind", [AuthError, ConfigError, ForwardError, ProtocolError, TransportError, UsageError]
)
def test_errors_carry_a_reason(kind: type[TuiForwardError]) -> None:
    plain = kind("it failed", hint="Try again")
    assert plain.code == kind.default_code
    assert (str(plain), plain.hint) == ("it failed", "Try again")
    coded = kind(Reason(code=ReasonCode.PORT_REFUSED, port="80"))
    assert coded.code is ReasonCode.PORT_REFUSED
    assert coded.message == "nothing listens on port 80 in the pod"
    assert coded.hint


def test_api_errors_carry_status_and_reason() -> None:
    for kind in (ApiError, UpgradeError):
        error = kind("no", status=403, status_reason="Forbidden", code=ReasonCode.RBAC_FORBIDDEN)
        assert (error.code, error.status_reason) == (ReasonCode.RBAC_FORBIDDEN, "Forbidden")
        assert error.forbidden


def test_commands_in_hints_are_safe_to_paste() -> None:
    """The names come from the cluster, and users paste hints into a shell."""
    hostile = "$(touch PWNED);`id` & x'"
    for code in ReasonCode:
        named = Reason(code=code, pod=hostile, namespace=hostile, node=hostile, container=hostile)
        for hint in (reason_hint(named), hop_hint(named)):
            assert hostile not in hint.replace(shlex.quote(hostile), "")


@pytest.mark.parametrize("code", ReasonCode)
def test_diagnosis_hint_is_that_of_a_forward_without_its_part(code: ReasonCode) -> None:
    entry = ENTRIES[code]
    for reason in (Reason(code=code), Reason(code=code, text="what another program printed")):
        found, of_forward = diagnosis_hint(reason), hop_hint(reason)
        assert found
        assert of_forward.startswith(found)
        assert of_forward.removeprefix(found) in ("", f"; {entry.automatic}", f"; {RETRIED}")
        for words in ("retried", "automatically", "the forward starts"):
            assert words not in found
    assert not entry.automatic or entry.hint


def test_diagnosis_keeps_the_hint_of_the_place_where_it_occurred() -> None:
    reason = Reason(code=ReasonCode.TARGET_NOT_FOUND, hint="Did you mean web?")
    assert diagnosis_hint(reason) == hop_hint(reason) == "Did you mean web?"
