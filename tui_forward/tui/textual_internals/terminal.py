"""The terminal: what is restored, how an app survives its loss or crashes, how many colors."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import sys
import termios
import traceback
from codecs import getincrementaldecoder
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from rich.console import Console
from textual import constants
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from tui_forward.common.ascii_symbols import REPLACE_SYMBOLS
from tui_forward.tui.textual_internals.input_priority import InputFirstApp

T = TypeVar("T")

# As `LinuxDriver`.
_ESCAPE_POLL_S = 0.1
_READ_BYTES = 4096


def has_few_colors(environ: Mapping[str, str]) -> bool:
    """Return whether a terminal with these variables gets 16 colors or fewer from Textual."""
    console = Console(
        color_system=cast("Any", constants.COLOR_SYSTEM), force_terminal=True,
        legacy_windows=False, _environ={**environ, "NO_COLOR": ""},
    )  # fmt: skip
    return console.color_system in (None, "standard")


# What `LinuxDriver.stop_application_mode` writes, and for an app that was suspended, too.
_RESET = (
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"
    b"\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l"
)


class TerminalState:
    """Attributes of the terminal before an app; restores it after one that does not react."""

    def __init__(self) -> None:
        self._attributes: list[Any] | None = None
        with contextlib.suppress(termios.error):
            self._attributes = termios.tcgetattr(_stdin())

    def restore(self) -> None:
        """Restore attributes, screen, cursor and mouse. Blocks if the terminal is not read."""
        # In the background the system would stop the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        with contextlib.suppress(termios.error, OSError):
            if self._attributes is not None:
                termios.tcsetattr(_stdin(), termios.TCSANOW, self._attributes)
            os.write(_stdout(), _RESET)


def _stdin() -> int:
    return sys.__stdin__.fileno() if sys.__stdin__ is not None else 0


def _stdout() -> int:
    return sys.__stdout__.fileno() if sys.__stdout__ is not None else 1


class _TerminalFile:
    """Stdout as the driver's file, whose writes never fail.

    An error would end Textual's writer thread. The event loop, which passes text to that thread
    through a bounded queue, would then wait forever.
    """

    def __init__(self, encoding: str) -> None:
        self._data = bytearray()
        self._encoding = encoding

    def write(self, text: str) -> None:
        self._data += text.encode(self._encoding, REPLACE_SYMBOLS)

    def flush(self) -> None:
        """Write what is buffered; drop it if the terminal is gone."""
        data, self._data = self._data, bytearray()
        with contextlib.suppress(OSError), memoryview(data) as view:
            start = 0
            while start < len(view):
                try:
                    start += os.write(_stdout(), view[start:])
                except BlockingIOError:  # a process that shares it made it non-blocking
                    select.select([], [_stdout()], [])

    def fileno(self) -> int:
        return _stdout()


class TerminalDriver(LinuxDriver):
    """Driver that writes to stdout, and that survives the loss of its terminal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file = cast("Any", _TerminalFile(cast("CrashCapturingApp[Any]", self._app).encoding))
        # Readable while the input thread is to end.
        self._end_receiver, self._end_sender = os.pipe()

    def disable_input(self) -> None:
        """Stop the input thread."""
        os.write(self._end_sender, b"e")
        try:
            super().disable_input()
        finally:
            os.read(self._end_receiver, 1)

    def run_input_thread(self) -> None:
        """Read keys; unlike `LinuxDriver`, which polls ten times a second, only when there are any.

        It polls only while the parser waits for the rest of an escape sequence.
        """
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            selector.register(self._end_receiver, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                is_incomplete = parser._timeout_time is not None  # noqa: SLF001 - no other way
                timeout_s = _ESCAPE_POLL_S if is_incomplete else None
                ready = {key.fd for key, _ in selector.select(timeout_s)}
                if self.fileno in ready:
                    data = os.read(self.fileno, _READ_BYTES)
                    if not data:
                        raise OSError("the terminal is gone")
                    text = decode(data)
                    for message in parser.feed(text) if text else ():  # "" would end the parser
                        self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)

    def send_message(self, message: Message) -> None:
        """Pass a message on at once; Textual's driver creates a task, which takes a turn more."""
        if isinstance(self._app, InputFirstApp):
            self._app.receive(message)
        else:
            super().send_message(message)

    def _run_input_thread(self) -> None:
        """Read keys until the terminal is lost; `LinuxDriver` would print a traceback."""
        try:
            self.run_input_thread()
        except OSError:
            return
        except Exception as error:  # noqa: BLE001 - raised where it is handled
            self._app.call_later(_raise, error)


def _raise(error: Exception) -> None:
    raise error


class CrashCapturingApp(App[T]):
    """App that keeps the traceback of an unhandled exception instead of printing it.

    `App._fatal_error` prints the traceback, with local variables, over the restored terminal;
    they may contain credentials.
    """

    crash: str | None = None  # the traceback; None if the app did not crash
    encoding = "utf-8"  # of the terminal

    def get_driver_class(self) -> type[TerminalDriver]:
        """Return the driver for a terminal."""
        return TerminalDriver

    def _fatal_error(self) -> None:
        self.crash = traceback.format_exc()
        self._close_messages_no_wait()
