"""A program that takes over the terminal until it ends: the user's editor, a login."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO

from textual.app import App

from tui_forward.model import MAX_LOGIN_OUTPUT

# A child of the program may keep its stdout open.
_DRAIN_S = 0.5


class TerminalProgram:
    """Runs one program at a time."""

    def __init__(self, app: App[None]) -> None:
        self._app = app
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        note: str = "",
        capture: bool = False,
    ) -> tuple[int, bytes]:
        """Run a program to its end; return its exit code, and its stdout if that is captured.

        `note` is printed before it. Raises SuspendNotSupported or OSError if it cannot be run.
        Blocks the event loop, as there is no screen; the engine is another process. Ctrl-C belongs
        to the program meanwhile.
        """
        with self._app.suspend():
            # Not SIG_IGN, which the program would inherit.
            previous = signal.signal(signal.SIGINT, lambda *_: None)
            try:
                if note:
                    print(note, flush=True)  # noqa: T201 - the screen is suspended
                return self._run(command, environ, capture=capture)
            finally:
                self._process = None
                signal.signal(signal.SIGINT, previous)

    def _run(
        self, command: Sequence[str], environ: Mapping[str, str] | None, *, capture: bool
    ) -> tuple[int, bytes]:
        output = bytearray()
        stdout = subprocess.PIPE if capture else None
        with subprocess.Popen(command, env=environ, stdout=stdout) as self._process:
            if self._process.stdout is None:
                return self._process.wait(), b""
            reader = threading.Thread(
                target=_read, args=(self._process.stdout, output), name="login output", daemon=True
            )
            reader.start()
            exit_code = self._process.wait()
            reader.join(_DRAIN_S)
            return exit_code, bytes(output)

    def interrupt(self) -> None:
        """End the program, if it runs; may be called in another thread."""
        process = self._process
        if process is not None:
            process.terminate()


def _read(stream: IO[bytes], output: bytearray) -> None:
    """Keep the first bytes of a stream, and discard the rest. Blocks."""
    descriptor = stream.fileno()
    while chunk := os.read(descriptor, 65536):
        output += chunk[: max(0, MAX_LOGIN_OUTPUT - len(output))]
