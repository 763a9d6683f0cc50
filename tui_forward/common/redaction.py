"""Redaction of secrets in texts of other programs."""

from __future__ import annotations

import re
from collections.abc import Iterable

_HIDDEN = "[redacted]"
_PATTERNS = (
    # JSON Web Tokens.
    re.compile(r"eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"),
    re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S
    ),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"\bAKIA[0-9A-Z]{12,}\b"),
    re.compile(r"\bya29\.[\w.-]+"),
)
_NAMED = re.compile(
    r"(?i)\b((?:[\w-]*(?:token|secret|password|passwd|api[_-]?key|authorization|credential)[\w-]*)"
    r"[\"']?\s*(?:=|:)\s*(?:bearer\s+|basic\s+)?[\"']?)([^\s\"',;]{4,})"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")


def redact(text: str, secrets: Iterable[str] = (), *, limit: int = 400) -> str:
    """Return a text without known secrets and secret-like parts, as one short line.

    The end of the text, which has the error, is kept.
    """
    for secret in sorted((s for s in secrets if len(s) >= 4), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    for pattern in _PATTERNS:
        text = pattern.sub(_HIDDEN, text)
    text = _BEARER.sub(rf"\1 {_HIDDEN}", text)
    text = _NAMED.sub(rf"\1{_HIDDEN}", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= limit else "…" + text[-limit + 1 :]
