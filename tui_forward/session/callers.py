"""Environments of the users' terminals, in which credential plugins run.

A front end sends its own to the engine, since variables such as AWS_PROFILE differ between
terminals. It stays in memory: it is neither saved, shown nor logged, and only names of variables
appear in texts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

import msgspec

from tui_forward.model import Caller

# The front end whose request is being answered; None for those that sent no environment, and for a
# session in the process of its front end.
CURRENT_CALLER: Final[ContextVar[Caller | None]] = ContextVar("current_caller", default=None)

# They differ between terminals or commands of the same user without a meaning for credentials.
# KUBECONFIG is the same for all callers of an engine, up to the way it is written.
_VOLATILE: Final = frozenset({
    "_", "COLORTERM", "COLUMNS", "COMP_LINE", "COMP_POINT", "COMP_CWORD", "CMD_DURATION_MS",
    "GPG_TTY", "HISTFILE", "HISTSIZE", "INVOCATION_ID", "ITERM_SESSION_ID",
    "JOURNAL_STREAM", "KUBECONFIG", "LINES", "LS_COLORS", "NO_COLOR", "OLDPWD",
    "PROMPT_COMMAND", "PS1", "PS2", "PWD", "RPROMPT", "SECURITYSESSIONID",
    "SESSION_MANAGER", "SHELL_SESSION_ID", "SHLVL", "SSH_CLIENT", "SSH_CONNECTION",
    "SSH_TTY", "STY", "TERM", "TERMCAP", "TERM_PROGRAM", "TERM_PROGRAM_VERSION",
    "TERM_SESSION_ID", "TMUX", "TMUX_PANE", "VTE_VERSION", "WINDOW", "WINDOWID",
    "WINDOWPATH", "WT_SESSION", "XDG_SESSION_ID", "XDG_VTNR",
})  # fmt: skip
_VOLATILE_PREFIXES: Final = (
    "ALACRITTY_", "BASH_FUNC_", "DIRENV_", "GNOME_TERMINAL_", "KITTY_", "KONSOLE_", "NVIM",
    "STARSHIP_", "TUI_FORWARD_", "VSCODE_", "WEZTERM_", "ZELLIJ",
)  # fmt: skip
# Longer environments are not sent; the engine uses its own.
_MAX_BYTES: Final = 512 * 1024
_MAX_NAMES: Final = 5


def make_caller(environ: Mapping[str, str]) -> Caller | None:
    """Return what this process sends to the engine; None if its environment is too large."""
    if sum(len(name) + len(value) for name, value in environ.items()) > _MAX_BYTES:
        return None
    # Bytes that are not UTF-8 cannot be sent.
    variables = {
        name: value for name, value in environ.items() if _is_utf8(name) and _is_utf8(value)
    }
    return Caller(environ=variables, terminal=_terminal(), pid=os.getpid())


def encode_callers(callers: Mapping[str, Caller]) -> bytes:
    """Return the environments of forwards, by id, for another engine of the same user."""
    unique = {id(caller): caller for caller in callers.values()}
    numbers = {key: number for number, key in enumerate(unique)}
    content = _Callers(list(unique.values()), {k: numbers[id(c)] for k, c in callers.items()})
    return msgspec.msgpack.encode(content)


def decode_callers(data: bytes) -> dict[str, Caller]:
    """Undo `encode_callers`; empty if there are none, or they cannot be read."""
    try:
        content = msgspec.msgpack.decode(data, type=_Callers)
        return {key: content.callers[number] for key, number in content.forwards.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError):
        return {}


class _Callers(msgspec.Struct):
    callers: list[Caller]  # each once
    forwards: dict[str, int]  # index of the caller of each forward


def environment_key(environ: Mapping[str, str]) -> bytes:
    """Return a value that is the same for environments that differ in volatile variables only."""
    digest = hashlib.sha256()
    for name, value in sorted(environ.items()):
        if not is_volatile(name):
            for text in (name, value):
                data = text.encode("utf-8", "surrogateescape")
                digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()


def is_volatile(name: str) -> bool:
    """Whether a variable says nothing about the user's credentials."""
    return name in _VOLATILE or name.startswith(_VOLATILE_PREFIXES)


def describe_caller(caller: Caller) -> str:
    """Return the terminal of a caller, else its process."""
    return caller.terminal or f"process {caller.pid}"


def differing_names(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Return the names of the variables that differ; no values. Empty if none does."""
    names = sorted(
        name
        for name in one.keys() | other.keys()
        if not is_volatile(name) and one.get(name) != other.get(name)
    )
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _terminal() -> str:
    for descriptor in (0, 2, 1):
        with contextlib.suppress(OSError):
            return os.ttyname(descriptor).removeprefix("/dev/")
    return ""
