"""Recorded answers to requests that are no upgrades, and what they mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.recorded_faults import fault_names, load_fault
from tui_forward.errors import ApiError, AuthError, TuiForwardError
from tui_forward.kube.errors import doubt_refusal, to_api_error
from tui_forward.model import ReasonCode
from tui_forward.transport import Endpoint
from tui_forward.transport.access import OutageClock

Code = ReasonCode
WHAT = "get pods in namespace faults"


def recorded_errors(fault: str) -> list[TuiForwardError]:
    """Return the errors for the recorded answers to GETs and POSTs, in order."""
    found = []
    for request in load_fault(fault)["requests"]:
        status = str(request.get("answer_status"))
        if request["what"].startswith("upgrade ") or not status.startswith("HTTP/"):
            continue
        number = int(status.split()[1])
        if number >= 300:
            body = request["answer_body"]
            text = body if isinstance(body, str) else json.dumps(body)
            headers = (request.get("answer_headers") or {}).items()
            found.append(
                to_api_error(number, text.encode(), what=WHAT, server="api", headers=headers)
            )
    return found


EXPECTED: dict[str, set[ReasonCode]] = {
    "073-pod-missing": {Code.API_NOT_FOUND},
    "074-svc-missing": {Code.API_NOT_FOUND},
    "075-deploy-missing": {Code.API_NOT_FOUND},
    "076-namespace-missing": {Code.API_NOT_FOUND},
    "094-anonymous": {Code.AUTH_NO_CREDENTIALS},
    "095-token-unknown": {Code.AUTH_UNAUTHORIZED},
    "096-token-expired": {Code.AUTH_UNAUTHORIZED},
    "097-token-not-yet-valid": {Code.AUTH_UNAUTHORIZED},
    "098-token-bad-signature": {Code.AUTH_UNAUTHORIZED},
    "120-client-cert-expired": {Code.AUTH_UNAUTHORIZED},
    "121-client-cert-not-yet-valid": {Code.AUTH_UNAUTHORIZED},
    "122-client-cert-other-ca": {Code.AUTH_UNAUTHORIZED},
    "126-api-http-to-https": {Code.NETWORK_NOT_HTTP},
    "144-gateway-502": {Code.API_GATEWAY},
    "145-gateway-503-text": {Code.API_GATEWAY},
    "146-gateway-login-redirect": {Code.API_REDIRECTED},
    "149-watch-410-and-odd-requests": {Code.API_EXPIRED, Code.API_ERROR},
    "155-api-429": {Code.API_THROTTLED},
}


@pytest.mark.parametrize("fault", fault_names())
def test_every_recorded_error_has_a_code(fault: str) -> None:
    errors = recorded_errors(fault)
    by_role = {Code.RBAC_FORBIDDEN}
    gone = {Code.API_NOT_FOUND}
    codes = {error.code for error in errors}
    if fault in EXPECTED:
        assert codes == EXPECTED[fault]
    else:
        # Roles of the recording users, and objects that are gone for a part of the recording.
        assert codes <= by_role | gone
    for error in errors:
        assert "<" not in error.message
        assert error.hint or error.code in (Code.API_EXPIRED, Code.API_NOT_FOUND)


@pytest.mark.parametrize("fault", ["117-rbac-svc-nosvc", "118-rbac-svc-nolist", "080-rbac-nothing"])
def test_forbidden_requests_name_user_and_action(fault: str) -> None:
    for error in recorded_errors(fault):
        assert isinstance(error, ApiError)
        assert error.forbidden
        assert error.message.startswith(f"not allowed to {WHAT} as ")


def test_149_versions_that_are_too_old() -> None:
    errors = recorded_errors("149-watch-410-and-odd-requests")
    assert sum(isinstance(error, ApiError) and error.expired for error in errors) == 2


def test_155_busy_server_says_how_long_to_wait() -> None:
    for error in recorded_errors("155-api-429"):
        assert isinstance(error, ApiError)
        assert error.retry_after_s == 1.0
        assert error.message == (f"api is busy (429): cannot {WHAT}; it asks to wait 1 s")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def replayed(timeline: list[dict[str, Any]], who: str) -> list[tuple[float, str]]:
    """Return time and error code of each recorded answer to one user; "" for success."""
    clock = Clock()
    endpoint = Endpoint(host="api", port=6443, outage=OutageClock(clock))
    found = []
    for entry in timeline:
        if not str(entry.get("what", "")).startswith(who):
            continue
        clock.now = 1000.0 + entry["s"]
        answer = entry["answer"]
        if not answer.startswith("HTTP/"):
            endpoint.outage.record_failure()
            continue
        status = int(answer.split()[1])
        if status < 300:
            endpoint.outage.record_success()
            found.append((entry["s"], ""))
            continue
        body = {"kind": "Status", "message": entry["body"] or "", "reason": "Forbidden"}
        error = to_api_error(status, json.dumps(body).encode(), what=WHAT, server="api")
        assert isinstance(error, ApiError)
        found.append((entry["s"], str(doubt_refusal(error, endpoint).code)))
    return found


def test_154_first_refusals_after_an_outage_are_not_believed() -> None:
    timeline = load_fault("154-api-restarting")["timeline_fast"]
    seen = replayed(timeline, "user with a Role")
    codes = [code for _, code in seen]
    assert "api.starting" in codes
    assert "rbac.forbidden" not in codes
    assert codes[-1] == ""


def test_refusals_are_believed_after_a_while_and_without_an_outage() -> None:
    clock = Clock()
    forbidden = to_api_error(
        403, b'{"kind":"Status","reason":"Forbidden"}', what=WHAT, server="api"
    )
    assert isinstance(forbidden, ApiError)
    endpoint = Endpoint(host="api", port=6443, outage=OutageClock(clock))
    assert doubt_refusal(forbidden, endpoint) is forbidden
    endpoint.outage.record_failure()
    clock.now += 10
    doubted = doubt_refusal(forbidden, endpoint)
    assert doubted.code is Code.API_STARTING
    assert not doubted.forbidden
    clock.now += 2
    assert doubt_refusal(forbidden, endpoint).code is Code.API_STARTING
    clock.now += 2
    assert doubt_refusal(forbidden, endpoint) is forbidden
    endpoint.outage.record_failure()
    endpoint.outage.record_success()
    assert doubt_refusal(forbidden, endpoint) is forbidden


def test_anonymous_requests_are_errors_of_credentials() -> None:
    assert all(isinstance(error, AuthError) for error in recorded_errors("094-anonymous"))
