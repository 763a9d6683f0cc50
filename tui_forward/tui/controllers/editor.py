"""The user's editor, which takes over the terminal until it ends."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence

from textual.app import App


class Editor:
    """Runs one editor at a time."""

    def __init__(self, app: App[None]) -> None:
        self._app = app
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: Sequence[str]) -> None:
        """Run an editor to its end; raise SuspendNotSupported or OSError if that is impossible.

        Blocks the event loop, as there is no screen; the engine is another process. Ctrl-C belongs
        to the editor meanwhile.
        """
        with self._app.suspend():
            # Not SIG_IGN, which the editor would inherit.
            previous = signal.signal(signal.SIGINT, lambda *_: None)
            try:
                with subprocess.Popen(command) as self._process:
                    self._process.wait()
            finally:
                self._process = None
                signal.signal(signal.SIGINT, previous)

    def interrupt(self) -> None:
        """End the editor, if it runs; may be called in another thread."""
        process = self._process
        if process is not None:
            process.terminate()
