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


@pytest.mark.parametrize("ignored", SIGNALS)
async def test_ignored_signal_stays_ignored(ignored: signal.Signals) -> None:
    signal.signal(ignored, signal.SIG_IGN)
    stop = asyncio.Event()
    with call_on_signals(stop.set):
        signal.raise_signal(ignored)
        await asyncio.sleep(0)
        assert not stop.is_set()
        signal.raise_signal(next(one for one in SIGNALS if one is not ignored))
        await stop.wait()
        assert signal.getsignal(ignored) is signal.SIG_IGN
    assert signal.getsignal(ignored) is signal.SIG_IGN


@pytest.mark.parametrize("ignored", SIGNALS)
async def test_ignored_signal_stays_ignored_for_a_command(ignored: signal.Signals) -> None:
    signal.signal(ignored, signal.SIG_IGN)
    forwarder = SignalForwarder()
    try:
        signal.raise_signal(ignored)
        await asyncio.sleep(0)
        assert forwarder.received is None
    finally:
        forwarder.close()
    assert signal.getsignal(ignored) is signal.SIG_IGN
