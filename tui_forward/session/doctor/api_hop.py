"""Test of the API server: whether it is one, its version, latency and clock."""

from __future__ import annotations

import re
from dataclasses import replace as replace_fields
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from tui_forward.common.formatting import format_age
from tui_forward.common.redaction import redact
from tui_forward.errors import TuiForwardError
from tui_forward.model import DoctorHop, Reason, ReasonCode
from tui_forward.protocol.http_answer import HttpAnswer, Speaker, read_answer
from tui_forward.session.doctor.api_connection import ApiAnswer
from tui_forward.session.doctor.chain import Chain
from tui_forward.session.doctor.findings import Finding, fault, good, note

_HOP: Final = DoctorHop.API
_TRIED: Final = "get the version"
_LOGIN: Final = re.compile(r"\blog[ -]?in|\bsign[ -]?in|\bsso\b|type=.?password", re.IGNORECASE)
_MAX_PAGE: Final = 64 * 1024


class _Version(msgspec.Struct, rename="camel"):
    git_version: str = ""


async def check_api(chain: Chain) -> Finding:
    """Judge the answer to the first request."""
    answer, server = chain.first_answer, chain.server
    if answer is None:
        error = chain.first_error
        assert error is not None
        return fault(_HOP, _TRIED, error.reason)
    tried = f"{_TRIED} of {server}"
    reason = judge_version_answer(answer, server)
    if reason is not None:
        return replace_fields(fault(_HOP, tried, reason), duration_s=answer.duration_s)
    chain.server_version = read_version(answer.body) if answer.is_success else ""
    facts = [chain.server_version or "this user may not read the version"]
    difference_s = clock_difference_s(answer)
    if difference_s is not None:
        chain.clock_difference_s = difference_s
    limits = chain.limits
    found = good(_HOP, tried, *facts)
    if abs(chain.clock_difference_s) >= limits.clock_difference_s:
        detail = describe_difference(chain.clock_difference_s)
        wrong_clock = Reason(code=ReasonCode.API_CLOCK_DIFFERENCE, detail=detail)
        found = note(_HOP, tried, wrong_clock, *facts)
    elif answer.duration_s >= limits.slow_answer_s:
        seconds = round(answer.duration_s, 1)
        slow = Reason(code=ReasonCode.API_SLOW, server=server, timeout_s=seconds)
        found = note(_HOP, tried, slow, *facts)
    return replace_fields(found, duration_s=answer.duration_s)


def judge_version_answer(answer: ApiAnswer, server: str) -> Reason | None:
    """Return why an answer to a request for the version is not that of a healthy API server."""
    read = read_answer(answer.status, answer.headers, answer.body[:_MAX_PAGE])
    if answer.is_success:
        if read_version(answer.body):
            return None
        return _other_page(read, answer, server)
    if read.is_status and answer.status in (401, 403):
        return None  # an API server that tells its version to known users only
    if read.is_page and read.speaker is Speaker.GATEWAY and _is_login(answer):
        return _login_page(read, server)
    error: TuiForwardError = answer.error(_TRIED, server)
    if error.code is ReasonCode.API_UNKNOWN_PATH:
        return _other_page(read, answer, server)
    return error.reason


def _other_page(read: HttpAnswer, answer: ApiAnswer, server: str) -> Reason:
    if _is_login(answer):
        return _login_page(read, server)
    message = redact(read.message, limit=120)
    detail = f"{answer.status}, {message}" if message else f"{answer.status}"
    return Reason(
        code=ReasonCode.API_NOT_KUBERNETES, server=server, gateway=read.gateway, detail=detail
    )


def _login_page(read: HttpAnswer, server: str) -> Reason:
    title = redact(read.message, limit=120)
    return Reason(code=ReasonCode.API_LOGIN_PAGE, server=server, detail=title)


def _is_login(answer: ApiAnswer) -> bool:
    page = answer.body[:_MAX_PAGE].decode("utf-8", "replace")
    return page.lstrip().startswith("<") and _LOGIN.search(page) is not None


def read_version(body: bytes) -> str:
    """Return the version in an answer; empty if it has none."""
    try:
        return msgspec.json.decode(body, type=_Version).git_version
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def clock_difference_s(answer: ApiAnswer) -> float | None:
    """Return how far this machine's clock is ahead of the server's, by its `Date` header."""
    try:
        sent_at = parsedate_to_datetime(answer.header("date")).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    # The header has whole seconds, and was written some time between request and answer.
    return answer.received_at - sent_at - answer.duration_s / 2 - 0.5


def describe_difference(seconds: float) -> str:
    """Return a difference of clocks in words."""
    return f"{format_age(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'} the API server"
