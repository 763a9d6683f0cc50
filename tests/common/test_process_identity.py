from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import until
from tui_forward.common import process_identity
from tui_forward.common.process_identity import ProcessIdentity, identify_process, place_id


def test_identity_is_the_same_whenever_it_is_read() -> None:
    own = identify_process(os.getpid())
    assert own is not None
    assert own == identify_process(os.getpid())
    assert own.is_running


def test_number_that_was_used_again_is_another_process() -> None:
    assert not ProcessIdentity(os.getpid(), "1").is_running


async def test_exited_process_does_not_run_even_before_its_parent_knows() -> None:
    process = subprocess.Popen(  # noqa: ASYNC220 - does not block
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    )
    identity = identify_process(process.pid)
    assert identity is not None
    assert identity.is_running
    assert process.stdin is not None
    process.stdin.close()
    await until(lambda: not identity.is_running)  # a zombie
    process.wait()
    assert identify_process(process.pid) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("stat", "started"),
    [
        (b"7 (a) b) S" + b" 1" * 18 + b" 4711 0", "4711"),
        (b"7 (a) Z" + b" 1" * 18 + b" 4711 0", ""),
        (b"7 (a) S 1 2", ""),
        (b"", ""),
    ],
)
def test_status_of_linux(
    stat: bytes, started: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_bytes(stat)
    monkeypatch.setattr(process_identity, "_PROC", tmp_path)
    expected = ProcessIdentity(7, started) if started else None
    assert identify_process(7) == expected
    assert identify_process(8) is None


def test_place_differs_after_a_reboot_in_a_container_and_for_another_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    places = [place_id()]
    assert place_id() == places[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getuid", lambda: 4711)
        places.append(place_id())
    (tmp_path / "boot").write_text("another boot\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_identity, "_BOOT_ID", tmp_path / "boot")
        patch.setattr(sys, "platform", "linux")
        places.append(place_id())
    for namespace in ("pid", "mnt"):
        folder = tmp_path / namespace / "self" / "ns"
        folder.mkdir(parents=True)
        (folder / namespace).symlink_to(f"{namespace}:[1]")
        monkeypatch.setattr(process_identity, "_PROC", tmp_path / namespace)
        places.append(place_id())
    monkeypatch.setattr(process_identity, "_BOOT_ID", tmp_path / "none")
    places.append(place_id())
    assert len(set(places)) == len(places)
