"""Lookup of programs that never finds one in the current folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def find_executable(command: str, path: str | None) -> str | None:
    """Return the path of a command, looked up in a PATH; None if it is absent.

    As with Go's exec.LookPath nothing is run from the current folder: a command that the PATH finds
    first in a relative folder counts as absent, also if an absolute one has it, too.
    """
    if os.sep in command:
        is_usable = Path(command).is_absolute() and shutil.which(command) is not None
        return command if is_usable else None
    for folder in (path or "").split(os.pathsep):
        found = shutil.which(os.path.join(folder or os.curdir, command))  # noqa: PTH118
        if found is not None:
            return found if Path(folder).is_absolute() else None
    return None
