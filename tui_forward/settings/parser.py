"""Parser of the settings file, which reports every problem by line.

    theme = "forward-dark"
    keep_running = "ask"     # keep forwards running when the dashboard quits: ask, always, never
    restore = "ask"          # restore forwards after a crash or reboot: ask, always, never
    address = "localhost"    # default local address of forwards; several: ["…", "…"]
    queue_timeout = "30s"    # how long a connection waits for a ready pod
    half_close_timeout = "5s"  # how long the pod may keep sending after the client closes its side
    refresh = 0.25           # seconds between two updates of the dashboard, 0.1 to 5
    notifications = "all"    # which notifications to show: all, problems, none
    log_level = "info"       # lowest level to log: debug, info, warning, error
    disk_buffer = "256MiB"   # disk of each forward for data of clients that read slowly; 0 for none
    login_command = "aws sso login"  # replaces the credential plugin when you log in again
    protected_contexts = ["prod*"]   # ask before forwards start there; also clusters and hosts
    proxy_domain = "cluster.local"   # of the names of a cluster, for its proxy
    proxy_strip_suffix = false # whether services get the Host of *.localhost without .localhost
    proxy_idle_timeout = "5m"  # how long a target without connections keeps its tunnels

    [keys]
    "forwards.stop" = "ctrl+x"      # several keys: "x,delete"

An invalid file never stops the program: valid settings take effect, problems are reported.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from tui_forward.common import atomic_file
from tui_forward.common.access_options import with_environment
from tui_forward.common.arguments import (
    parse_addresses,
    parse_domain_value,
    parse_duration_value,
    parse_size_value,
)
from tui_forward.common.printable import blank_unprintable
from tui_forward.errors import UsageError
from tui_forward.model import (
    BUILT_IN,
    CLUSTER_DOMAIN,
    PROXY_IDLE_S,
    ForwardDefaults,
    ProxySpec,
)
from tui_forward.settings.toml_text import parse_toml

FILE_NAME: Final = "settings.toml"
DEFAULT_THEME: Final = "forward-dark"
REFRESH_S: Final = 0.25
DISK_BUFFER: Final = 256 * 1024 * 1024
SHORTEST_REFRESH_S: Final = 0.1
LONGEST_REFRESH_S: Final = 5.0
_MAX_BYTES = 256 * 1024
_MAX_MESSAGE = 300
_MAX_PATTERNS = 100
_MAX_PATTERN = 200
# The position at the end of tomllib's messages.
_POSITION = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)$")


class SettingsProblem(msgspec.Struct, frozen=True):
    """Problem of a settings file."""

    file: str
    line: int | None  # line number from 1; None if the problem has no line of its own
    message: str  # cause, without a full stop
    hint: str = ""

    def __str__(self) -> str:
        position = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{position}: {self.message}" + (f". {self.hint}" if self.hint else "")


class AskPolicy(StrEnum):
    """Whether something is done, or the user is asked first."""

    ASK = "ask"
    ALWAYS = "always"
    NEVER = "never"


class Notifications(StrEnum):
    """Which notifications the dashboard shows."""

    ALL = "all"
    PROBLEMS = "problems"
    NONE = "none"


class Symbols(StrEnum):
    """What the dashboard draws symbols and lines with."""

    AUTO = "auto"  # as the locale says
    UNICODE = "unicode"
    ASCII = "ascii"


class LogLevel(StrEnum):
    """Lowest level to log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(msgspec.Struct, frozen=True):
    """Effective settings: those of the file, and defaults for the rest."""

    theme: str = DEFAULT_THEME  # name of a theme, which may not exist
    symbols: Symbols = Symbols.AUTO
    # Whether forwards keep running when the dashboard quits.
    keep_running: AskPolicy = AskPolicy.ASK
    restore: AskPolicy = AskPolicy.ASK  # whether forwards of a crash or a reboot are restored
    # Defaults of forwards that the user starts; profiles do not use them.
    forwards: ForwardDefaults = BUILT_IN
    refresh_s: float = REFRESH_S  # time between two updates of the dashboard
    notifications: Notifications = Notifications.ALL  # which notifications the dashboard shows
    log_level: LogLevel = LogLevel.INFO  # lowest level of the engine's log
    disk_buffer: int = DISK_BUFFER  # bytes of disk for data of slow clients, of each forward
    login_command: str = ""  # to log in again, in the terminal; empty for the credential plugin
    protected_contexts: tuple[str, ...] = ()  # globs of names of contexts, clusters and hosts
    # Of cluster proxies that the user starts; profiles do not use them. See `ProxySpec`.
    proxy_domain: str = CLUSTER_DOMAIN
    proxy_strip_suffix: bool = False
    proxy_idle_timeout_s: float = PROXY_IDLE_S
    # Binding id → key string, as written.
    keys: Mapping[str, str] = msgspec.field(default_factory=dict)
    # Each valid setting of the file → its line, None if it was not found.
    setting_lines: Mapping[str, int | None] = msgspec.field(default_factory=dict)
    # Binding id → its line in the file, if it was found.
    key_lines: Mapping[str, int] = msgspec.field(default_factory=dict)
    # Invalid parts of the file, which the attributes above do not contain.
    problems: tuple[SettingsProblem, ...] = ()
    file: str = FILE_NAME  # name of the file, for further problems

    def proxy_spec(self, environ: Mapping[str, str]) -> ProxySpec:
        """Return a proxy with what the user has set here and, for transports, in kubectl's way."""
        forwards = with_environment(self.forwards, environ)
        return ProxySpec(
            domain=self.proxy_domain,
            strip_suffix=self.proxy_strip_suffix,
            idle_timeout_s=self.proxy_idle_timeout_s,
            queue_timeout_s=forwards.queue_timeout_s,
            half_close_timeout_s=forwards.half_close_timeout_s,
            transport=forwards.transport,
        )


def load_settings(path: Path) -> Settings:
    """Return the settings of a file. Never raises; a missing file is not a problem."""
    file = path.name
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return Settings(file=file)
    except OSError as error:
        cause = error.strerror or type(error).__name__
        return _defaults(file, None, f"cannot be read: {cause}", f"Make {path} a readable file")
    if len(data) > _MAX_BYTES:
        return _defaults(
            file, None, "is too large", f"Make {path} smaller than {_MAX_BYTES // 1024} KiB"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return _defaults(file, line, "is not UTF-8 text", "Save it as UTF-8")
    try:
        content = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = _POSITION.search(message)
        message = _POSITION.sub("", message)
        return _not_toml(
            file, int(found[1]) if found and found[1] else None, message[:1].lower() + message[1:]
        )
    except RecursionError:
        return _not_toml(file, None, "nested too deep")
    except ValueError:  # Python limits the length of numbers
        return _not_toml(file, None, "a number is too long")
    return _SettingsReader(file, text).read(content)


def settings_identity(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes with each write of the file; None while there is no file."""
    try:
        return atomic_file.file_identity(path.stat())
    except OSError:
        return None


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return a hint with the most similar known word, or ""."""
    import difflib  # most words are right

    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def _defaults(file: str, line: int | None, message: str, hint: str) -> Settings:
    return Settings(problems=(SettingsProblem(file, line, message, hint),), file=file)


def _not_toml(file: str, line: int | None, cause: str) -> Settings:
    return _defaults(file, line, f"is not TOML: {cause}", "Fix it; until then, defaults apply")


class _SettingsReader:
    """Validates the content of one file and collects its problems."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text
        self._problems: list[SettingsProblem] = []

    def read(self, content: Mapping[str, object]) -> Settings:
        """Return the settings of the parsed file."""
        valid: dict[str, Any] = {}
        setting_lines: dict[str, int | None] = {}
        for name, value in content.items():
            line = _line_of(self._text, "", name)
            if name not in _SETTINGS:
                hint = did_you_mean(name, _SETTINGS) or f"Available: {', '.join(_SETTINGS)}"
                self._report(line, f"unknown setting {name!r}", hint)
                continue
            try:
                valid[name] = _SETTINGS[name](name, value)
            except UsageError as error:
                self._report(line, error.message, error.hint)
            else:
                setting_lines[name] = line
        keys, key_lines = self._read_keys(valid.pop("keys", {}))
        forwards = {
            _FORWARD_DEFAULTS[name]: valid.pop(name) for name in _FORWARD_DEFAULTS if name in valid
        }
        for name in ("refresh", "proxy_idle_timeout"):
            if name in valid:
                valid[f"{name}_s"] = valid.pop(name)
        return Settings(
            **valid, forwards=ForwardDefaults(**forwards), keys=keys, setting_lines=setting_lines,
            key_lines=key_lines, problems=tuple(self._problems), file=self._file,
        )  # fmt: skip

    def _report(self, line: int | None, message: str, hint: str) -> None:
        # Messages quote values of the file, which may hold control characters.
        message = blank_unprintable(message)[:_MAX_MESSAGE]
        hint = hint[:1].upper() + hint[1:]
        self._problems.append(SettingsProblem(self._file, line, message, hint))

    def _read_keys(self, table: Mapping[str, object]) -> tuple[dict[str, str], dict[str, int]]:
        keys: dict[str, str] = {}
        lines: dict[str, int] = {}
        for binding, value in _flatten(table):
            line = _line_of(self._text, "keys", binding)
            if line is not None:
                lines[binding] = line
            if binding in _SETTINGS:
                self._report(line, f"{binding} is not a key", f"Write {binding} above [keys]")
            elif isinstance(value, str):
                keys[binding] = value
            else:
                self._report(
                    line, f"the keys of {binding!r} are not in quotes",
                    f'Write "{binding}" = "ctrl+x", with commas between several keys',
                )  # fmt: skip
        return keys, lines


def _flatten(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield dotted ids, because TOML reads `forwards.stop = "x"` as nested tables."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _line_of(text: str, table: str, name: str) -> int | None:
    """Return the line, from 1, that assigns a name of a table ("" is the top level), if found."""
    qualified = f"{table}.{name}" if table else name
    current_table = ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            current_table = _unquote(stripped.partition("#")[0].strip("[] \t"))
            if current_table == qualified:
                return number
            continue
        key, equals, _ = stripped.partition("=")
        if equals and _unquote(f"{current_table}.{key}" if current_table else key) == qualified:
            return number
    return None


def _unquote(key: str) -> str:
    """Return a TOML key without quotes and blanks."""
    return re.sub(r"""["'\s]""", "", key)


# Parsers of values ------------------------------------------------------------------------

_Parser = Callable[[str, object], Any]


def _parse_theme(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name} is not a name in quotes", hint=f'write {name} = "forward-dark"')
    return value or DEFAULT_THEME


def _choice_of(choices: type[StrEnum], example: str) -> _Parser:
    def parse(name: str, value: object) -> StrEnum:
        if not isinstance(value, str) or value not in list(choices):
            raise UsageError(
                f"{name} is not one of {', '.join(choices)}", hint=f'write {name} = "{example}"'
            )
        return choices(value)

    return parse


def _with_name(parse: Callable[[object], object]) -> _Parser:
    """Put the setting's name in front of the errors of a shared parser."""

    def parse_named(name: str, value: object) -> object:
        try:
            return parse(value)
        except UsageError as error:
            raise UsageError(f"{name}: {error.message}", hint=error.hint) from error

    return parse_named


def _parse_addresses(value: object) -> tuple[str, ...]:
    items: list[object] = value if isinstance(value, list) else [value]
    texts = [text for text in items if isinstance(text, str)]
    if not texts or len(texts) < len(items):
        raise UsageError(
            "must be an address in quotes, or a list of such", hint='for example "localhost"'
        )
    return parse_addresses(texts)


def _parse_refresh(name: str, value: object) -> float:
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


def _parse_command(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(
            f"{name} is not a command in quotes", hint=f'write {name} = "aws sso login"'
        )
    try:
        shlex.split(value)
    except ValueError as error:
        raise UsageError(
            f"{name} has a quotation mark that is not closed", hint="Close it, or escape it"
        ) from error
    return value.strip()


def _parse_patterns(name: str, value: object) -> tuple[str, ...]:
    items: list[object] = value if isinstance(value, list) else [value]
    patterns = tuple(one.strip() for one in items if isinstance(one, str) and one.strip())
    if len(patterns) < len(items):
        raise UsageError(
            f"{name} is not a list of patterns in quotes", hint=f'write {name} = ["prod*"]'
        )
    if len(patterns) > _MAX_PATTERNS or any(len(one) > _MAX_PATTERN for one in patterns):
        raise UsageError(
            f"{name} has more than {_MAX_PATTERNS} patterns, or one is longer than "
            f"{_MAX_PATTERN} characters",
            hint="use fewer and shorter patterns, with * for any characters",
        )
    return patterns


def _parse_flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name} is not true or false", hint=f"write {name} = true")
    return value


def _parse_table(name: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise UsageError(
            f"{name} is not a table",
            hint=f'write [{name}], and below it "forwards.stop" = "ctrl+x"',
        )
    return value


_SETTINGS: Final[Mapping[str, _Parser]] = {
    "theme": _parse_theme,
    "symbols": _choice_of(Symbols, "auto"),
    "keep_running": _choice_of(AskPolicy, "ask"),
    "restore": _choice_of(AskPolicy, "ask"),
    "address": _with_name(_parse_addresses),
    "queue_timeout": _with_name(parse_duration_value),
    "half_close_timeout": _with_name(parse_duration_value),
    "refresh": _parse_refresh,
    "notifications": _choice_of(Notifications, "all"),
    "log_level": _choice_of(LogLevel, "info"),
    "disk_buffer": _with_name(parse_size_value),
    "login_command": _parse_command,
    "protected_contexts": _parse_patterns,
    "proxy_domain": _with_name(parse_domain_value),
    "proxy_strip_suffix": _parse_flag,
    "proxy_idle_timeout": _with_name(parse_duration_value),
    "keys": _parse_table,
}
# Setting → attribute of `ForwardDefaults`.
_FORWARD_DEFAULTS: Final = {
    "address": "addresses",
    "queue_timeout": "queue_timeout_s",
    "half_close_timeout": "half_close_timeout_s",
}
