"""kubectl's options for cluster and user, and those that are accepted without an effect."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tui_forward.cli import completers
from tui_forward.common.kubectl_options import (
    BOOL_FIELDS,
    IGNORED_FLAGS,
    IGNORED_VALUE_OPTIONS,
    parse_flag,
)

if TYPE_CHECKING:
    from tui_forward.model import AccessOptions

F = TypeVar("F", bound=Callable[..., Any])

# In `Context.meta`, which a command shares with the group that precedes it.
_META_KEY = completers.ACCESS_OPTIONS_KEY
_IGNORED_KEY = "tui_forward.ignored_options"
# Long name, metavar, help.
_VALUE_OPTIONS = (
    ("as", "NAME", "User to impersonate."),
    ("as-group", "NAME", "Group to impersonate; repeatable."),
    ("as-uid", "UID", "UID to impersonate."),
    ("as-user-extra", "KEY=VALUE", "Extra of the user to impersonate; repeatable."),
    ("cluster", "NAME", "Cluster of the kubeconfig."),
    ("user", "NAME", "User of the kubeconfig."),
    ("server", "URL", "Address of the API server."),
    ("token", "TOKEN", "Bearer token; kept in memory only."),
    ("username", "NAME", "User name for basic authentication."),
    ("password", "PASSWORD", "Password for basic authentication; kept in memory only."),
    ("certificate-authority", "FILE", "Certificate authority of the API server."),
    ("client-certificate", "FILE", "Client certificate."),
    ("client-key", "FILE", "Key of the client certificate."),
    ("tls-server-name", "NAME", "Name to verify in the server's certificate."),
    ("proxy-url", "URL", "Proxy to the API server."),
    ("request-timeout", "TIME", "Longest time of one request; 0 for none. [default: 0]"),
)
_COMPLETERS: dict[str, Any] = {
    "cluster": completers.complete_clusters,
    "user": completers.complete_users,
}
_FLAGS = (
    ("insecure-skip-tls-verify", "Do not verify the server's certificate."),
    ("disable-compression", "Do not ask for compressed responses."),
)
_FLAG_VALUE = re.compile(rf"--({'|'.join(sorted({*BOOL_FIELDS, *IGNORED_FLAGS}))})=(.*)", re.DOTALL)
_SHORT_VALUE = re.compile(r"(-[nsl])=(.+)", re.DOTALL)
_VERBOSITY = re.compile(r"(?:-v|--v)=?(\d{1,2})")
# kubectl's verbosity from which requests, and from which also headers and bodies are logged.
_DEBUG_LEVEL, _TRACE_LEVEL = 6, 8


class AccessOption(click.Option):
    """One of kubectl's options; its values are collected for `requested_access_options`."""


def access_options(command: F) -> F:
    """Add kubectl's options for cluster and user; read them with `requested_access_options`.

    They are hidden, because the help of a command shows what it has of its own; not from a shell
    that completes them.
    """
    is_hidden = not completers.is_completing()
    for name, metavar, text in reversed(_VALUE_OPTIONS):
        short = ["-s"] if name == "server" else []
        command = click.option(
            *short, f"--{name}", _parameter_name(name), cls=AccessOption, metavar=metavar,
            help=text, hidden=is_hidden, multiple=True, expose_value=False,
            callback=_collect(name), type=click.Path() if metavar == "FILE" else str,
            shell_complete=_COMPLETERS.get(name),
        )(command)  # fmt: skip
    for name, text in reversed(_FLAGS):
        command = click.option(
            f"--{name}", _parameter_name(name), cls=AccessOption, is_flag=True, help=text,
            hidden=is_hidden, expose_value=False, callback=_collect(name),
        )(command)  # fmt: skip
    command = click.option(
        "--kuberc", "kubectl_kuberc", cls=AccessOption, metavar="FILE", hidden=True,
        expose_value=False, callback=_use_kuberc,
        help="File with the policy for credential plugins, instead of $KUBERC.",
    )(command)  # fmt: skip
    return click.option(
        "--kubectl-options", is_flag=True, is_eager=True, expose_value=False,
        callback=_print_options,
        help="List kubectl's options (--as, --server, --token, ...), and exit.",
    )(command)  # fmt: skip


def ignored_options(*others: str) -> Callable[[F], F]:
    """Add kubectl's options without an effect here, and `others` that take a value."""

    def add(command: F) -> F:
        for name in sorted({*IGNORED_VALUE_OPTIONS, *others}):
            command = click.option(
                f"--{name}", _parameter_name(name), hidden=True, expose_value=False,
                callback=_note_ignored,
            )(command)  # fmt: skip
        for name in sorted(IGNORED_FLAGS):
            command = click.option(
                f"--{name}", _parameter_name(name), hidden=True, is_flag=True, expose_value=False,
                callback=_note_ignored,
            )(command)  # fmt: skip
        return command

    return add


def _parameter_name(name: str) -> str:
    return f"kubectl_{name.replace('-', '_')}"


def _collect(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def collect(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
        given = ["true"] if value is True else list(value or ())
        if given:
            ctx.meta.setdefault(_META_KEY, {}).setdefault(name, []).extend(given)

    return collect


def _use_kuberc(_ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value:
        # Read where plugins run, in the environment of this command.
        os.environ["KUBERC"] = os.path.abspath(value)  # noqa: PTH100 - cheap to import


def _note_ignored(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        ctx.meta.setdefault(_IGNORED_KEY, {})[param.opts[0]] = None


def requested_access_options() -> AccessOptions:
    """Return the options of the running command line; UsageError if they are invalid."""
    from tui_forward.common.access_options import parse_access_options

    meta = click.get_current_context().meta
    return parse_access_options(meta.get(_META_KEY, {}))


def first_access_option(ctx: click.Context) -> str:
    """Return the first of the options on the command line so far, or ""."""
    return next(iter(ctx.meta.get(_META_KEY, {})), "")


def ignored_option_notes() -> list[str]:
    """Return one note that names the options of the command line without an effect, or none."""
    names = list(click.get_current_context().meta.get(_IGNORED_KEY, ()))
    return [f"{', '.join(names)} of kubectl: accepted without an effect"] if names else []


def normalize_arguments(arguments: Sequence[str], *, verbosity_word: bool) -> list[str]:
    """Rewrite forms of kubectl that click does not know, up to `--`.

    These are `--FLAG=true`, `-n=shop`, `-v=6`, `--v=6` and, with `verbosity_word`, `-v 6`.
    """
    rest = list(arguments)
    result: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*result, word, *rest]
        if match := _FLAG_VALUE.fullmatch(word):
            if parse_flag(match[1], match[2]):
                result.append(f"--{match[1]}")
            continue
        if match := _SHORT_VALUE.fullmatch(word):
            result += [match[1], match[2]]
            continue
        takes_word = word == "--v" or (word == "-v" and verbosity_word)
        if takes_word and rest and rest[0].isdecimal() and len(rest[0]) <= 2:
            word = f"-v={rest.pop(0)}"
        if match := _VERBOSITY.fullmatch(word):
            level = int(match[1])
            result += ["-v"] * ((level >= _DEBUG_LEVEL) + (level >= _TRACE_LEVEL))
            continue
        result.append(word)
    return result


class KubectlCommand(click.Command):
    """Command that takes kubectl's arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; see `normalize_arguments`."""
        return super().parse_args(ctx, normalize_arguments(args, verbosity_word=True))


def _print_options(ctx: click.Context, _param: click.Parameter, enabled: bool) -> None:
    if not enabled or ctx.resilient_parsing:
        return
    formatter = ctx.make_formatter()
    options = [copy.copy(one) for one in ctx.command.params if isinstance(one, AccessOption)]
    for option in options:
        option.hidden = False
    records = [option.get_help_record(ctx) for option in options]
    with formatter.section("Options of kubectl for cluster and user"):
        formatter.write_dl([record for record in records if record is not None])
    names = ", ".join(f"--{name}" for name in sorted({*IGNORED_VALUE_OPTIONS, *IGNORED_FLAGS}))
    formatter.write_paragraph()
    formatter.write_text(f"Accepted without an effect: {names}.")
    click.echo(formatter.getvalue().rstrip())
    ctx.exit()
