"""The `access` mapping of a profile: kubectl's options for cluster and user. Pure.

Its keys are kubectl's names without dashes in front. A profile never has secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tui_forward.common.access_options import (
    check_access_options,
    describe_access_options,
    secret_option_names,
)
from tui_forward.common.arguments import format_duration_arg, parse_duration_value
from tui_forward.common.kubectl_options import (
    BOOL_FIELDS,
    EXTRA,
    GROUP,
    PATH_FIELDS,
    SECRET_OPTIONS,
    TEXT_FIELDS,
    TIMEOUT,
)
from tui_forward.common.user_folders import absolute_path, expand_home
from tui_forward.model import AccessOptions
from tui_forward.profiles.values import (
    InvalidValueError,
    ValueParser,
    parse_flag_value,
    parse_text,
    parse_texts,
)

# Keys that decide who receives the user's credentials. A profile that others may write has none of
# them: they could have the credentials sent to a server of theirs.
SERVER_KEYS: Final = frozenset(
    {"server", "proxy-url", "tls-server-name", "certificate-authority", "insecure-skip-tls-verify"}
)
_FIELDS: Final[Mapping[str, str]] = {
    **{name: field for name, field in TEXT_FIELDS.items() if name not in SECRET_OPTIONS},
    **PATH_FIELDS,
    **BOOL_FIELDS,
    GROUP: "impersonate_groups",
    EXTRA: "impersonate_extra",
    TIMEOUT: "request_timeout_s",
}  # fmt: skip


def _refuse_secret(_value: Any) -> None:
    raise InvalidValueError(
        "is a secret, which a profile cannot have",
        "add it to a user of your kubeconfig, and name that with `user`",
    )


def _parse_proxy(value: Any) -> str:
    text = parse_text(value)
    if AccessOptions(proxy_url=text).secrets:
        raise InvalidValueError(
            "has a user or a password in it, which a profile cannot have",
            "set HTTPS_PROXY, or proxy-url of a cluster of your kubeconfig, and name that with "
            "`cluster`",
        )
    return text


def _parse_extra(value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        raise InvalidValueError("must be a mapping", "for example {scopes: [read, write]}")
    return tuple((parse_text(key), parse_texts(value[key])) for key in value)


ACCESS_KEYS: Final[Mapping[str, ValueParser]] = {
    **dict.fromkeys(_FIELDS, parse_text),
    **dict.fromkeys(BOOL_FIELDS, parse_flag_value),
    GROUP: parse_texts,
    EXTRA: _parse_extra,
    TIMEOUT: parse_duration_value,
    "proxy-url": _parse_proxy,
}
# Keys that are refused with a reason of their own.
SECRET_KEYS: Final[Mapping[str, ValueParser]] = dict.fromkeys(SECRET_OPTIONS, _refuse_secret)


def make_access_options(values: Mapping[str, Any], file: Path) -> AccessOptions:
    """Return the options of parsed values; paths are relative to the folder of the profile.

    UsageError for values that contradict each other.
    """
    fields = {_FIELDS[key]: value for key, value in values.items()}
    for field in PATH_FIELDS.values():
        if field in fields:
            fields[field] = str(absolute_path(file.parent / expand_home(fields[field])))
    options = AccessOptions(**fields)
    check_access_options(options)
    return options


def inherit_access(access: AccessOptions, context: str, default_context: str) -> AccessOptions:
    """Return what a forward without options of its own has of those of its profile."""
    return access if context == default_context else access.for_other_context()


def format_access(options: AccessOptions) -> dict[str, Any]:
    """Return options without secrets as the value of `access`."""
    access: dict[str, Any] = {}
    for key, field in _FIELDS.items():
        value = getattr(options, field)
        if not value:
            continue
        if key == EXTRA:
            access[key] = {name: _shorten(values) for name, values in value}
        elif key == GROUP:
            access[key] = _shorten(value)
        elif key == TIMEOUT:
            access[key] = format_duration_arg(value)
        else:
            access[key] = value
    return access


def _shorten(values: tuple[str, ...]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def why_unsaveable(options: AccessOptions) -> str:
    """Return which options cannot be in a file and why, "" if all can."""
    if names := secret_option_names(options):
        return f"{names}, which is never saved"
    if not describe_access_options(options).isprintable():
        return "options with unprintable characters"
    return ""
