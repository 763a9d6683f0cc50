"""The engine's parent, with children that only exit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import os, signal, sys
from tui_forward.daemon import watchdog

watchdog._PAUSE_S = watchdog._MAX_PAUSE_S = 0.01
file, kind = sys.argv[1:]
process = watchdog.fork_supervised(attempts=3)
with open(file, "a") as starts:
    starts.write("again " if process.is_restart else "first ")
with open(file) as starts:
    count = len(starts.read().split())
if kind == "serves":
    process.link.send(b"!\\n")
if kind == "ends" or count == 10:
    os._exit(7)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("kind", "starts", "code"),
    [
        ("ends", "first ", 7),
        # Killed before it served: the parent gives up after three attempts.
        ("dies", "first again again ", 1),
        ("serves", "first " + "again " * 9, 7),
    ],
)
def test_killed_engine_is_restarted(tmp_path: Path, kind: str, starts: str, code: int) -> None:
    file = tmp_path / "starts"
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(file), kind], timeout=50, check=False
    )
    assert done.returncode == code
    assert file.read_text() == starts
