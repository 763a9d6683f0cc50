from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tui_forward.cli.commands.run import SignalForwarder
from tui_forward.cli.signals import call_on_signals

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def restored_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_ignored_hangup_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = asyncio.Event()
    with call_on_signals(stop.set):
        signal.raise_signal(signal.SIGHUP)
        await asyncio.sleep(0)
        assert not stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        await stop.wait()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


async def test_ignored_hangup_stays_ignored_for_a_command() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    forwarder = SignalForwarder()
    try:
        signal.raise_signal(signal.SIGHUP)
        await asyncio.sleep(0)
        assert forwarder.received is None
    finally:
        forwarder.close()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


async def test_interrupt_ends_a_background_job() -> None:
    """Shells ignore SIGINT for the background jobs of scripts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = asyncio.Event()
    with call_on_signals(stop.set):
        signal.raise_signal(signal.SIGINT)
        await stop.wait()


_INTERRUPTED_IMPORT = """
import os, signal, sys
from tui_forward.__main__ import main

class Finder:
    def find_spec(self, name, *_):
        if name == "tui_forward.cli.main":
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:  # as callbacks of the import system do
                pass

sys.meta_path.insert(0, Finder())
sys.argv = ["tui-forward", "--version"]
sys.exit(main())
"""


def test_interrupt_during_the_imports_ends_the_process_without_a_traceback() -> None:
    command = [sys.executable, "-c", _INTERRUPTED_IMPORT]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")


def test_interrupt_is_a_keyboard_interrupt_when_the_command_runs() -> None:
    code = """
import signal, sys
import tui_forward.cli.main as cli
from tui_forward.__main__ import main
cli.main = lambda: print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert ended.stdout == b"True\n"
