"""Store of profile files: the user's folder, and the root of the current working tree."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tui_forward.common import atomic_file
from tui_forward.common.user_folders import absolute_path, expand_home, home_dir
from tui_forward.errors import ConfigError, UsageError
from tui_forward.profiles.parser import MAX_FILE_BYTES, ProfileError, ProfileProblem, parse_profile
from tui_forward.profiles.profile import Profile

TEAM_FILE: Final = ".tui-forward.yaml"
_SUFFIXES: Final = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class ProfileContent:
    """Content of a profile file at one instant."""

    text: str
    foreign: str  # why others may have written it, as a phrase; empty for a file of the user


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A profile file, possibly invalid."""

    path: Path
    team: bool = False  # whether it belongs to a working tree

    def text(self) -> str:
        """Return the text; ProfileError if it cannot be read."""
        return self.content().text

    def content(self) -> ProfileContent:
        """Return the content; ProfileError if it cannot be read.

        Who may have written it is asked about the open file, so that it is about this very text.
        """
        data = b""
        try:
            # Opening or reading a FIFO may block forever; the file may become one after stat().
            _check_regular(self.path, self.path.stat())
            with open(self.path, "rb", opener=_open_nonblocking) as stream:
                status = os.fstat(stream.fileno())
                _check_regular(self.path, status)
                foreign = self._why_foreign(status)
                data = stream.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                raise ProfileError([ProfileProblem(self.path, 1, 1, "the file is too large")])
            return ProfileContent(data.decode("utf-8-sig"), foreign)
        except FileNotFoundError as error:
            raise ProfileError([ProfileProblem(self.path, 1, 1, "no such file")]) from error
        except OSError as error:
            cause = (error.strerror or type(error).__name__).lower()
            problem = ProfileProblem(self.path, 1, 1, f"cannot read the file: {cause}")
            raise ProfileError([problem]) from error
        except UnicodeDecodeError as error:
            before = data[: error.start]
            line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
            problem = ProfileProblem(
                self.path, line, column, "this is not UTF-8", "save it as UTF-8"
            )
            raise ProfileError([problem]) from error

    def _why_foreign(self, status: os.stat_result) -> str:
        if self.team:
            return "it is outside your profile folder"
        if status.st_uid not in (0, os.geteuid()):
            return "it belongs to another user"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return "other users can write it"
        path = self.path.absolute()
        real = path.resolve()
        if real.parent != path.parent.resolve():
            return "it is a link to a file outside your profile folder"
        # Users may keep their home folder in a working tree of their own.
        tree = _working_tree(real.parent) if real != path else None
        if tree is not None and not home_dir().resolve().is_relative_to(tree):
            return "your profile folder is a link into a working tree"
        return ""

    def read(self) -> Profile:
        """Return the parsed profile; ProfileError if it cannot be read, or is invalid."""
        content = self.content()
        return parse_profile(content.text, self.path, team=self.team, foreign=content.foreign)


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _check_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ProfileError([ProfileProblem(path, 1, 1, "this is not a regular file")])


def _working_tree(folder: Path) -> Path | None:
    """Return the root of the working tree around a folder; PermissionError if it is unreadable."""
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), None)


class ProfileStore:
    """Finds profile files, and writes the user's profiles.

    The user's `folder` need not exist; `working` is the current folder, to find the profile of a
    working tree, or None if it is missing.
    """

    def __init__(self, folder: Path, working: Path | None) -> None:
        self.folder = folder
        self.working = working

    def files(self) -> list[ProfileFile]:
        """Return all profile files: the user's by name, then that of the working tree."""
        try:
            found = sorted(path for path in self.folder.iterdir() if path.suffix in _SUFFIXES)
        except FileNotFoundError:
            found = []
        except OSError as error:
            cause = (error.strerror or str(error)).lower()
            raise ConfigError(f"cannot read {self.folder}: {cause}") from error
        team = self.team_file()
        own = [ProfileFile(path) for path in found if not path.name.startswith(".")]
        return own + ([team] if team is not None else [])

    def team_file(self) -> ProfileFile | None:
        """Return the profile file of the current working tree, if it has one."""
        if self.working is None:
            return None
        with contextlib.suppress(PermissionError):  # the folders may be unreadable
            root = _working_tree(self.working)
            if root is not None and (root / TEAM_FILE).is_file():
                return ProfileFile(root / TEAM_FILE, team=True)
        return None

    def find(self, name: str) -> ProfileFile:
        """Find a file by path, file name or profile name; UsageError if none or ambiguous."""
        if os.sep in name or name.endswith(_SUFFIXES):
            expanded = expand_home(name)
            path = absolute_path(self.working / expanded if self.working else expanded).resolve()
            team = self.team_file()
            # A file outside the user's profile folder may be written by others.
            own = path.parent == self.folder.resolve()
            if not path.is_file():
                raise UsageError(f"no such file: {path}", hint="see tui-forward profile list")
            return team if team is not None and team.path == path else ProfileFile(path, not own)
        files = self.files()
        named = [file for file in files if name in self._names(file)]
        if len(named) == 1:
            return named[0]
        if named:
            paths = " and ".join(str(file.path) for file in named)
            raise UsageError(
                f'two profiles have the name "{name}": {paths}', hint="specify the path"
            )
        known = ", ".join(sorted({next(self._names(file)) for file in files})) or "none"
        raise UsageError(f'there is no profile "{name}"', hint=f"available: {known}")

    @staticmethod
    def _names(file: ProfileFile) -> Iterator[str]:
        """Yield the names of a file: the name in the profile first."""
        with contextlib.suppress(
            ProfileError
        ):  # findable by file name, so that its problems can be shown
            yield file.read().name
        yield file.path.stem if not file.team else "team"

    def path_for(self, name: str) -> Path:
        """Return the path of a new profile of the user."""
        return self.folder / f"{name}.yaml"

    def write(self, path: Path, text: str) -> None:
        """Write a profile atomically, unless it is invalid; after an error it is unchanged."""
        parse_profile(text, path)
        try:
            # Links in the user's folder are the user's; those of a repository lead anywhere.
            own = path.parent == self.folder
            atomic_file.write_atomically(path, text.encode("utf-8"), follow_links=own)
        except OSError as error:
            cause = (error.strerror or type(error).__name__).lower()
            raise ConfigError(f"cannot write {path}: {cause}") from error
