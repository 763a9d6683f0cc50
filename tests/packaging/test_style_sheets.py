"""Style sheets are found in an editable install, a wheel and an sdist."""

from __future__ import annotations

import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.packaging.commands import run
from tests.packaging.conftest import ROOT

# Prints the path of the style sheet; runs outside the checkout.
PROBE = (
    "import sys; from tui_forward.tui.stylesheets import stylesheet;"
    "import tui_forward; print(stylesheet('dashboard.tcss')); print(tui_forward.__file__)"
)


def probe(python: Path, cwd: Path, path: Path | None = None) -> tuple[Path, Path]:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    found, package = run(python, "-P", "-c", PROBE, cwd=cwd, env=env).split()
    return Path(found), Path(package).parent


@pytest.mark.timeout(300)
def test_wheel_has_style_sheets(built: Path, tmp_path: Path) -> None:
    wheel = next(built.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"tui_forward/styles/{one.name}" for one in (ROOT / "styles").iterdir()} <= set(names)
    assert "tui_forward/py.typed" in names
    assert not [n for n in names if n.startswith(("styles/", "tests/"))]
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    found, package = probe(Path(sys.executable), tmp_path, tmp_path / "site")
    assert package == tmp_path / "site" / "tui_forward"
    assert found == package / "styles" / "dashboard.tcss"


@pytest.mark.timeout(300)
def test_sdist_has_style_sheets(built: Path, tmp_path: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = next(tmp_path.glob("tui_forward-*"))
    found, package = probe(Path(sys.executable), tmp_path, folder)
    assert package == folder / "tui_forward"
    assert found == folder / "styles" / "dashboard.tcss"


@pytest.mark.timeout(300)
def test_editable_install_has_style_sheets(source: Path, tmp_path: Path) -> None:
    """Install into a venv that uses this one's packages, without downloads."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    here = next(path for path in sys.path if path.endswith("site-packages"))
    there = next((home / "lib").glob("python*/site-packages"))
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
        "--no-build-isolation", "--disable-pip-version-check", "--no-index", "-e", source,
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": here},
    )  # fmt: skip
    # Without this venv's own editable install.
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    assert list(there.glob("*tui_forward*"))
    found, package = run(python, "-P", "-c", PROBE, cwd=tmp_path, env=env).split()
    assert Path(package).parent == source / "tui_forward"
    assert Path(found) == source / "styles" / "dashboard.tcss"
