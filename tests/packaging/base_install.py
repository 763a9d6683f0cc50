"""A virtual environment with the wheel and what it depends on, and nothing else.

The dependencies are links to those of this environment, so that nothing is downloaded.
"""

from __future__ import annotations

import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.packaging.commands import run


def required(requirements: list[str], extra: str = "") -> dict[str, Distribution]:
    """Return the distributions that requirements name, with theirs, by their names."""
    found: dict[str, Distribution] = {}
    pending = [(one, extra) for one in requirements]
    seen = set()
    while pending:
        text, wanted = pending.pop()
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": wanted}):
            continue
        key = (requirement.name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        one = found[requirement.name] = distribution(requirement.name)
        pending += [
            (text, name) for text in one.requires or () for name in ("", *requirement.extras)
        ]
    return found


def install(wheel: Path, home: Path, *, extra: str = "") -> Path:
    """Install a wheel into a new environment; return its folder of programs."""
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    here = next(path for path in sys.path if path.endswith("site-packages"))
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
        "--no-index", "--no-compile", "--disable-pip-version-check", wheel,
        cwd=home, env={"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": here},
    )  # fmt: skip
    site = next((home / "lib").glob("python*/site-packages"))
    [own] = (Distribution.at(path) for path in site.glob("tui_forward-*.dist-info"))
    for one in required(list(own.requires or ()), extra).values():
        for name in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            link = site / name
            if not link.exists():
                link.symlink_to(Path(str(one.locate_file(name))))
    return home / "bin"
