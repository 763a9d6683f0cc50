"""Counters of wakeups."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from tests.bench.wakeups import activity

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counters of the Linux kernel")


class Waiter:
    """A thread that has slept a number of times."""

    def __init__(self, times: int) -> None:
        self._times = times
        self._may_sleep = threading.Semaphore(0)
        self._has_slept = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for _ in range(self._times):
            self._has_slept.release()
            self._may_sleep.acquire()

    def sleep(self, times: int) -> None:
        for _ in range(times):
            self._has_slept.acquire()
            self._may_sleep.release()

    def end(self) -> None:
        self._thread.join(10)


def test_thread_that_ends_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    waiter = Waiter(500)
    waiter.sleep(499)

    def end_thread(_: float) -> None:
        waiter.sleep(1)
        waiter.end()

    monkeypatch.setattr("time.sleep", end_thread)
    done = activity([os.getpid()], 1.0)
    assert done.wakeups_per_s >= 0
    assert done.busy_percent >= 0


def test_wakeups_of_new_threads_count(monkeypatch: pytest.MonkeyPatch) -> None:
    waiters: list[Waiter] = []

    def start_thread(_: float) -> None:
        waiters.append(Waiter(500))
        waiters[0].sleep(499)

    monkeypatch.setattr("time.sleep", start_thread)
    done = activity([os.getpid()], 1.0)
    waiters[0].sleep(1)
    waiters[0].end()
    assert done.wakeups_per_s > 0
