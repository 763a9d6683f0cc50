"""kubectl's options for cluster and user: parsed from a command line, and formatted as one.

Pure but for `parse_access_options`, which checks that named files exist.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from tui_forward.common.arguments import format_duration_arg, parse_duration_s
from tui_forward.common.kubectl_options import (
    BOOL_FIELDS,
    EXTRA,
    GROUP,
    PATH_FIELDS,
    TEXT_FIELDS,
    TIMEOUT,
    parse_flag,
)
from tui_forward.common.user_folders import absolute_path, expand_home
from tui_forward.errors import UsageError
from tui_forward.known_secrets import remember
from tui_forward.model import AccessOptions, ForwardDefaults, TransportChoice

_SECRET_NAMES: Final = {"token": "--token", "password": "--password", "proxy_url": "--proxy-url"}


def parse_access_options(
    values: Mapping[str, Sequence[str]], *, folder: Path | None = None
) -> AccessOptions:
    """Return the options of a command line: values in order, by kubectl's name without dashes.

    Paths are relative to `folder`, by default the working folder; `~` is expanded. UsageError for
    what kubectl refuses too, whatever the kubeconfig is.
    """
    fields: dict[str, Any] = {}
    for name, given in values.items():
        last = given[-1] if given else ""
        if name in TEXT_FIELDS:
            fields[TEXT_FIELDS[name]] = last
        elif name in PATH_FIELDS:
            fields[PATH_FIELDS[name]] = _parse_path(name, last, folder)
        elif name in BOOL_FIELDS:
            fields[BOOL_FIELDS[name]] = parse_flag(name, last)
        elif name == GROUP:
            fields["impersonate_groups"] = tuple(dict.fromkeys(given))
        elif name == EXTRA:
            fields["impersonate_extra"] = _parse_extra(given)
        elif name == TIMEOUT:
            fields["request_timeout_s"] = _parse_timeout(last)
    options = AccessOptions(**fields)
    check_access_options(options)
    if not options.secrets:
        return options
    remember(options.token, options.password)
    if "proxy_url" in options.secrets:
        remember(urlsplit(options.proxy_url).password or "")
    return msgspec.structs.replace(
        options, secret_id=secrets.token_hex(8), secret_fields=options.secrets
    )


def _parse_path(name: str, value: str, folder: Path | None) -> str:
    if not value:
        return ""
    path = absolute_path((folder or "") / expand_home(value))
    if not path.is_file():
        raise UsageError(f"there is no file {path}, which --{name} names", hint="check the path")
    return str(path)


def _parse_timeout(text: str) -> float:
    """Return seconds; as for kubectl, those without a unit are whole, and an empty text is 0."""
    if text and text[-1:].isdigit() and not text.removeprefix("+").isdigit():
        raise UsageError(
            f'"{text}" is no time of --{TIMEOUT}', hint="write a unit, for example 1.5s"
        )
    return parse_duration_s(text) if text else 0.0


def _parse_extra(texts: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(
                f'"{text}" is no extra of a user', hint="write --as-user-extra KEY=VALUE"
            )
        found.setdefault(key, []).append(value)
    return tuple((key, tuple(dict.fromkeys(values))) for key, values in found.items())


def check_access_options(options: AccessOptions) -> None:
    """Raise UsageError for options that contradict each other, or have a secret where none may be.

    The error has no value of them.
    """
    if options.insecure and options.certificate_authority:
        raise UsageError(
            "--insecure-skip-tls-verify and --certificate-authority contradict each other",
            hint="use one of them",
        )
    if options.token and (options.username or options.password):
        raise UsageError(
            "--token cannot be combined with --username and --password", hint="use one of them"
        )
    try:
        has_user_info = "@" in urlsplit(options.server).netloc
    except ValueError:
        raise UsageError(
            "--server is not a URL", hint="for example https://10.0.0.1:6443"
        ) from None
    if has_user_info:
        raise UsageError(
            "--server has a user or a password in it", hint="use --username and --password"
        )


def format_access_options(options: AccessOptions) -> Iterator[tuple[str, str | None]]:
    """Yield each option with its value, None for a secret."""
    if not options:
        return
    for name, field in {**TEXT_FIELDS, **PATH_FIELDS}.items():
        value: str = getattr(options, field)
        if field in options.secret_fields or field in options.secrets:
            yield f"--{name}", None
        elif value:
            yield f"--{name}", value
    for name, field in BOOL_FIELDS.items():
        if getattr(options, field):
            yield f"--{name}", "true"
    for group in options.impersonate_groups:
        yield f"--{GROUP}", group
    for key, values in options.impersonate_extra:
        for value in values:
            yield f"--{EXTRA}", f"{key}={value}"
    if options.request_timeout_s:
        yield f"--{TIMEOUT}", format_duration_arg(options.request_timeout_s)


def describe_access_options(options: AccessOptions) -> str:
    """Return the options as text for the user, without secrets; "" for none."""
    return " ".join(
        name if value is None or name.removeprefix("--") in BOOL_FIELDS else f"{name}={value}"
        for name, value in format_access_options(options)
    )


def format_options_for_shell(options: AccessOptions) -> Iterator[str]:
    """Yield the options as words of a shell; a secret is a variable: `--token "$TOKEN"`."""
    for name, value in format_access_options(options):
        if value is None:
            variable = name.removeprefix("--").replace("-", "_").upper()
            yield f'{name} "${variable}"'
        elif name.removeprefix("--") in BOOL_FIELDS:
            yield name
        else:
            yield f"{name} {shlex.quote(value)}"


def secret_option_names(options: AccessOptions) -> str:
    """Return the options whose values are not kept: `--token`; "" if there are none."""
    fields = options.secret_fields or options.secrets
    return ", ".join(_SECRET_NAMES[field] for field in fields)


def with_environment(defaults: ForwardDefaults, environ: Mapping[str, str]) -> ForwardDefaults:
    """Return the defaults of forwards with kubectl's switch of its transports applied."""
    if environ.get("KUBECTL_PORT_FORWARD_WEBSOCKETS", "").lower() == "false":
        return msgspec.structs.replace(defaults, transport=TransportChoice.SPDY)
    return defaults
