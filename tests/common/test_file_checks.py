from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.waiting import until
from tui_forward.common import file_checks
from tui_forward.common.file_checks import FileChecks
from tui_forward.common.file_signature import file_signatures

NAME = "test-files"


def threads() -> int:
    return sum(one.name == NAME for one in threading.enumerate())


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> FileChecks:
    """Return checks that look at files only when the system has reported a change."""
    monkeypatch.setattr(file_checks, "_STEPS_PER_CHECK", 1_000_000)
    return FileChecks(NAME, 0.005)


def change_of(*paths: Path) -> Callable[[], bool]:
    before = file_signatures(paths)
    return lambda: file_signatures(paths) != before


async def started(checks: FileChecks, *paths: Path) -> asyncio.Task[None]:
    """Return a wait for changes of files whose folders are watched already."""
    wait = asyncio.create_task(checks.wait_for(lambda: paths, change_of(*paths)))
    await until(lambda: {path.parent for path in paths} <= checks._folders)
    return wait


async def end(*waits: asyncio.Task[None]) -> None:
    for one in waits:
        one.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    await until(lambda: not threads())


async def test_reported_change_ends_the_wait(checks: FileChecks, tmp_path: Path) -> None:
    file = tmp_path / "config"
    wait = await started(checks, file)
    file.write_text("x")
    await wait
    await end()
    assert checks._watch is None


async def test_all_waits_share_a_watch(checks: FileChecks, tmp_path: Path) -> None:
    first, second = tmp_path / "one" / "file", tmp_path / "two" / "file"
    for file in (first, second):
        file.parent.mkdir()
    waits = [await started(checks, first), await started(checks, second)]
    await until(lambda: checks._folders == {first.parent, second.parent})
    assert threads() == 1
    second.write_text("x")
    await waits[1]
    assert not waits[0].done()
    first.write_text("x")
    await waits[0]
    await end()


async def test_change_behind_a_link_is_reported(checks: FileChecks, tmp_path: Path) -> None:
    target = tmp_path / "there" / "config"
    target.parent.mkdir()
    target.write_text("x")
    link = tmp_path / "config"
    link.symlink_to(target)
    wait = await started(checks, link)
    target.write_text("longer")
    await wait
    await end()


async def test_folder_that_appears_later_is_noticed(checks: FileChecks, tmp_path: Path) -> None:
    file = tmp_path / "later" / "config"
    wait = asyncio.create_task(checks.wait_for(lambda: (file,), change_of(file)))
    await until(threads)
    file.parent.mkdir()
    file.write_text("x")
    await wait
    await end()


async def test_change_that_nothing_reports_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on a network file system."""
    checks = FileChecks(NAME, 0.002)
    found = False
    wait = asyncio.create_task(checks.wait_for(lambda: (tmp_path / "x",), lambda: found))
    await until(lambda: checks._folders)
    found = True
    await wait
    await end()


async def test_watch_that_fails_is_replaced_by_comparisons(
    checks: FileChecks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("inotify watch limit reached")

    monkeypatch.setattr(file_checks, "_watch", fail)
    file = tmp_path / "config"
    wait = asyncio.create_task(checks.wait_for(lambda: (file,), change_of(file)))
    await until(threads)
    file.write_text("x")
    await wait
    await end()


async def test_canceled_wait_ends_the_thread_and_its_watch(
    checks: FileChecks, tmp_path: Path
) -> None:
    wait = await started(checks, tmp_path / "x")
    await end(wait)
    assert checks._watch is None
    assert not checks._paths
