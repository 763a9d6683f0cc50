"""Redaction of secrets in texts of other programs: known ones, and what looks like one.

Every pattern takes time proportional to the text: names and runs are matched possessively and
from their beginning only.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from tui_forward.common.printable import one_line
from tui_forward.known_secrets import HIDDEN, hide, hide_at_ends, hide_one

# Longer texts are cut before they are searched.
_MAX_INPUT = 256 * 1024

_NAME = (
    r"token|secret|passw|passphrase|pwd|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?key"
    r"|account[_-]?key|authorization|credential|cookie|signature|session[_-]?id"
)
_SECRET_NAME = re.compile(rf"(?:{_NAME})|(?:^|[_-])(?:sig|pass|pat)(?:$|[_-])", re.I)
# Options of one letter that take a password or token in common programs.
_SHORT_OPTIONS = frozenset({"-p", "-P", "-t", "-w", "-s", "-k"})

_QUOTED = r"\"(?:[^\"\\]|\\.)*+\"?|'[^']*+'?"
# `name=value`, `name: value`, `"name": "value"`, `--name=value`; the scheme of a header is kept.
_ASSIGNED = re.compile(
    rf"(?i)(?<![\w-])((?=[\w-]*?(?:{_NAME})|(?:[\w-]*[_-])?(?:sig|pass|pat)[\"']?\s*=)[\w-]++"
    rf"[\"']?\s*+[=:]\s*+(?:(?:bearer|basic|token)\s++)?)({_QUOTED}|[^\s\"',;&]++)"
)
# `--name value` and `-p value`, but not `-p 8080`.
_OPTION = re.compile(
    rf"(?i)(?<![\w-])(--?(?=[\w-]*?(?:{_NAME}))[\w-]++\s++|-[pPtw][ \t]++)"
    rf"(?![-\[(<]|\d{{1,5}}(?!\S))({_QUOTED}|[^\s\"',;]++)"
)
_BEARER = re.compile(
    r"(?i)\b(bearer)\s++(?!(?:token|auth|is|was|not|of|or|and|realm)\b)[\w.~+/=-]++"
    r"|\b(basic)\s++[\w.~+/=-]{8,}+"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,30}?PRIVATE KEY-----(?:[^-]|-(?!----))*+(?:-----END [A-Z ]{0,30}-----)?"
)
_PATTERNS = (
    # JSON: of Web Tokens, and any object in base64.
    re.compile(r"(?<![\w-])eyJ[\w+/-]{8,}+={0,2}(?:\.[\w-]*+){0,4}"),
    _PRIVATE_KEY,
    re.compile(r"LS0tLS1CRUdJTi[\w+/]*+={0,2}"),  # PEM in base64, as in kubeconfigs
    re.compile(r"(?<=://)[^/\s]+(?=@)"),  # user and password of a URL
    re.compile(r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{12,}+"),
    re.compile(r"\bk8s-aws-v1\.[\w=-]++"),
    re.compile(r"\bya29\.[\w.-]++"),
    re.compile(r"\bAIza[\w-]{35}"),
    re.compile(r"\b1//0[\w-]{20,}+"),  # a refresh token of Google
    re.compile(r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}"),  # client secret of Azure
    re.compile(r"(?<![\w+/])[\w+/]{86}=="),  # storage key of Azure
    re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[a-z]-|sk-|npm_|hvs\.|s\.)[\w-]{20,}+"),
    re.compile(r"\bsha256~[\w-]{43}"),  # OpenShift
    re.compile(r"(?<![\w.-])[a-z0-9]{6}\.[a-z0-9]{16}(?![\w.-])"),  # bootstrap token
)
# An opaque run: the secret key of AWS (40 characters), and whatever is longer than a digest.
_RUN = re.compile(r"(?<![\w+/=.-])[\w+/]{40,}+={0,2}(?![\w.-])")
_LONG_WORD = re.compile(r"[^\s\"',:{}\[\]]{16,}")
_CHARACTER_KINDS = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), re.compile(r"[0-9]"))


def is_secret_name(name: str) -> bool:
    """Return whether a setting, option or variable of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def secret_option_values(arguments: Sequence[str]) -> list[str]:
    """Return the values of options that are named like secrets, and passwords in URLs."""
    found: list[str] = []
    previous = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and is_secret_name(name):
            found.append(value)
        if previous.startswith("-") and is_secret_name(previous):
            found.append(argument)
        if "://" in argument:
            found += _user_info(argument)
        previous = "" if equals else argument
    return [one for one in found if one]


def secret_arguments(arguments: Sequence[str]) -> list[str]:
    """Return every part of command line arguments that may be secret, long ones included."""
    pairs = itertools.pairwise(arguments)
    return [
        *secret_option_values(arguments),
        *(value for name, value in pairs if name in _SHORT_OPTIONS),
        *(one.partition("=")[2] or one for one in arguments if len(one) > 20),
        *(one for one in arguments if len(one) > 20 or _is_opaque(one)),
    ]


def _is_opaque(argument: str) -> bool:
    """Return whether this is no option, path or word: letters and digits without a blank."""
    has_both = re.search(r"[A-Za-z]", argument) and re.search(r"\d", argument)
    return len(argument) >= 8 and bool(has_both) and re.search(r"^[-/]|\s", argument) is None


def _user_info(url: str) -> list[str]:
    """Return user:password of a URL, and the password alone."""
    user_info, at, _ = url.partition("://")[2].partition("/")[0].rpartition("@")
    return [user_info, user_info.partition(":")[2]] if at else []


def long_words(text: str) -> list[str]:
    """Return what may be a token or a part of a key in the output of a credential plugin."""
    return _LONG_WORD.findall(text)


def url_password(url: str) -> str:
    """Return the password of a URL; empty if it has none."""
    return (_user_info(url) or ["", ""])[1]


def redact(text: str, secrets: Iterable[str] = (), *, limit: int = 400) -> str:
    """Return a text without known secrets and secret-like parts, as one short line.

    `secrets` are hidden in addition to those that the process remembers. The end of the text, which
    has the error, is kept.
    """
    # Known secrets may have several lines; patterns see one line.
    text = hide_at_ends(one_line(hide(text[-_MAX_INPUT:])))
    for secret in sorted({one for one in secrets if one}, key=len, reverse=True):
        text = hide_one(text, secret)
    for pattern in _PATTERNS:
        text = pattern.sub(HIDDEN, text)
    text = _BEARER.sub(lambda found: f"{found[1] or found[2]} {HIDDEN}", text)
    text = _ASSIGNED.sub(_hide_value, text)
    text = _OPTION.sub(_hide_value, text)
    text = _RUN.sub(_hide_opaque, text)
    return text if len(text) <= limit else "…" + text[-limit + 1 :]


def _hide_value(found: re.Match[str]) -> str:
    value = found[2]
    quote = value[0] if value[0] in "\"'" else ""
    closing = quote if len(value) > 1 and value.endswith(quote) else ""
    return f"{found[1]}{quote}{HIDDEN}{closing}"


def _hide_opaque(found: re.Match[str]) -> str:
    """Hide a run of letters and digits, but no path and no digest."""
    run = found[0]
    is_mixed = all(kind.search(run) for kind in _CHARACTER_KINDS)
    is_path = run.count("/") > len(run) // 16
    return HIDDEN if is_mixed and not is_path else run


def redact_lines(text: str, *, limit: int) -> str:
    """Return a text without secrets whose lines and indentation are kept, as in a traceback."""
    # First as a whole: a private key has several lines.
    text = _PRIVATE_KEY.sub(HIDDEN, hide(text))
    return "\n".join(
        line[: len(line) - len(line.lstrip(" "))] + redact(line, limit=limit)
        for line in text.splitlines()
    )
