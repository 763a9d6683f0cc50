"""Settings out of a file, and everything that is wrong with it, by line.

    theme = "forward-dark"
    leave_on = "ask"         # quitting leaves forwards on: ask, always, never
    resume = "ask"           # what was on before a crash is brought back: ask, always, never
    address = "localhost"    # where forwards listen that say nothing else; several: ["…", "…"]
    queue_timeout = "30s"    # how long a connection waits for a ready pod
    half_close_timeout = "5s"  # how long the pod may keep sending after the client closes its side
    refresh = 0.25           # seconds between two looks of the dashboard, 0.1 to 5
    notifications = "all"    # what it tells unasked: all, problems, none

    [keys]
    "forwards.stop" = "ctrl+x"      # several keys: "x,delete"

A file that is wrong never stops the program: what is right in it counts, and the rest is told
in words.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tui_forward.common import atomic_file as atomic_file
from tui_forward.common.arguments import parse_addresses, parse_duration_value
from tui_forward.errors import UsageError
from tui_forward.model import BUILT_IN, ForwardDefaults

FILE_NAME: Final = "settings.toml"
DEFAULT_THEME: Final = "forward-dark"
REFRESH_S: Final = 0.25
SHORTEST_REFRESH_S: Final = 0.1
LONGEST_REFRESH_S: Final = 5.0
_LARGEST = 256 * 1024  # nobody writes that much by hand
_AT_LINE = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)$")
_LONGEST_WORDS = 300


@dataclass(frozen=True, slots=True)
class SettingsProblem:
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


class AskPolicy(StrEnum):
    """What is done without being asked about."""

    ASK = "ask"
    ALWAYS = "always"
    NEVER = "never"


class Notifications(StrEnum):
    """What the dashboard tells unasked."""

    ALL = "all"
    PROBLEMS = "problems"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says.

    Attributes:
        theme: Name of a theme. Whether there is such a theme only the dashboard knows.
        leave_on: Whether forwards go on when the dashboard is left.
        resume: Whether what was on before a crash or a reboot is brought back.
        forwards: For forwards that are begun by hand; a profile says everything itself.
        refresh_s: Between two looks of the dashboard at the session.
        notifications: What the dashboard tells unasked.
        keys: Binding id → key string, as written.
        said: Setting that the file says, and that counts → its line, where it could be found.
        lines: Binding id → its line in the file, where it could be found.
        problems: What is wrong with the file; what it says about them is left out above.
        file: Name of the file, for further problems.
    """

    theme: str = DEFAULT_THEME
    leave_on: AskPolicy = AskPolicy.ASK
    resume: AskPolicy = AskPolicy.ASK
    forwards: ForwardDefaults = BUILT_IN
    refresh_s: float = REFRESH_S
    notifications: Notifications = Notifications.ALL
    keys: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, int | None] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[SettingsProblem, ...] = ()
    file: str = FILE_NAME


def load_settings(path: Path) -> Settings:
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
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        found = _AT_LINE.search(said)
        line = int(found[1]) if found and found[1] else None
        what = _AT_LINE.sub("", said)
        return _unreadable(file, line, what[:1].lower() + what[1:])
    except RecursionError:
        return _unreadable(file, None, "nested too deep")
    except ValueError:  # Python's own bound for the length of numbers
        return _unreadable(file, None, "a number is too long")
    return _Reader(file, text).read(content)


def settings_identity(path: Path) -> tuple[int, int, int] | None:
    """What is different as soon as a file has been written; None while there is none."""
    try:
        return atomic_file.file_identity(path.stat())
    except OSError:
        return None


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A hint at what is nearly called so, or ""."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def _nothing(file: str, line: int | None, what: str, hint: str) -> Settings:
    return Settings(problems=(SettingsProblem(file, line, what, hint),), file=file)


def _unreadable(file: str, line: int | None, what: str) -> Settings:
    return _nothing(file, line, f"is not TOML: {what}", "Until that is mended, defaults count")


class _Reader:
    """Reads one file, and gathers what is wrong with it."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text
        self._problems: list[SettingsProblem] = []

    def read(self, content: Mapping[str, object]) -> Settings:
        """Make settings of what the file holds."""
        good: dict[str, Any] = {}
        said: dict[str, int | None] = {}
        for name, value in content.items():
            line = _line_of(self._text, "", name)
            if name not in _SETTINGS:
                hint = did_you_mean(name, _SETTINGS) or f"There are {', '.join(_SETTINGS)}"
                self._wrong(line, f"there is no setting {name!r}", hint)
                continue
            try:
                good[name] = _SETTINGS[name](name, value)
            except UsageError as error:
                self._wrong(line, error.message, error.hint)
            else:
                said[name] = line
        keys, lines = self._keys(good.pop("keys", {}))
        forwards = {_SPEC[name]: good.pop(name) for name in _SPEC if name in good}
        if "refresh" in good:
            good["refresh_s"] = good.pop("refresh")
        return Settings(
            **good, forwards=ForwardDefaults(**forwards), keys=keys, said=said, lines=lines,
            problems=tuple(self._problems), file=self._file,
        )  # fmt: skip

    def _wrong(self, line: int | None, what: str, hint: str) -> None:
        # Values are the person's, and may be anything.
        plain = "".join(letter if letter.isprintable() else " " for letter in what)
        hint = hint[:1].upper() + hint[1:]
        self._problems.append(SettingsProblem(self._file, line, plain[:_LONGEST_WORDS], hint))

    def _keys(self, table: Mapping[str, object]) -> tuple[dict[str, str], dict[str, int]]:
        keys: dict[str, str] = {}
        lines: dict[str, int] = {}
        for binding, value in _flat(table):
            line = _line_of(self._text, "keys", binding)
            if line is not None:
                lines[binding] = line
            if binding in _SETTINGS:
                self._wrong(line, f"{binding} is not a key", f"Write {binding} above [keys]")
            elif isinstance(value, str):
                keys[binding] = value
            else:
                self._wrong(
                    line, f"the keys of {binding!r} are not in quotes",
                    f'Write "{binding}" = "ctrl+x", with commas between several keys',
                )  # fmt: skip
        return keys, lines


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Ids whose quotes were forgotten are tables within tables: `forwards.stop = "x"`."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _line_of(text: str, table: str, name: str) -> int | None:
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


# What values mean -------------------------------------------------------------------------

_Parser = Callable[[str, object], Any]


def _theme(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name} is not a name in quotes", hint=f'write {name} = "forward-dark"')
    return value or DEFAULT_THEME


def _one_of(words: type[AskPolicy] | type[Notifications]) -> _Parser:
    def parse(name: str, value: object) -> AskPolicy | Notifications:
        if not isinstance(value, str) or value not in list(words):
            first = next(iter(words))
            raise UsageError(
                f"{name} is not one of {', '.join(words)}", hint=f'write {name} = "{first}"'
            )
        return words(value)

    return parse


def _named(parse: Callable[[object], object]) -> _Parser:
    """What files say alike all over the program, with the setting's name in what is wrong."""

    def named(name: str, value: object) -> object:
        try:
            return parse(value)
        except UsageError as error:
            raise UsageError(f"{name}: {error.message}", hint=error.hint) from error

    return named


def _addresses(value: object) -> tuple[str, ...]:
    listed: list[object] = value if isinstance(value, list) else [value]
    texts = [text for text in listed if isinstance(text, str)]
    if not texts or len(texts) < len(listed):
        raise UsageError(
            "must be an address in quotes, or a list of such", hint='for example "localhost"'
        )
    return parse_addresses(texts)


def _refresh(name: str, value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not SHORTEST_REFRESH_S <= value <= LONGEST_REFRESH_S
    ):
        raise UsageError(
            f"{name} is not a number from {SHORTEST_REFRESH_S:g} to {LONGEST_REFRESH_S:g}",
            hint=f"write {name} = {REFRESH_S:g}, in seconds",
        )
    return float(value)


def _table(name: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise UsageError(
            f"{name} is not a table",
            hint=f'write [{name}], and below it "forwards.stop" = "ctrl+x"',
        )
    return value


_SETTINGS: Final[Mapping[str, _Parser]] = {
    "theme": _theme,
    "leave_on": _one_of(AskPolicy),
    "resume": _one_of(AskPolicy),
    "address": _named(_addresses),
    "queue_timeout": _named(parse_duration_value),
    "half_close_timeout": _named(parse_duration_value),
    "refresh": _refresh,
    "notifications": _one_of(Notifications),
    "keys": _table,
}
# Settings that are defaults of a forward.
_SPEC: Final = {
    "address": "addresses",
    "queue_timeout": "queue_timeout_s",
    "half_close_timeout": "half_close_timeout_s",
}
