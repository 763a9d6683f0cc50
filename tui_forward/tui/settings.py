"""The person's settings file: theme, keys, habits. Read with all its faults, written with care.

    theme = "forward-dark"
    leave_on = "ask"       # quitting leaves forwards on: ask, always, never
    resume = "ask"         # what was on before a crash is brought back: ask, always, never

    [keys]
    "forwards.stop" = "ctrl+x"      # several keys: "x,delete"

A file that is wrong never stops the program: what is right in it counts, and the rest is told
in words. This module knows no widget and no app: which bindings and themes there are, it is told.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from tui_forward import atomic
from tui_forward.errors import ConfigError
from tui_forward.tui.keynames import key_problem, normalised

FILE_NAME: Final = "settings.toml"
_KNOWN: Final = ("theme", "leave_on", "resume", "keys")
_LARGEST = 256 * 1024  # nobody writes that much by hand
_AT_LINE = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)$")
_HEADER = re.compile(r"^\s*\[")
# `theme = value  # comment`, with the value as written.
_THEME = re.compile(
    r"""^(?P<head>\s*(?:theme|"theme"|'theme')\s*=\s*)
        (?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^#'"\s][^#]*?|)
        (?P<tail>\s*(?:\#.*)?)$""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the settings.

    Attributes:
        file: Name of the file.
        line: Counted from 1; None where it is not one line's fault.
        what: What is wrong, without a full stop.
        hint: What to do about it.
    """

    file: str
    line: int | None
    what: str
    hint: str = ""

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{where}: {self.what}" + (f". {self.hint}" if self.hint else "")


class Habit(StrEnum):
    """What is done without being asked about."""

    ASK = "ask"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says.

    Attributes:
        theme: Name of a theme; empty for the default one. Whether there is such a theme only
            the app knows (`themes.choose`).
        leave_on: Whether forwards go on when the dashboard is left.
        resume: Whether what was on before a crash or a reboot is brought back.
        keys: Binding id → key string, as written.
        lines: Binding id → its line in the file, where it could be found.
        problems: What is wrong with the file; what it says about them is left out above.
        file: Name of the file, for further problems.
    """

    theme: str = ""
    leave_on: Habit = Habit.ASK
    resume: Habit = Habit.ASK
    keys: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    file: str = FILE_NAME


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """What became of the keys.

    Attributes:
        keymap: What can be used, ready for `App.set_keymap`.
        problems: Why the rest cannot.
    """

    keymap: Mapping[str, str]
    problems: tuple[Problem, ...]


def load(path: Path) -> Settings:
    """Read a settings file. Never raises; no file is no problem.

    Args:
        path: The file.
    """
    file = path.name
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except FileNotFoundError:
        return Settings(file=file)
    except OSError as error:
        why = error.strerror or type(error).__name__
        return _nothing(file, None, f"cannot be read: {why}", f"Make {path} a file you may read")
    if len(data) > _LARGEST:
        return _nothing(file, None, "is too large to be settings", f"Look what {path} is")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        broken = data.count(b"\n", 0, error.start) + 1
        return _nothing(file, broken, "is not UTF-8 text", "Save it as UTF-8")
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        said = str(error)
        found = _AT_LINE.search(said)
        line = int(found[1]) if found and found[1] else None
        what = _AT_LINE.sub("", said)
        what = (what[:1].lower() + what[1:]) if isinstance(error, ValueError) else "nested too deep"
        return _nothing(file, line, f"is not TOML: {what}", "Until that is mended, defaults count")
    return _taken(file, text, content)


def identity(path: Path) -> tuple[int, int, int] | None:
    """What is different as soon as a file has been written; None while there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _nothing(file: str, line: int | None, what: str, hint: str) -> Settings:
    return Settings(problems=(Problem(file, line, what, hint),), file=file)


def _taken(file: str, text: str, content: Mapping[str, object]) -> Settings:
    problems: list[Problem] = []
    for name in content:
        if name not in _KNOWN:
            hint = _meant(name, _KNOWN) or f"There are {' and '.join(_KNOWN)}"
            problems.append(
                Problem(file, line_of(text, "", name), f"there is no setting {name!r}", hint)
            )
    theme = content.get("theme", "")
    if not isinstance(theme, str):
        problems.append(
            Problem(
                file, line_of(text, "", "theme"), "theme is not a name in quotes",
                'Write theme = "forward-dark"',
            )
        )  # fmt: skip
        theme = ""
    habits: dict[str, Habit] = {}
    for name in ("leave_on", "resume"):
        try:
            habits[name] = Habit(str(content.get(name, Habit.ASK.value)))
        except ValueError:
            problems.append(
                Problem(
                    file, line_of(text, "", name), f"{name} is not one of {', '.join(Habit)}",
                    f'Write {name} = "ask"',
                )
            )  # fmt: skip
    table = content.get("keys", {})
    if not isinstance(table, dict):
        problems.append(
            Problem(
                file, line_of(text, "", "keys"), "keys is not a table",
                'Write [keys], and below it "forwards.stop" = "ctrl+x"',
            )
        )  # fmt: skip
        table = {}
    keys: dict[str, str] = {}
    lines: dict[str, int] = {}
    for binding, value in _flat(table):
        line = line_of(text, "keys", binding)
        if line is not None:
            lines[binding] = line
        if isinstance(value, str):
            keys[binding] = value
        else:
            problems.append(
                Problem(
                    file, line, f"the keys of {binding!r} are not in quotes",
                    f'Write "{binding}" = "ctrl+x", with commas between several keys',
                )
            )  # fmt: skip
    return Settings(
        theme=theme, **habits, keys=keys, lines=lines, problems=tuple(problems), file=file
    )


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Ids whose quotes were forgotten are tables within tables: `forwards.stop = "x"`."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def line_of(text: str, table: str, name: str) -> int | None:
    """The line, from 1, in which a name of a table gets its value; None if it is not plain.

    Args:
        text: Of the file.
        table: "" for the top level.
        name: Of the setting.
    """
    wanted = f"{table}.{name}" if table else name
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare.startswith("["):
            inside = _plain(bare.partition("#")[0].strip("[] \t"))
            if inside == wanted:
                return number
            continue
        key, equals, _ = bare.partition("=")
        if equals and _plain(f"{inside}.{key}" if inside else key) == wanted:
            return number
    return None


def _plain(key: str) -> str:
    """A key of TOML without quotes and blanks."""
    return re.sub(r"""["'\s]""", "", key)


def _meant(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def check_keys(
    keys: Mapping[str, str],
    known_ids: Mapping[str, str],
    *,
    lines: Mapping[str, int] | None = None,
    file: str = FILE_NAME,
) -> KeyCheck:
    """Which of the person's keys can be used.

    A key may mean different things in different places (`forwards.stop`, `connections.end`),
    but only one thing in one place, and nothing else where an `app.` binding has it.

    Args:
        keys: Binding id → key string, from `Settings.keys`.
        known_ids: Every binding id there is → its keys by default.
        lines: From `Settings.lines`.
        file: From `Settings.file`.
    """
    lines = lines or {}
    problems: list[Problem] = []
    keymap: dict[str, str] = {}
    # What each key means so far: defaults of whatever the person did not touch, then theirs.
    owners: dict[str, list[str]] = {}
    for binding, default in known_ids.items():
        if binding not in keys:
            for key in default.split(","):
                owners.setdefault(normalised(key), []).append(binding)

    def wrong(binding: str, what: str, hint: str = "") -> None:
        problems.append(Problem(file, lines.get(binding), what, hint))

    for binding, value in keys.items():
        if binding not in known_ids:
            hint = _meant(binding, known_ids) or "The help (?) shows what there is"
            wrong(binding, f"nothing is called {binding!r}", hint)
            continue
        good: list[str] = []
        for written in value.split(","):
            key = normalised(written)
            trouble = key_problem(written)
            if trouble is not None:
                wrong(binding, f"{binding}: {trouble.what}", trouble.hint)
                continue
            other = _clash(binding, owners.get(key, ()))
            if other:
                wrong(
                    binding, f"{binding}: {written.strip()} is the key of {other} already",
                    f"Choose another key, or give {other} another one",
                )  # fmt: skip
            elif key not in good:
                good.append(key)
        if good:
            keymap[binding] = ",".join(good)
        # With nothing usable left, its default keys count, and nobody else may have them.
        for key in good or map(normalised, known_ids[binding].split(",")):
            owners.setdefault(key, []).append(binding)
    return KeyCheck(keymap, tuple(problems))


def _clash(binding: str, owners: Collection[str]) -> str:
    place = binding.partition(".")[0]
    for other in owners:
        there = other.partition(".")[0]
        if place == there or "app" in (place, there):
            return other
    return ""


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
            atomic.replace(path, after.encode("utf-8"))
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
