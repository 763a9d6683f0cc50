"""The line by which an engine process reports to its launcher that it is ready."""

from __future__ import annotations

import contextlib
import sys

import msgspec

from tui_forward.errors import TuiForwardError


class ReadyMessage(msgspec.Struct, omit_defaults=True):
    """The line that an engine process prints once it serves, or when it cannot."""

    ready: bool  # this process, or another one, serves the socket
    pid: int = 0  # process id of this engine; 0 if another one serves
    draining: int = 0  # open connections that continue in the engine it has replaced
    error: str = ""
    hint: str = ""  # what to do about it


class ReadyNotifier:
    """Writes one `ReadyMessage` to stdout, which a process in the background then closes."""

    def __init__(self, *, is_detached: bool = False) -> None:
        self._is_detached = is_detached

    def ready(self, pid: int, draining: int = 0) -> None:
        """Report that an engine serves the socket; see `ReadyMessage`."""
        self._write(ReadyMessage(ready=True, pid=pid, draining=draining))
        if self._is_detached:
            from tui_forward.daemon import watchdog  # which launchers do not need

            watchdog.close_standard_streams()

    def failed(self, error: TuiForwardError) -> None:
        """Report that this engine cannot serve."""
        self._write(ReadyMessage(ready=False, error=error.message, hint=error.hint))

    def _write(self, message: ReadyMessage) -> None:
        with contextlib.suppress(OSError):  # started by hand, with a closed stdout
            sys.stdout.write(msgspec.json.encode(message).decode() + "\n")
            sys.stdout.flush()
