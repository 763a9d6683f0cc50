"""Another user of the machine, who attacks; only root can become one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

OTHER_USER = 65534
needs_other_user = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may become another user, or give files away"
)


def run_as_other_user(function: Callable[[], str]) -> str:
    """Return the result of a function that runs in a process of another user."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(OTHER_USER)
            os.setuid(OTHER_USER)
            os.umask(0)
            os.write(writer, function().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as output:
        text = output.read().decode()
    os.waitpid(child, 0)
    return text


def give_away(path: Path) -> None:
    """Make the other user the owner of a path, not of what a link leads to."""
    os.lchown(path, OTHER_USER, OTHER_USER)
