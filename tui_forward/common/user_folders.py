"""The home folder and the current folder, either of which may be missing.

The current folder may have been deleted (`git checkout`, `rm -r`) or be unreadable. A container may
run with a user id that the system does not know, and without HOME.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

from tui_forward.errors import UsageError

# What Debian has in /etc/passwd for users without a home folder. It does not exist, and only root
# could create it: reads find nothing, writes fail with an error that names it.
_NO_HOME: Final = Path("/nonexistent")


def home_dir() -> Path:
    """Return HOME if it is an absolute path, else the home folder that the system knows."""
    home = os.environ.get("HOME", "")
    if not home.startswith("/"):
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return _NO_HOME
    return Path(home) if home.startswith("/") else _NO_HOME


def working_dir() -> Path | None:
    """Return the current folder; None if it was deleted or may not be read."""
    try:
        return Path.cwd()
    except OSError:
        return None


def expand_home(path: str | Path) -> Path:
    """Return a path with the home folder in place of `~`; that of an unknown user stays."""
    path = Path(path)
    if path.parts[:1] == ("~",):
        return home_dir().joinpath(*path.parts[1:])
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def kubeconfig_list(value: str) -> tuple[Path, ...]:
    """Return the files of a value of `KUBECONFIG`, in order; none if it is empty.

    As in kubectl, `~` is not expanded, repeated and empty items do not count, and a list of nothing
    else stands for an empty file.
    """
    paths = tuple(dict.fromkeys(Path(item) for item in value.split(os.pathsep) if item))
    return paths or ((Path(os.devnull),) if value else ())


def absolute_path(path: str | Path, *, expand: bool = True) -> Path:
    """Return an absolute path; UsageError if that needs a missing folder.

    `~` is expanded unless `expand` is false.
    """
    path = expand_home(path) if expand else Path(path)
    if path.is_absolute():
        return path
    folder = working_dir()
    if folder is None:
        raise UsageError(
            f"{path} cannot be found: the current folder was deleted or cannot be read",
            hint="use an absolute path, or change to another folder",
        )
    return folder / path


def short_path(path: Path) -> str:
    """Return a path with `~` in place of the home folder, to be shown."""
    try:
        return str(Path("~") / path.relative_to(home_dir()))
    except ValueError:
        return str(path)
