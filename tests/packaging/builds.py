"""Builds of what is published: sdist, wheel, and the program as one file. All are reproducible."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.packaging.commands import run

ROOT = Path(__file__).resolve().parents[2]
_MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}
PLATFORM = f"{sys.platform}-{_MACHINES.get(platform.machine().lower(), platform.machine())}"
ONE_FILE = f"tui-forward-{PLATFORM}.pyz"  # compiled packages differ between platforms
# Zip archives have no time before 1980.
_EARLIEST = 315532800


def build_environment(home: Path) -> dict[str, str]:
    """Return variables that make builds independent of this machine and this moment."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "SOURCE_DATE_EPOCH": str(_committed_at())}


def build_distributions(into: Path) -> tuple[Path, Path]:
    """Build the sdist and, from it, the wheel, as an installer does; return both."""
    run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", into, ROOT,
        cwd=into, env=build_environment(into),
    )  # fmt: skip
    return next(into.glob("*.tar.gz")), next(into.glob("*.whl"))


def build_one_file(wheel: Path, pythons: Sequence[Path], into: Path, cache: Path) -> Path:
    """Build one file with the base install for several versions of Python, as locked; return it.

    It unpacks itself at its first start, into a virtual environment, so that the engine process is
    started from there. `cache` keeps downloads for the next build.
    """
    constraints = into / "constraints.txt"
    constraints.write_text(_constraints((ROOT / "requirements.lock").read_text("utf-8")), "utf-8")
    path = into / ONE_FILE
    try:
        run(
            sys.executable, "-m", "pex", wheel, "--constraints", constraints,
            *(word for one in pythons for word in ("--python", one)),
            # Its default, the oldest one, loses constraints.
            "--pip-version", "24.2", "--resolver-version", "pip-2020-resolver",
            "--script", "tui-forward", "--venv", "prepend",
            "--python-shebang", "/usr/bin/env python3",
            "-o", path, cwd=into, env=build_environment(cache) | {"PEX_ROOT": str(cache)},
        )  # fmt: skip
    finally:
        constraints.unlink()
    return path


def _constraints(lock: str) -> str:
    """Return the versions of a lock file, without its hashes."""
    lines = re.findall(r"^([a-z][\w.-]*==\S+(?: ; [^\\\n]+?)?) *\\?$", lock, re.MULTILINE)
    return "".join(f"{line}\n" for line in lines)


def _committed_at() -> int:
    """Return the time of the last commit; that of the oldest archive outside a checkout."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return max(_EARLIEST, int(done.stdout)) if done.returncode == 0 else _EARLIEST
