"""Saved sessions on disks that are full, read-only, or fail: what was stopped stays stopped."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.test_session_saver import spec
from tui_forward.daemon.session_store import (
    SavedForward,
    SavedSession,
    load_latest_session,
    save_session,
)

FULL, QUOTA, READ_ONLY, DENIED = errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES


class KilledError(BaseException):
    """Stands for `kill -9`: nothing that follows is executed."""


@dataclass
class FaultyDisk:
    """File systems of two folders, with faults by folder.

    `fail` has, for a folder, the error of a step: "create", "write", "replace" or "unlink".
    """

    fail: dict[tuple[Path, str], int] = field(default_factory=dict)
    kill_at: int = -1
    steps: int = 0
    killed: bool = False
    opened: dict[int, Path] = field(default_factory=dict)

    def step(self, folder: Path, name: str) -> None:
        if self.killed:
            raise KilledError
        self.steps += 1
        if self.steps == self.kill_at:
            self.killed = True
            raise KilledError
        error = self.fail.get((folder, name))
        if error:
            raise OSError(error, os.strerror(error))

    @contextmanager
    def attached(self) -> Iterator[None]:
        make, sync, replace, unlink, truncate = (
            tempfile.mkstemp, os.fsync, Path.replace, Path.unlink, os.ftruncate,
        )  # fmt: skip

        def mkstemp(*, prefix: str, **options: Path) -> tuple[int, str]:
            folder = options["dir"]
            self.step(folder, "create")
            descriptor, name = make(prefix=prefix, dir=folder)
            self.opened[descriptor] = folder
            return descriptor, name

        def fsync(descriptor: int) -> None:
            if descriptor in self.opened:
                self.step(self.opened.pop(descriptor), "write")
            sync(descriptor)

        def replace_(path: Path, target: Any) -> Path:
            self.step(path.parent, "replace")
            return replace(path, target)

        def unlink_(path: Path, missing_ok: bool = False) -> None:
            if not path.name.startswith("."):  # temporary files do not count
                self.step(path.parent, "unlink")
            unlink(path, missing_ok)

        def ftruncate(descriptor: int, length: int) -> None:
            self.step(Path(), "truncate")
            truncate(descriptor, length)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "mkstemp", mkstemp)
            patch.setattr(os, "fsync", fsync)
            patch.setattr(os, "ftruncate", ftruncate)
            patch.setattr(Path, "replace", replace_)
            patch.setattr(Path, "unlink", unlink_)
            yield


def session(number: int, *names: str, keep: bool = True) -> SavedSession:
    forwards = tuple(SavedForward(spec(name), id=name) for name in names)
    return SavedSession(keep_running=keep, forwards=forwards, sequence=number)


def names(saved: SavedSession) -> set[str]:
    return {one.spec.target.name for one in saved.forwards}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("state", "runtime"):
        (tmp_path / name).mkdir()
    return tmp_path / "state", tmp_path / "runtime"


# Faults of the folder of the file: steps that fail, and whether the file can be made harmless.
FAULTS = {
    "healthy": ({}, True),
    "full at create": ({"create": FULL}, True),
    "full at write": ({"write": FULL}, True),
    "over quota at write": ({"write": QUOTA}, True),
    "full at replace": ({"replace": FULL}, True),
    "read-only": ({"create": READ_ONLY, "unlink": READ_ONLY, "": READ_ONLY}, False),
    "folder read-only": ({"create": DENIED, "unlink": DENIED}, True),
    "broken": ({"write": errno.EIO, "unlink": errno.EIO, "": errno.EIO}, False),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("has_runtime", [True, False], ids=["runtime", "no runtime"])
def test_what_was_stopped_is_not_restored(
    fault: str, has_runtime: bool, folders: tuple[Path, Path]
) -> None:
    steps, can_clean = FAULTS[fault]
    state, runtime = folders
    path, fallback = state / "engine.json", runtime / "engine.session.json"
    assert save_session(path, fallback, session(1, "a", "b"), is_outdated=False).error is None
    disk = FaultyDisk({(state, name): error for name, error in steps.items()})
    if "" in steps:  # nor can it be emptied
        disk.fail[Path(), "truncate"] = steps[""]
    if not has_runtime:
        disk.fail[runtime, "create"] = FULL
    with disk.attached():
        result = save_session(path, fallback, session(2, "a"), is_outdated=True)
    latest = load_latest_session(path, fallback)
    is_safe = can_clean or has_runtime
    assert ("b" not in names(latest)) == is_safe
    if fault == "healthy" or has_runtime:
        assert names(latest) == {"a"}, "what was not stopped is restored"
    assert (result.error is None) == (fault == "healthy")
    assert result.has_fallback == (has_runtime and fault != "healthy")
    assert result.is_outdated == (not can_clean and fault != "healthy")
    # Once the disk works again, the file is the only one.
    assert save_session(path, fallback, session(3, "a"), is_outdated=True) == (None, False, False)
    assert (names(load_latest_session(path, None)), fallback.exists()) == ({"a"}, False)


def test_outdated_file_makes_room_for_the_new_one(folders: tuple[Path, Path]) -> None:
    state, _ = folders
    path = state / "engine.json"
    save_session(path, None, session(1, "a", "b"), is_outdated=False)
    disk = FaultyDisk()
    unlink = Path.unlink
    with disk.attached(), pytest.MonkeyPatch.context() as patch:
        disk.fail[state, "write"] = FULL

        def free(one: Path, missing_ok: bool = False) -> None:
            if one == path:
                disk.fail.clear()
            unlink(one, missing_ok)

        patch.setattr(Path, "unlink", free)
        result = save_session(path, None, session(2, "a"), is_outdated=True)
    assert (result.error, names(load_latest_session(path, None))) == (None, {"a"})


def test_file_that_is_not_outdated_stays(folders: tuple[Path, Path]) -> None:
    """A forward that was started is lost if the engine is killed, but no other one."""
    state, _ = folders
    path = state / "engine.json"
    save_session(path, None, session(1, "a"), is_outdated=False)
    disk = FaultyDisk({(state, "write"): FULL})
    with disk.attached():
        assert save_session(path, None, session(2, "a", "b"), is_outdated=False).error is not None
    assert names(load_latest_session(path, None)) == {"a"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("previous", FAULTS)
def test_engine_that_is_killed_at_any_step_restores_nothing_that_was_stopped_before(
    fault: str, previous: str, tmp_path: Path
) -> None:
    """Of the three forwards, `c` was stopped before the kill, `b` is being stopped."""
    for kill_at in range(1, 20):
        state, runtime = tmp_path / f"state{kill_at}", tmp_path / f"runtime{kill_at}"
        state.mkdir()
        runtime.mkdir()
        path, fallback = state / "engine.json", runtime / "engine.session.json"
        save_session(path, fallback, session(1, "a", "b", "c"), is_outdated=False)
        disk = FaultyDisk()
        with disk.attached():
            for number, (steps, active) in enumerate(
                ((FAULTS[previous][0], ("a", "b")), (FAULTS[fault][0], ("a",))), start=2
            ):
                disk.fail = {(state, name): error for name, error in steps.items()}
                disk.fail[Path(), "truncate"] = steps.get("", 0)
                disk.steps, disk.kill_at = 0, kill_at if number == 3 else -1
                try:
                    save_session(path, fallback, session(number, *active), is_outdated=True)
                except KilledError:
                    break
        restored = names(load_latest_session(path, fallback))
        assert restored in ({"a", "b"}, {"a"}), f"killed at step {kill_at}"
        if not disk.killed:
            assert restored == {"a"}
            return
    raise AssertionError("too many steps")
