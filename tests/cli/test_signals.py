from __future__ import annotations

import asyncio
import signal
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
