"""The sdist and the wheel of this checkout, built once per worker."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.packaging.commands import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="package")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project, so that builds leave no files in the checkout."""
    copy = tmp_path_factory.mktemp("source") / "tui-forward"
    copy.mkdir()
    for name in ("tui_forward", "styles"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    for name in ("ARCHITECTURE.md", "CHANGELOG.md", "Makefile"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="package")
def built(source: Path) -> Path:
    """Build the sdist, and the wheel from it, like an installer."""
    dist = source.parent / "dist"
    run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, source,
        cwd=source.parent,
    )  # fmt: skip
    return dist
