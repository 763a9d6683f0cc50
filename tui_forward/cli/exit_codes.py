"""Exit codes of the program and the errors they belong to."""

from __future__ import annotations

from enum import IntEnum

from tui_forward.errors import TuiForwardError, UsageError


class ExitCode(IntEnum):
    """Exit code of `tui-forward`."""

    DONE = 0  # finished, or ended by Ctrl-C, SIGTERM or a closed stdout
    FAILED = 1  # or declined by the user
    USAGE = 2  # invalid command line


def exit_code_for(error: TuiForwardError) -> ExitCode:
    """Return the exit code of a command that ends with an error."""
    return ExitCode.USAGE if isinstance(error, UsageError) else ExitCode.FAILED
