"""A terminal in a private tmux server."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Self

import pytest

from tests.e2e.processes import wait_until
from tests.support.forked_program import forking_command, is_forkable

NEEDS_TMUX = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """One tmux session on a private socket; a context manager that ends it.

    Args:
        folder: Folder of the socket; its path must be short.
        width: Columns.
        height: Lines.
        is_forked: Fork programs where that is possible.
    """

    def __init__(
        self, folder: Path, width: int = 80, height: int = 24, *, is_forked: bool = True
    ) -> None:
        self._is_forked = is_forked
        config = folder / "tmux.conf"
        config.write_text(
            "set -g default-terminal tmux-256color\nset -g status off\nset -g escape-time 0\n"
            f"set -g default-size {width}x{height}\n"
        )
        self._tmux = ("tmux", "-S", str(folder / "tmux.sock"), "-f", str(config))
        self._size = (str(width), str(height))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout

    def start(self, *command: str, **env: str) -> None:
        """Start a program; at its end, `ended with` and its exit code are printed."""
        width, height = self._size
        settings = [word for key, value in env.items() for word in ("-e", f"{key}={value}")]
        if self._is_forked and is_forkable(command, {**os.environ, **env}):
            script = f"exec {shlex.join(forking_command(command, 'terminal'))}"
        else:
            script = f"{shlex.join(command)}; echo ended with $?; exec sleep 600"
        self._run(
            "new-session", "-d", "-x", width, "-y", height, *settings,
            # They override the terminal's size in Textual, and a test runner may have set them.
            f"unset COLUMNS LINES; {script}",
        )  # fmt: skip

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def wait_for_text(self, *texts: str) -> str:
        """Wait until the screen shows all texts; return the screen."""
        screen = ""

        def is_shown() -> bool:
            nonlocal screen
            screen = self.screen()
            return all(text in screen for text in texts)

        try:
            wait_until(is_shown, "the screen", 90)
        except AssertionError:
            raise AssertionError(f"{texts} did not appear; last screen:\n{screen}") from None
        return screen

    def wait_until_gone(self, text: str) -> None:
        """Wait until the screen no longer shows a text."""
        wait_until(lambda: text not in self.screen(), f"{text} to disappear", 90)

    def close(self) -> None:
        self._run("kill-server")


def environment(own_home: Path, **more: str) -> dict[str, str]:
    """Return environment variables for a program in the terminal."""
    return {
        "HOME": str(own_home), "XDG_RUNTIME_DIR": str(own_home / "run"), "TERM": "tmux-256color",
        "XDG_STATE_HOME": str(own_home / ".local/state"), "LANG": "C.UTF-8",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **more,
    }  # fmt: skip
