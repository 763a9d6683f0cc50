"""Secrets that this process has read or received, to hide them in every text that leaves it.

Code that reads a credential calls `remember`; reasons, errors and log records pass `hide`. So a
text of another program that repeats a credential does no harm, wherever it ends up. Kept in memory
only.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

HIDDEN: Final = "[redacted]"
# Shorter ones are words of ordinary texts ("admin"), and no protection either.
MIN_LENGTH: Final = 6
# Shorter ones are hidden as whole words only.
_WORD_LENGTH: Final = 10
_MIN_LINE_LENGTH: Final = 16
_MAX_SECRETS: Final = 20_000
# A secret that a text was cut in is recognized by so many characters.
_MIN_PART: Final = 8

_known: dict[str, None] = {}  # oldest first
# By length; replaced as a whole, since threads log while others remember.
_ordered: tuple[str, ...] = ()
_lengths: tuple[int, ...] = ()


def remember(*secrets: str) -> None:
    """Hide these values from now on, also as base64, percent-encoded and in JSON."""
    global _ordered, _lengths
    forms = dict.fromkeys(form for secret in secrets for form in _forms(secret))
    new = [form for form in forms if form not in _known]
    if not new:
        return
    _known.update(dict.fromkeys(new))
    while len(_known) > _MAX_SECRETS:
        del _known[next(iter(_known))]
    ordered = tuple(sorted(_known, key=len))
    _ordered, _lengths = ordered, tuple(map(len, ordered))


def forget_all() -> None:
    """Forget every secret, for tests."""
    global _ordered, _lengths
    _known.clear()
    _ordered, _lengths = (), ()


def _forms(secret: str) -> Iterator[str]:
    import json  # most processes know no secret

    secret = secret.strip()
    if len(secret) < MIN_LENGTH:
        return
    yield secret
    lines = secret.splitlines()
    if len(lines) > 1:
        yield from (
            line for line in lines if len(line) >= _MIN_LINE_LENGTH and not line.startswith("-----")
        )
        return
    yield base64.b64encode(secret.encode("utf-8", "replace")).decode().rstrip("=")
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]


def hide(text: str) -> str:
    """Return a text without the known secrets."""
    ordered = _ordered
    for index in range(bisect_right(_lengths, len(text)) - 1, -1, -1):
        if ordered[index] in text:
            text = hide_one(text, ordered[index])
    return text


def hide_one(text: str, secret: str) -> str:
    """Return a text without a secret; a short one is hidden as a whole word only."""
    if len(secret) >= _WORD_LENGTH:
        return text.replace(secret, HIDDEN)
    return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)


def hide_at_ends(text: str) -> str:
    """Return a text without parts of known secrets where it was cut, at its begin and end."""
    if len(text) < _MIN_PART:
        return text
    for secret in _ordered:
        begin = secret.rfind(text[:_MIN_PART])
        if begin > 0 and text.startswith(secret[begin:]):
            text = HIDDEN + text[len(secret) - begin :]
        end = secret.find(text[-_MIN_PART:]) + _MIN_PART
        if end >= _MIN_PART and text.endswith(secret[:end]):
            text = text[:-end] + HIDDEN
    return text
