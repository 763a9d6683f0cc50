"""Writer of the theme setting, which preserves everything else in the file."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tui_forward.common import atomic_file
from tui_forward.common.bounded_file import read_bounded
from tui_forward.errors import ConfigError
from tui_forward.settings.toml_text import parse_toml

_HEADER = re.compile(r"^\s*\[")
# `theme = value  # comment`, with the value as written.
_THEME = re.compile(
    r"""^(?P<head>\s*(?:theme|"theme"|'theme')\s*=\s*)
        (?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^#'"\s][^#]*?|)
        (?P<tail>\s*(?:\#.*)?)$""",
    re.VERBOSE,
)


def save_theme(path: Path, name: str) -> None:
    """Set the theme in the file and preserve everything else in it.

    The file is replaced atomically, created with its folder if there is none; a symbolic link stays
    a link. Raise ConfigError if it cannot be written, or not without changing more than the theme.
    """
    if not name.isprintable():
        raise ConfigError(f"invalid theme name {name!r}", hint="choose one from the palette")
    hint = f'write theme = "{name}" into {path} yourself'
    try:
        before = read_bounded(path).decode("utf-8") if path.exists() else ""
        after = _with_theme(before, name)
        if after != before:
            atomic_file.write_atomically(path, after.encode("utf-8"))
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise ConfigError(f"cannot write {path}: {cause}", hint=hint) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or no safe edit
        raise ConfigError(f"cannot edit {path.name}: {error}", hint=hint) from error


def _with_theme(text: str, name: str) -> str:
    """Return the text with another theme; ValueError if no edit changes the theme alone."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    body = text.removeprefix(mark)
    expected = {**parse_toml(body), "theme": name}
    for edited in _edits(body, json.dumps(name, ensure_ascii=False)):
        try:
            if parse_toml(edited) == expected:
                return mark + edited
        except tomllib.TOMLDecodeError:
            continue
    raise ValueError("the theme is not on one line of its own")


def _edits(text: str, value: str) -> Iterator[str]:
    """Yield candidate edits, the best first.

    The caller must verify each, because a line that looks like a setting may be part of a string.
    """
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
    # Insert it below the comment at the top of the file, or at the very top.
    place = 0
    for number, line in enumerate(lines):
        if not line.strip():
            place = number + 1
        elif not line.lstrip().startswith("#"):
            break
    gap = newline if place < len(lines) and _HEADER.match(lines[place]) else ""
    yield "".join((*lines[:place], f"theme = {value}{newline}{gap}", *lines[place:]))
