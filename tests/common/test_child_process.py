"""Python processes of the program import nothing from the current folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tui_forward
from tui_forward.common.child_process import python_module_command, without_relative_python_path

PACKAGE = str(Path(tui_forward.__file__).parents[1])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", None),
        (".", None),
        (os.pathsep, None),
        (f"{os.pathsep}/a{os.pathsep}", "/a"),
        (f"./lib{os.pathsep}/a{os.pathsep}b{os.pathsep}/c", f"/a{os.pathsep}/c"),
    ],
)
def test_relative_entries_are_removed(before: str, after: str | None) -> None:
    cleaned = without_relative_python_path({"PYTHONPATH": before, "HOME": "/h"})
    assert cleaned == ({"HOME": "/h"} if after is None else {"HOME": "/h", "PYTHONPATH": after})


@pytest.mark.parametrize("module", ["tui_forward.daemon", "tui_forward.minicluster"])
@pytest.mark.parametrize("python_path", [None, "", ".", f"{os.pathsep}{PACKAGE}", "lib"])
def test_hostile_folder_runs_no_code(tmp_path: Path, module: str, python_path: str | None) -> None:
    marker = tmp_path / "executed"
    (tmp_path / "lib").mkdir()
    for folder in (tmp_path, tmp_path / "lib"):
        for name in ("msgspec", "argparse", "asyncio", "tui_forward", "sitecustomize"):
            (folder / f"{name}.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if python_path is not None:
        environ["PYTHONPATH"] = python_path
    done = subprocess.run(
        [*python_module_command(module), "--help"], cwd=tmp_path, check=False, timeout=60,
        env=without_relative_python_path(environ), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not marker.exists()


def test_the_attack_works_without_protection(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    (tmp_path / "msgspec.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    subprocess.run(
        [sys.executable, "-m", "tui_forward.model.specs"], cwd=tmp_path, check=False,
        timeout=60, capture_output=True,
    )  # fmt: skip
    assert marker.exists()
