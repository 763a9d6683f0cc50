"""Where profiles are: a folder of the person's own, and the root of the working tree one is in."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tui_forward.common import atomic_file as atomic_file
from tui_forward.errors import ConfigError, UsageError
from tui_forward.profiles.parser import LARGEST, ProfileError, ProfileProblem, parse_profile
from tui_forward.profiles.profile import Profile

TEAM_FILE: Final = ".tui-forward.yaml"
_SUFFIXES: Final = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A file that should hold a profile.

    Attributes:
        path: The file.
        team: It is a working tree's.
    """

    path: Path
    team: bool = False

    def text(self) -> str:
        """What is in it.

        Raises:
            ProfileError: It cannot be read.
        """
        data = b""
        try:
            # To open a pipe, or to read of it, might wait for ever; it may become one in between.
            _check_regular(self.path, self.path.stat())
            with open(self.path, "rb", opener=_open_without_waiting) as stream:
                _check_regular(self.path, os.fstat(stream.fileno()))
                data = stream.read(LARGEST + 1)
            if len(data) > LARGEST:
                raise ProfileError([ProfileProblem(self.path, 1, 1, "the file is too large")])
            return data.decode("utf-8-sig")
        except FileNotFoundError as error:
            raise ProfileError(
                [ProfileProblem(self.path, 1, 1, "there is no such file")]
            ) from error
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            problem = ProfileProblem(self.path, 1, 1, f"the file cannot be read: {why}")
            raise ProfileError([problem]) from error
        except UnicodeDecodeError as error:
            before = data[: error.start]
            line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
            problem = ProfileProblem(
                self.path, line, column, "this is not UTF-8", "save it as UTF-8"
            )
            raise ProfileError([problem]) from error

    def read(self) -> Profile:
        """The profile.

        Raises:
            ProfileError: It cannot be read, or there is something wrong in it.
        """
        return parse_profile(self.text(), self.path, team=self.team)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ProfileError([ProfileProblem(path, 1, 1, "this is not a file with a text")])


class ProfileStore:
    """Finds profiles, and writes the person's own.

    Args:
        folder: The person's own; need not exist.
        working: Where one is, for the profile of a working tree.
    """

    def __init__(self, folder: Path, working: Path) -> None:
        self.folder = folder
        self.working = working

    def files(self) -> list[ProfileFile]:
        """All there are, the person's own by name, then the working tree's.

        Raises:
            ConfigError: The folder cannot be looked into.
        """
        try:
            found = sorted(path for path in self.folder.iterdir() if path.suffix in _SUFFIXES)
        except FileNotFoundError:
            found = []
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ConfigError(f"cannot look into {self.folder}: {why}") from error
        team = self.team_file()
        own = [ProfileFile(path) for path in found if not path.name.startswith(".")]
        return own + ([team] if team is not None else [])

    def team_file(self) -> ProfileFile | None:
        """The profile of the working tree one is in, if it has one."""
        with contextlib.suppress(PermissionError):  # one may be where one may not look
            for folder in (self.working, *self.working.parents):
                if (folder / ".git").exists():
                    path = folder / TEAM_FILE
                    return ProfileFile(path, team=True) if path.is_file() else None
        return None

    def find(self, name: str) -> ProfileFile:
        """The file that is meant: by name, by path, or by the name in a file.

        Raises:
            UsageError: There is none, or there are two.
        """
        if os.sep in name or name.endswith(_SUFFIXES):
            path = (self.working / Path(name).expanduser()).resolve()
            team = self.team_file()
            # A file that is named by its path may be anybody's.
            own = path.parent == self.folder.resolve()
            if not path.is_file():
                raise UsageError(f"there is no file {path}", hint="see tui-forward profile list")
            return team if team is not None and team.path == path else ProfileFile(path, not own)
        files = self.files()
        named = [file for file in files if name in self._names(file)]
        if len(named) == 1:
            return named[0]
        if named:
            paths = " and ".join(str(file.path) for file in named)
            raise UsageError(f'two profiles are called "{name}": {paths}', hint="give its path")
        known = ", ".join(sorted({next(self._names(file)) for file in files})) or "none yet"
        raise UsageError(f'there is no profile "{name}"', hint=f"there are: {known}")

    @staticmethod
    def _names(file: ProfileFile) -> Iterator[str]:
        """What a file is called: inside first."""
        with contextlib.suppress(ProfileError):  # still to be found, to be told what is wrong
            yield file.read().name
        yield file.path.stem if not file.team else "team"

    def path_for(self, name: str) -> Path:
        """Where a new profile of the person's own belongs."""
        return self.folder / f"{name}.yaml"

    def write(self, path: Path, text: str) -> None:
        """Write a profile, in one step; what is wrong is never written.

        Raises:
            ProfileError: It is no profile.
            ConfigError: The file cannot be written; the old one is untouched.
        """
        parse_profile(text, path)
        try:
            atomic_file.write_atomically(path, text.encode("utf-8"))
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise ConfigError(f"cannot write {path}: {why}") from error
