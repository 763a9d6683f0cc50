"""The exit codes of the program, and which error earns which."""

from __future__ import annotations

from enum import IntEnum

from tui_forward.errors import TuiForwardError, UsageError


class ExitCode(IntEnum):
    """What the shell is told."""

    DONE = 0  # finished, or ended by Ctrl-C, SIGTERM or a reader of stdout who left
    FAILED = 1
    USAGE = 2  # the command line itself makes no sense


def exit_code_for(error: TuiForwardError) -> ExitCode:
    """The exit code an error leads to when nothing else can be done about it."""
    return ExitCode.USAGE if isinstance(error, UsageError) else ExitCode.FAILED
