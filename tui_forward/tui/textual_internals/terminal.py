"""The terminal: what is restored, how an app survives its loss or crashes, how many colors."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import traceback
from codecs import getincrementaldecoder
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from rich.console import Console
from textual import constants
from textual._time import get_time
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from tui_forward.common.ascii_symbols import REPLACE_SYMBOLS
from tui_forward.tui.textual_internals.input_priority import InputFirstApp

T = TypeVar("T")

# Parsed in a millisecond or two, between which a long paste lets other work run.
_READ_BYTES = 1024


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
    """Driver that writes to stdout, reads in the event loop, and survives a lost terminal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file = cast("Any", _TerminalFile(cast("CrashCapturingApp[Any]", self._app).encoding))
        self.is_reading = False
        self._new_parser()

    def _new_parser(self) -> None:
        self._parser = XTermParser(self._debug)
        self._decode = getincrementaldecoder("utf-8")(errors="replace").decode

    def disable_input(self) -> None:
        """Stop reading keys."""
        super().disable_input()
        self._stop_reading()

    def _stop_reading(self) -> None:
        self.is_reading = False
        if not self._loop.is_closed():
            self._loop.remove_reader(self.fileno)

    def _run_input_thread(self) -> None:
        """Let the event loop read keys, and end.

        A thread would have to wait until the loop lets it run, up to 5 ms, and then wake it.
        """
        self.is_reading = True
        self._loop.call_soon_threadsafe(self._start_reading)

    def _start_reading(self) -> None:
        if self.is_reading:
            self._new_parser()
            self._loop.add_reader(self.fileno, self._read_keys)

    def _read_keys(self) -> None:
        """Pass keys on until the terminal is lost."""
        try:
            data = os.read(self.fileno, _READ_BYTES)
        except BlockingIOError:
            return  # another program has made the terminal non-blocking, and has read the key
        except OSError:
            data = b""
        if not data:
            self._stop_reading()
            return
        text = self._decode(data)
        self._process(self._parser.feed(text) if text else ())  # "" would end the parser
        timeout_at = self._parser._timeout_time  # noqa: SLF001 - no other way
        if timeout_at is not None:  # of an incomplete escape sequence, or of the Escape key
            delay_s = max(0.0, timeout_at - get_time())
            self._loop.call_later(delay_s, lambda: self._process(self._parser.tick()))

    def _process(self, messages: Iterable[Message]) -> None:
        """Process messages of the parser, which cannot go on after an error."""
        try:
            for message in messages:
                self.process_message(message)
        except Exception as error:  # noqa: BLE001 - raised where it is handled
            self._stop_reading()
            self._app.call_later(_raise, error)

    def send_message(self, message: Message) -> None:
        """Pass a message on at once; Textual's driver creates a task, which takes a turn more."""
        if isinstance(self._app, InputFirstApp):
            self._app.receive(message)
        else:
            super().send_message(message)


def _raise(error: Exception) -> None:
    raise error


class CrashCapturingApp(App[T]):
    """App that keeps the traceback of an unhandled exception instead of printing it.

    `App._fatal_error` prints the traceback, with local variables, over the restored terminal;
    they may contain credentials.
    """

    crash: str | None = None  # the traceback; None if the app did not crash
    encoding = "utf-8"  # of the terminal

    @property
    def is_exiting(self) -> bool:
        """Whether `exit` has been called."""
        return self._exit

    def get_driver_class(self) -> type[TerminalDriver]:
        """Return the driver for a terminal."""
        return TerminalDriver

    def _fatal_error(self) -> None:
        self.crash = traceback.format_exc()
        self._close_messages_no_wait()
