"""A program in a pseudoterminal: keys and output with times."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Escape sequences: what moves the cursor parts texts, all others only colour them.
_MOVES = re.compile(rb"\x1b\[[\d;]*[HfABCDEFGd]")
_ESCAPES = re.compile(
    rb"\x1b(\[[\d;?<=>!$ ]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>78])"
)


class Terminal:
    """Runs a program until `close`.

    Args:
        command: Program and arguments.
        columns: Of the terminal.
        rows: Of the terminal.
        env: The program's environment.
        cwd: The program's folder.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 160,
        rows: int = 48,
        env: Mapping[str, str],
        cwd: Path,
    ) -> None:
        main, its = os.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._fd = main
        self._news = threading.Condition()
        self._pieces: list[tuple[float, bytes]] = []
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=its, stdout=its, stderr=its, env=dict(env), cwd=cwd,
            start_new_session=True,
        )  # fmt: skip
        os.close(its)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the program has ended
            while piece := os.read(self._fd, 1 << 16):
                with self._news:
                    self._pieces.append((time.perf_counter(), piece))
                    self._news.notify_all()

    def forget(self) -> None:
        """Discard the output so far."""
        with self._news:
            self._pieces.clear()

    def press(self, keys: bytes) -> float:
        """Discard the output so far, type keys, and return the time (`time.perf_counter`)."""
        self.forget()
        moment = time.perf_counter()
        os.write(self._fd, keys)
        return moment

    def shows(self, pattern: str, timeout_s: float = 30.0) -> float:
        """Wait until the output since the last key or `forget` matches; return the time.

        Raises:
            TimeoutError: It never did; with the end of what was drawn.
        """
        return self.finds(pattern, timeout_s)[0]

    def finds(self, pattern: str, timeout_s: float = 30.0) -> tuple[float, re.Match[str]]:
        """Do what `shows` does; return also what matches."""
        wanted = re.compile(pattern)
        deadline = time.perf_counter() + timeout_s
        seen = 0
        with self._news:
            while True:
                if len(self._pieces) > seen:
                    seen = len(self._pieces)
                    # Pieces end anywhere, so that what is sought may stand in two.
                    found = wanted.search(_text(b"".join(piece for _, piece in self._pieces)))
                    if found is not None:
                        return self._pieces[-1][0], found
                left = deadline - time.perf_counter()
                if left <= 0 or self.process.poll() is not None:
                    text = _text(b"".join(piece for _, piece in self._pieces))
                    raise TimeoutError(f"waited in vain for {pattern!r}; drawn: {text[-400:]!r}")
                self._news.wait(min(left, 0.5))

    def close(self) -> None:
        """Stop the program if it runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)
        os.close(self._fd)


def _text(data: bytes) -> str:
    return _ESCAPES.sub(b"", _MOVES.sub(b"\n", data)).decode(errors="replace")
