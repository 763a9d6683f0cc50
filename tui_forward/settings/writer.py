"""The settings file with another theme; nothing else in it is touched."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tui_forward.common import atomic_file as atomic_file
from tui_forward.errors import ConfigError

_HEADER = re.compile(r"^\s*\[")
# `theme = value  # comment`, with the value as written.
_THEME = re.compile(
    r"""^(?P<head>\s*(?:theme|"theme"|'theme')\s*=\s*)
        (?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^#'"\s][^#]*?|)
        (?P<tail>\s*(?:\#.*)?)$""",
    re.VERBOSE,
)


def save_theme(path: Path, name: str) -> None:
    """Write the theme into the file; everything else in it stays as it is.

    The new file replaces the old one in one step; a link stays a link.

    Args:
        path: The file; made, with its folder, if there is none.
        name: The theme.

    Raises:
        ConfigError: The file cannot be written, or not without harm to what is in it.
    """
    if not name.isprintable():
        raise ConfigError(f"{name!r} is no name of a theme", hint="Choose one from the palette")
    hint = f'Write theme = "{name}" into {path} yourself'
    try:
        before = path.read_bytes().decode("utf-8") if path.exists() else ""
        after = _with_theme(before, name)
        if after != before:
            atomic_file.write_atomically(path, after.encode("utf-8"))
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(f"cannot write {path}: {why}", hint=hint) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, not to be edited safely
        raise ConfigError(
            f"{path.name} is left as it is, because it cannot be understood: {error}", hint=hint
        ) from error


def _with_theme(text: str, name: str) -> str:
    """The text with another theme.

    Raises:
        ValueError: It is not TOML, or says the theme in a way that cannot be edited safely.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    body = text.removeprefix(mark)
    wanted = {**tomllib.loads(body), "theme": name}
    for edited in _edits(body, json.dumps(name, ensure_ascii=False)):
        try:
            if tomllib.loads(edited) == wanted:
                return mark + edited
        except tomllib.TOMLDecodeError:
            continue
    raise ValueError("the theme is not on one line of its own")


def _edits(text: str, value: str) -> Iterator[str]:
    """Ways to say it, the best first; a line may lie in a string, so each is to be proved."""
    lines = text.splitlines(keepends=True)
    for place, line in enumerate(lines):
        body = line.rstrip("\r\n")
        if _HEADER.match(body):
            break
        if found := _THEME.match(body):
            ending = line[len(body) :]
            edited = f"{found['head']}{value}{found['tail']}{ending}"
            yield "".join((*lines[:place], edited, *lines[place + 1 :]))
    newline = "\r\n" if "\r\n" in text else "\n"
    # Below the comment that introduces the file, or else on top.
    place = 0
    for number, line in enumerate(lines):
        if not line.strip():
            place = number + 1
        elif not line.lstrip().startswith("#"):
            break
    gap = newline if place < len(lines) and _HEADER.match(lines[place]) else ""
    yield "".join((*lines[:place], f"theme = {value}{newline}{gap}", *lines[place:]))
