"""Start of Python processes that import nothing from the current folder.

`python -m` puts the current folder first on `sys.path`, and so does an empty or relative entry
of PYTHONPATH: a `msgspec.py` in a cloned repository would run as soon as an engine starts there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping


def python_module_command(module: str) -> list[str]:
    """Return the command that runs a module without the current folder on `sys.path`."""
    return [sys.executable, "-P", "-m", module]


def without_relative_python_path(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without empty and relative entries of PYTHONPATH."""
    cleaned = dict(environ)
    paths = cleaned.pop("PYTHONPATH", "").split(os.pathsep)
    absolute = [path for path in paths if os.path.isabs(path)]  # noqa: PTH117 - a plain string
    if absolute:
        cleaned["PYTHONPATH"] = os.pathsep.join(absolute)
    return cleaned
