"""Encoding of the terminal, by the locale.

In the C locale Python writes UTF-8, or replaces the locale by C.UTF-8 (PEP 538 and 540), because
files mostly are UTF-8. A terminal with this locale need not be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ASCII: Final = "ascii"
UTF_8: Final = "utf-8"

# In the order in which they decide; an empty one counts as unset.
_VARIABLES: Final = ("LC_ALL", "LC_CTYPE", "LANG")
# By these a user tells Python what to write.
_OF_PYTHON: Final = ("PYTHONIOENCODING", "PYTHONUTF8")


def terminal_encoding(python: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the encoding of the terminal, given the one that Python has chosen for it.

    `environ` are the variables with which the process was started.
    """
    environ = start_environment() if environ is None else environ
    locale = next(filter(None, map(environ.get, _VARIABLES)), "C")
    if locale in ("C", "POSIX") and not any(map(environ.get, _OF_PYTHON)):
        return ASCII
    return python


def start_environment() -> Mapping[str, str]:
    """Return the variables with which this process was started.

    Python replaces `LC_CTYPE` if the locale is C. Only Linux still has what it was.
    """
    try:
        data = Path("/proc/self/environ").read_bytes()
    except OSError:
        return os.environ
    pairs = (os.fsdecode(one).partition("=") for one in data.split(b"\0"))
    return {name: value for name, _, value in pairs}
