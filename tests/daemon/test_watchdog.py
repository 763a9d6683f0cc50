"""The engine's parent, with children that do nothing but end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork")

_PROGRAM = """
import os, signal, sys
from tui_forward.agent import watchdog

watchdog._PAUSE_S = 0.01
file, kind = sys.argv[1:]
engine = watchdog.engine(attempts=3)
with open(file, "a") as lives:
    lives.write("again " if engine.again else "first ")
with open(file) as lives:
    count = len(lives.read().split())
if kind == "serves":
    engine.serves()
if kind == "ends" or count == 10:
    os._exit(7)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("kind", "lives", "code"),
    [
        ("ends", "first ", 7),
        # Killed before it ever served: after three times it is given up.
        ("dies", "first again again ", 1),
        ("serves", "first " + "again " * 9, 7),
    ],
)
def test_who_is_begun_again(tmp_path: Path, kind: str, lives: str, code: int) -> None:
    file = tmp_path / "lives"
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(file), kind], timeout=20, check=False
    )
    assert done.returncode == code
    assert file.read_text() == lives
