"""What refused credentials say about themselves; also the recorded faults of credentials."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kube.certificates import Authority
from tests.support.recorded_faults import load_fault
from tui_forward.kube.auth.credentials import ClientCertificate, Credentials
from tui_forward.kube.auth.validity import (
    certificate_validity,
    explain_refusal,
    format_time,
    token_validity,
)
from tui_forward.model import BlockedBy, ReasonCode
from tui_forward.reasons import blocked_by, reason_hint, reason_text

Code = ReasonCode
HOUR = 3600.0
NOW = 1_800_000_000.0


def token(**claims: object) -> Credentials:
    def part(content: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    jwt = f"{part({'alg': 'RS256'})}.{part(claims)}.c2lnbmF0dXJl"
    return Credentials(authorization=f"Bearer {jwt}")


def certificate(*, days: int = 2, begins_in_days: int = -3) -> Credentials:
    pair = Authority("kubernetes").issue("eve", days=days, begins_in_days=begins_in_days)
    return Credentials(certificate=ClientCertificate(certificate=pair.certificate, key=pair.key))


FAULTS = (
    (
        "095-token-unknown",
        Credentials(authorization="Bearer abc"),
        Code.AUTH_TOKEN_REFUSED,
        "api:6443 does not accept the token of user eve",
    ),
    (
        "096-token-expired",
        token(exp=NOW - HOUR, nbf=NOW - 2 * HOUR, iss="https://kubernetes.default"),
        Code.AUTH_TOKEN_EXPIRED,
        f"the token of user eve expired at {format_time(NOW - HOUR)}",
    ),
    (
        "097-token-not-yet-valid",
        token(exp=NOW + 2 * HOUR, nbf=NOW + HOUR),
        Code.AUTH_TOKEN_NOT_YET_VALID,
        f"the token of user eve is not valid before {format_time(NOW + HOUR)}",
    ),
    (
        "098-token-bad-signature",
        token(exp=NOW + HOUR, iss="https://other.cluster"),
        Code.AUTH_TOKEN_REFUSED,
        "api:6443 does not accept the token of user eve "
        f"(valid until {format_time(NOW + HOUR)}): it is issued by https://other.cluster",
    ),
)


@pytest.mark.parametrize(("fault", "credentials", "code", "text"), FAULTS)
def test_refused_token(fault: str, credentials: Credentials, code: ReasonCode, text: str) -> None:
    recorded = [str(one["answer_status"]) for one in load_fault(fault)["requests"]]
    assert all(" 401 " in status for status in recorded), "nothing but the token tells the cause"
    reason = explain_refusal(credentials, user="eve", server="api:6443", now=NOW)
    assert (reason.code, reason_text(reason)) == (code, text)
    assert blocked_by(reason) is BlockedBy.CREDENTIALS
    assert ("clock" in reason_hint(reason)) == (code is Code.AUTH_TOKEN_NOT_YET_VALID)


@pytest.mark.parametrize(
    ("fault", "days", "begins", "code"),
    [
        ("120-client-cert-expired", -1, -3, Code.AUTH_CERTIFICATE_EXPIRED),
        ("121-client-cert-not-yet-valid", 2, 1, Code.AUTH_CERTIFICATE_NOT_YET_VALID),
        ("122-client-cert-other-ca", 2, -3, Code.AUTH_CERTIFICATE_REFUSED),
    ],
)
def test_refused_certificate(fault: str, days: int, begins: int, code: ReasonCode) -> None:
    assert " 401 " in load_fault(fault)["requests"][0]["answer_status"]
    credentials = certificate(days=days, begins_in_days=begins)
    reason = explain_refusal(credentials, user="eve", server="api:6443", now=time.time())
    assert reason.code is code
    assert reason.time.endswith(" UTC")
    assert blocked_by(reason) is BlockedBy.CREDENTIALS
    assert ("clock" in reason_hint(reason)) == (code is Code.AUTH_CERTIFICATE_NOT_YET_VALID)
    if code is Code.AUTH_CERTIFICATE_REFUSED:
        assert reason.detail == "it is issued by kubernetes"


def test_an_expired_certificate_beside_a_token_counts() -> None:
    both = Credentials(authorization="Bearer opaque", certificate=certificate(days=-1).certificate)
    reason = explain_refusal(both, user="", server="s", now=time.time())
    assert reason.code is Code.AUTH_CERTIFICATE_EXPIRED


def test_no_credentials_and_passwords() -> None:
    none = explain_refusal(Credentials(), user="eve", server="s", now=NOW)
    assert none.code is Code.AUTH_NO_CREDENTIALS
    assert reason_text(none).startswith("user eve of the kubeconfig has no credentials")
    basic = Credentials(authorization="Basic eDp5")
    assert explain_refusal(basic, user="", server="s", now=NOW).code is Code.AUTH_UNAUTHORIZED


def test_secrets_are_not_in_a_reason() -> None:
    reason = explain_refusal(token(exp=1, jti="hunter2"), user="eve", server="s", now=NOW)
    assert "hunter2" not in repr(reason)


@given(st.text(max_size=200))
def test_any_text_is_read_as_a_token(text: str) -> None:
    token_validity(f"Bearer {text}")
    token_validity(f"Bearer a.{text}.c")


@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_are_read_as_a_certificate(noise: bytes, cut: int) -> None:
    certificate_validity(noise)
    pem = PEM[:cut] + noise + PEM[cut + len(noise) :]
    certificate_validity(pem)


PEM = Authority().issue("eve").certificate


@pytest.mark.parametrize("at", [1e300, -1e300, 1e12, float("inf"), float("nan"), 0.0])
def test_any_number_is_a_time(at: float) -> None:
    assert format_time(at)
