"""Removal of all files that the program has written for a user."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import click

from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.questions import ask, can_ask
from tui_forward.common import paths
from tui_forward.common.formatting import pluralize
from tui_forward.common.printable import escape_unprintable, one_line
from tui_forward.daemon.engine_record import running_engines
from tui_forward.daemon.unix_socket import default_socket_path
from tui_forward.errors import UsageError


class OwnFolder(NamedTuple):
    """A folder of this program alone."""

    path: Path
    content: str


def own_folders() -> list[OwnFolder]:
    """Return the folders that the program writes to, outer ones first; each once."""
    folders = (
        OwnFolder(paths.settings_file().parent, "settings and profiles"),
        OwnFolder(paths.favorites_file().parent, "sessions, favorites, trust, crash report"),
        OwnFolder(paths.logs_dir(), "engine logs"),
        OwnFolder(paths.spill_dir().parent, "data of slow clients"),
        OwnFolder(default_socket_path(None, os.environ).parent, "sockets"),
    )
    found: dict[Path, OwnFolder] = {}
    for one in folders:
        if not any(one.path.is_relative_to(known) for known in found):
            found[one.path] = one
    return list(found.values())


def purge(*, yes: bool) -> int:
    """Remove them after a question; return the exit code. UsageError while an engine is running."""
    engines = running_engines()
    if engines:
        raise UsageError(
            f"an engine is running (process {', '.join(str(one.pid) for one in engines)})",
            hint="close dashboards and run tui-forward stop --all first",
        )
    folders = [one for one in own_folders() if os.path.lexists(one.path)]
    if not folders:
        click.echo("There is nothing to remove.", err=True)
        return ExitCode.DONE
    for one in folders:
        files, size = _measure(one.path)
        click.echo(
            f"{escape_unprintable(str(one.path))}: {pluralize(files, 'file')}, "
            f"{max(1, round(size / 1024))} KiB ({one.content})",
            err=True,
        )
    if not yes:
        if not can_ask():
            raise UsageError("not removed without a question", hint="add --yes")
        if not ask("Remove them?", default=False):
            return ExitCode.FAILED
    problems = [problem for one in folders for problem in _remove(one.path)]
    for problem in problems:
        click.echo(f"error: {one_line(problem)}", err=True)
    return ExitCode.FAILED if problems else ExitCode.DONE


def _measure(folder: Path) -> tuple[int, int]:
    """Return the number of files of a folder and their bytes; links are not followed."""
    files = size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            files += 1
            try:
                size += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - many files
            except OSError:
                continue
    return files, size


def _remove(folder: Path) -> list[str]:
    """Remove a folder and what is in it; return what could not be removed, and why."""
    if folder.is_symlink():
        return [f"{folder} is a link: remove it and what it leads to yourself"]
    problems: list[str] = []

    def note(_function: object, path: str, error: tuple[object, BaseException, object]) -> None:
        problems.append(f"cannot remove {path}: {error[1]}")

    # `onexc` is newer than Python 3.11.
    shutil.rmtree(folder, onerror=note)
    return problems
