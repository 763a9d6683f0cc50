"""A program on a pseudo-terminal that the test owns, so that it can take it away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import threading
from pathlib import Path
from typing import Self

from tests.e2e.processes import wait_until
from tests.support.forked_program import ForkedProcess, is_forkable

# A session leader's first open of a terminal makes it the controlling one, so that the kernel
# sends SIGHUP when it is lost. `exec` keeps the process id.
_ON_TERMINAL = 'tty=$1; shift; exec "$@" <"$tty" >"$tty" 2>&1'


class PseudoTerminal:
    """A program with a controlling terminal of its own; a context manager that ends it.

    Output is read continuously and kept in `output`. The program is forked where that is possible,
    unless `is_forked` is False.
    """

    def __init__(
        self, *command: str, env: dict[str, str], size: tuple[int, int] = (100, 30),
        cwd: Path | None = None, before: str = "", is_forked: bool = True,
    ) -> None:  # fmt: skip
        self.output = bytearray()
        self._master, slave = pty.openpty()
        self.resize(*size)
        # Kept open, because the attributes of a terminal end with its last user.
        self._slave: int | None = slave
        self.attributes = termios.tcgetattr(slave)
        self._stop_reading, self._stopped_reading = os.pipe()
        self.process: subprocess.Popen[bytes]
        can_fork = ForkedProcess.template is not None and is_forkable(command, env)
        if is_forked and not before and can_fork:
            self.process = ForkedProcess(command, terminal=os.ttyname(slave), env=env, cwd=cwd)
        else:
            script = f"{before}; {_ON_TERMINAL}" if before else _ON_TERMINAL
            self.process = subprocess.Popen(
                ["sh", "-c", script, "sh", os.ttyname(slave), *command],
                env=env, cwd=cwd, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, name="pseudo-terminal")
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.hang_up()

    def _read(self) -> None:
        # A blocked read would hold the terminal open after `close`.
        files = [self._master, self._stop_reading]
        with contextlib.suppress(OSError):
            while self._stop_reading not in select.select(files, [], [])[0]:
                self.output += os.read(self._master, 65536)

    def resize(self, width: int, height: int) -> None:
        """Set the size in columns and lines."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def send(self, keys: bytes) -> None:
        """Type keys."""
        os.write(self._master, keys)

    def wait_for_output(self, *texts: str, timeout_s: float = 40.0) -> None:
        """Wait until all texts were written to the terminal."""

        def is_written() -> bool:
            return all(text in self.text() for text in texts)

        try:
            wait_until(is_written, f"{texts} on the terminal", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.text()[-3000:]!r}") from None

    def text(self) -> str:
        """Return all output."""
        return self.output.decode(errors="replace")

    def wait_until_restored(self) -> None:
        """Wait until the terminal is as it was before the program."""

        def is_restored() -> bool:
            assert self._slave is not None
            same = termios.tcgetattr(self._slave) == self.attributes
            left = self.output.rfind(b"\x1b[?1049l") >= self.output.rfind(b"\x1b[?1049h")
            return same and left

        wait_until(is_restored, "the terminal to be restored", 60)

    def stop_reading(self) -> None:
        """Stop reading the output, as a terminal does that is suspended or cut off."""
        if self._stopped_reading >= 0:
            os.close(self._stopped_reading)
            self._stopped_reading = -1
            self._reader.join()
            os.close(self._stop_reading)

    def hang_up(self) -> None:
        """Close the terminal, as a terminal emulator does that is closed."""
        self.stop_reading()
        if self._slave is not None:
            os.close(self._master)
            os.close(self._slave)
            self._slave = None

    def wait(self, timeout_s: float) -> int:
        """Wait for the end of the program; return its exit code, negative for a signal."""
        return self.process.wait(timeout_s)


def terminal_environment(own_home: Path, **more: str) -> dict[str, str]:
    """Return environment variables for a program on a pseudo-terminal."""
    return {
        "PATH": os.environ["PATH"], "HOME": str(own_home), "TERM": "xterm-256color",
        "XDG_RUNTIME_DIR": str(own_home / "run"), "LANG": "C.UTF-8",
        "XDG_STATE_HOME": str(own_home / ".local/state"),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **more,
    }  # fmt: skip
