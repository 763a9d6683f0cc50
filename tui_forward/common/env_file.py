"""Environment variables as lines that a POSIX shell reads. Pure.

A value of letters, digits and `_@%+=:,./-` is written as it is, so that readers without quoting
(`docker run --env-file`) get it, too. Any other value is in single quotes, as `sh` reads them; line
breaks stay inside the quotes. Neither form expands variables or runs commands.
"""

from __future__ import annotations

import re
import shlex

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def format_variable(name: str, value: str) -> str:
    """Return `NAME=VALUE`; ValueError for a name that is not one, or a value with a NUL."""
    if not _NAME.fullmatch(name) or "\0" in value:
        raise ValueError("not a variable of an environment")
    return f"{name}={shlex.quote(value)}"
