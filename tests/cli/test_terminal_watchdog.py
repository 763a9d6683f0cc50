from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.cli.fake_session import until
from tui_forward.cli import terminal_watchdog
from tui_forward.cli.terminal_watchdog import TerminalWatchdog

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Exit:
    """Records the forced end of the process."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.called = threading.Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.called.set()


@contextlib.contextmanager
def watching(exit_process: Callable[[int], object]) -> Iterator[TerminalWatchdog]:
    watchdog = TerminalWatchdog(exit_process=exit_process)
    try:
        with watchdog.watch():
            yield watchdog
    finally:
        watchdog.stop()


@pytest.fixture
def short_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_watchdog, "EXIT_S", 0.1)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal as stdin of this process; returns the end to close."""
    master, slave = pty.openpty()
    stdin = os.dup(0)
    os.dup2(slave, 0)
    yield master
    os.dup2(stdin, 0)
    for descriptor in (stdin, slave, master):
        with contextlib.suppress(OSError):
            os.close(descriptor)


@pytest.mark.parametrize("number", SIGNALS)
async def test_signal_cancels_the_work(number: signal.Signals) -> None:
    done = Exit()
    with watching(done) as watchdog:
        work = asyncio.create_task(watchdog.run(asyncio.sleep(60, "slept")))
        await asyncio.sleep(0)
        signal.raise_signal(number)
        assert await work is None
        assert watchdog.is_ending
    assert not done.codes


async def test_other_cancellation_is_passed_on_and_results_are_returned() -> None:
    with watching(Exit()) as watchdog:
        assert await watchdog.run(asyncio.sleep(0, 7)) == 7
        work = asyncio.create_task(watchdog.run(asyncio.sleep(60, "slept")))
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work


@pytest.mark.usefixtures("short_exit")
async def test_process_that_does_not_react_is_ended_and_its_terminal_restored() -> None:
    done, calls = Exit(), []
    with watching(done) as watchdog:

        async def work() -> None:
            with watchdog.ending(
                end=lambda: calls.append("end"),
                interrupt=lambda: calls.append("interrupt"),
                restore=lambda: calls.append("restore"),
            ):
                signal.raise_signal(signal.SIGTERM)
                assert done.called.wait(60)  # blocks the event loop
                await asyncio.sleep(0)

        await watchdog.run(work())
    assert calls == ["interrupt", "restore", "end"]
    assert done.codes == [0]


@pytest.mark.usefixtures("short_exit")
async def test_restore_that_hangs_does_not_delay_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(terminal_watchdog, "_RESTORE_S", 0.05)
    done, release = Exit(), threading.Event()
    with watching(done) as watchdog:

        async def work() -> None:
            with watchdog.ending(end=lambda: None, restore=release.wait):
                signal.raise_signal(signal.SIGTERM)
                await until(done.called.is_set)

        await watchdog.run(work())
    release.set()
    assert done.codes == [0]


@pytest.mark.usefixtures("short_exit")
async def test_process_is_ended_also_after_its_event_loop_was_closed(terminal: int) -> None:
    done = Exit()
    watchdog = TerminalWatchdog(exit_process=done)
    with watchdog.watch():
        await watchdog.run(asyncio.sleep(0))
    watchdog._loop = asyncio.new_event_loop()
    watchdog._loop.close()
    os.close(terminal)
    await until(done.called.is_set)
    watchdog.stop()
    assert done.codes == [0]


@pytest.mark.parametrize("has_poll", [True, False])
async def test_lost_terminal_is_noticed_without_a_signal(
    terminal: int, has_poll: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_poll:
        monkeypatch.setattr("select.POLLNVAL", 0xFFFF)
        monkeypatch.setattr(terminal_watchdog, "_CHECK_S", 0.05)
    with watching(Exit()) as watchdog:
        work = asyncio.create_task(watchdog.run(asyncio.sleep(60, "slept")))
        await asyncio.sleep(0)
        assert not watchdog.is_ending
        os.close(terminal)
        assert await work is None


async def test_end_that_was_requested_before_is_not_missed() -> None:
    calls: list[str] = []
    with watching(Exit()) as watchdog:

        async def work() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                signal.raise_signal(signal.SIGTERM)
                await asyncio.sleep(60)
            with watchdog.ending(end=lambda: calls.append("end")):
                pass

        await watchdog.run(work())
    assert calls == ["end"]


async def test_ignored_hangup_stays_ignored() -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with watching(Exit()) as watchdog:
            signal.raise_signal(signal.SIGHUP)
            await watchdog.run(asyncio.sleep(0.05))
            assert not watchdog.is_ending
    finally:
        signal.signal(signal.SIGHUP, previous)


async def test_flood_of_signals_does_no_harm() -> None:
    with watching(Exit()) as watchdog:
        work = asyncio.create_task(watchdog.run(asyncio.sleep(60, "slept")))
        await asyncio.sleep(0)
        for _ in range(100_000):
            watchdog._on_signal()
        assert await work is None
        # The pipe is full again when watching stops.
        for _ in range(100_000):
            watchdog._on_signal()
