"""An HTTP answer that is not what was asked for, and which program sent it. No I/O.

API server, kubelet, container runtime and whatever is in front of them answer through the same
connection; the API server passes the kubelet's answers on unchanged. Headers and the form of the
body tell them apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

import msgspec

_MAX_TEXT: Final = 500
_MAX_NAME: Final = 100
_TITLE: Final = re.compile(r"<title[^>]*>(?P<title>[^<]{0,300})", re.IGNORECASE)


class Speaker(StrEnum):
    """Program that sent an answer."""

    API_SERVER = "the API server"
    KUBELET = "the kubelet"  # or the runtime, whose answers a kubelet passes on
    GATEWAY = "a gateway"  # proxy, load balancer or login page in front of the API server


class HttpAnswer(msgspec.Struct, frozen=True):
    """Status and headers of an answer, and what its body says."""

    status: int
    message: str = ""  # of a Status body, plain text, or the title of a page; sanitized
    status_reason: str = ""  # `reason` of a Status body ("NotFound")
    details_name: str = ""  # `details.name` of a Status body
    is_status: bool = False  # the body is a Status object
    is_page: bool = False  # the body is HTML
    audit_id: bool = False  # with the header that the API server adds to its own answers
    gateway: str = ""  # `Server` or `Via`
    location_host: str = ""  # host of `Location`
    retry_after_s: float | None = None

    @property
    def speaker(self) -> Speaker:
        """The program that sent it."""
        if self.audit_id or self.is_status:
            return Speaker.API_SERVER
        if self.is_page or self.gateway or self.location_host or 200 <= self.status < 300:
            return Speaker.GATEWAY
        return Speaker.KUBELET


def read_answer(
    status: int, headers: Iterable[tuple[str, str]], body: bytes, phrase: str = ""
) -> HttpAnswer:
    """Return an answer from its parts; `phrase` is the message of an answer without a body."""
    fields = join_headers(headers)
    text = body.decode("utf-8", "replace").strip()
    message, status_reason, name, is_status = _read_status(text)
    is_page = text.startswith("<") or "html" in fields.get("content-type", "")
    if is_page:
        title = _TITLE.search(text)
        message = _one_line(title["title"]) if title is not None else ""
    elif not is_status:
        message = _one_line(text)
    return HttpAnswer(
        status=status,
        message=message or ("" if is_page else _one_line(phrase)),
        status_reason=status_reason,
        details_name=name,
        is_status=is_status,
        is_page=is_page,
        audit_id="audit-id" in fields,
        gateway=_one_line(fields.get("server", "") or fields.get("via", ""))[:_MAX_NAME],
        location_host=_host(fields.get("location", "")),
        retry_after_s=_seconds(fields.get("retry-after", "")),
    )


def join_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers with names in lower case; repeated ones are joined by commas."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


def _read_status(text: str) -> tuple[str, str, str, bool]:
    """Return message, reason and name of a Status body, and whether it is one."""
    if not text.startswith("{"):
        return "", "", "", False
    try:
        status = json.loads(text)
    except (ValueError, RecursionError):
        return "", "", "", False
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return "", "", "", False
    details = status.get("details")
    name = details.get("name") if isinstance(details, dict) else ""
    return (
        _text(status.get("message")),
        _text(status.get("reason"))[:_MAX_NAME],
        _text(name)[:253],
        True,
    )


def _text(value: object) -> str:
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


def _one_line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable[:_MAX_TEXT].split())


def _host(location: str) -> str:
    try:
        return _one_line(urlsplit(location).hostname or "")[:253]
    except ValueError:
        return ""


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 6 else None
