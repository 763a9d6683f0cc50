"""Names of the user's profiles, which are names of files and arguments of commands. Pure."""

from __future__ import annotations

from typing import Final

MAX_LENGTH: Final = 60


def find_name_problem(name: str) -> str:
    """Return why a profile cannot have a name, as a sentence without a full stop; "" if it can."""
    if not name:
        return "a profile needs a name"
    if "/" in name:
        return "a name has no /: profiles are in one folder"
    if name[0] in ".-":
        return f"a name does not begin with {name[0]}"
    if not name.isprintable():
        return "a name has only printable characters"
    if name.endswith((".yaml", ".yml")):
        return f"leave out {name[name.rindex('.') :]}: it is added"
    if len(name) > MAX_LENGTH or len(name.encode()) > 4 * MAX_LENGTH:
        return f"a name has at most {MAX_LENGTH} characters"
    return ""
