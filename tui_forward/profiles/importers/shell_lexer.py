"""Lexer of shell text: the simple commands of one logical line, as words. No I/O.

It reads the forms of POSIX shells, PowerShell and cmd, and what people write for values to fill
in: `$NS`, `${NS:-x}`, `$(command)`, `%NS%`, `$env:NS`, `{{ .NS }}`, `<namespace>`, `{namespace}`.
Values are not known here, so a word is a list of literal text and such expansions.

It never raises and takes linear time: a quote or a bracket that is not closed is ordinary text.
Typographic spaces, quotes and dashes, which come from web pages and word processors, are read as
those that they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final


class Dialect(Enum):
    """Shell whose quotes and escapes count."""

    POSIX = auto()
    POWERSHELL = auto()
    CMD = auto()


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stands for itself."""

    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Expansion:
    """A value to be filled in."""

    raw: str  # as it is written
    name: str  # "NS" of `${NS:-x}`; for a command substitution the raw text
    default: str | None = None  # "x" of `${NS:-x}`
    script: str = ""  # of a command substitution, the command


@dataclass(frozen=True, slots=True)
class Word:
    """One word, or the operand of a redirection."""

    parts: tuple[Literal | Expansion, ...]
    redirect: str = ""  # operator before it: `>`, `2>&`, `<<`

    @property
    def text(self) -> str:
        """Text without quotes, with expansions as they are written."""
        return "".join(one.text if isinstance(one, Literal) else one.raw for one in self.parts)

    @property
    def is_quoted(self) -> bool:
        """Whether a part of it is in quotes."""
        return any(isinstance(one, Literal) and one.quoted for one in self.parts)

    @property
    def expansions(self) -> tuple[Expansion, ...]:
        """Values to be filled in."""
        return tuple(one for one in self.parts if isinstance(one, Expansion))

    def expand(self, find: Callable[[Expansion], str | None]) -> tuple[str, list[Expansion]]:
        """Return the text with expansions replaced, and the expansions that have no value."""
        texts: list[str] = []
        missing: list[Expansion] = []
        for one in self.parts:
            if isinstance(one, Literal):
                texts.append(one.text)
            elif (value := find(one)) is not None:
                texts.append(value)
            else:
                missing.append(one)
        return "".join(texts), missing


@dataclass(slots=True)
class LexedLine:
    """Commands and comments of a logical line."""

    commands: list[list[Word]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)


# What web pages and word processors make of ASCII characters.
_SPACES: Final = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"  # noqa: E501
_INVISIBLE: Final = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_DOUBLE_QUOTES: Final = "\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02"
_SINGLE_QUOTES: Final = "\u2018\u2019\u201a\u201b\u2039\u203a\uff07"
_TYPOGRAPHIC: Final = str.maketrans({
    **dict.fromkeys(_SPACES, " "), **dict.fromkeys(_INVISIBLE),
    **dict.fromkeys(_DOUBLE_QUOTES, '"'), **dict.fromkeys(_SINGLE_QUOTES, "'"),
    "\uff1a": ":", "\uff0f": "/",
})  # fmt: skip
DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_TO_HYPHEN: Final = str.maketrans(dict.fromkeys(DASHES, "-"))
# An option whose hyphens were joined to one dash: `–n`, `—namespace`.
_OPTION: Final = re.compile(rf"[{DASHES}]+([A-Za-z][\w-]*)")

_NAME = r"[A-Za-z_]\w*"
_EXPANSION: Final = re.compile(
    rf"""
    \$\{{\{{[ \t]*(?P<workflow>[^{{}}\n]{{1,80}}?)[ \t]*\}}\}}
    |\{{\{{-?[ \t]*(?P<template>[^{{}}\n]{{1,80}}?)[ \t]*-?\}}\}}
    |\$\$?\{{(?P<braced>(?:env:|input:|config:)?{_NAME}(?:\.\w+)*|[0-9@*\#?!$-])
        (?:(?::?[-=])(?P<default>[^{{}}\n]*)|[:?+\#%/^,@\[][^{{}}\n]*)?\}}
    |\$[Ee][Nn][Vv]:(?P<powershell>\w+)
    |\$\$?(?P<plain>{_NAME})
    |\$\$?\((?P<make>{_NAME})\)
    |\$(?P<special>[0-9@*\#?!$-])
    |%(?P<cmd>{_NAME})%
    |%\{{(?P<percent>[\w.-]+)\}}
    |<(?P<angle>[A-Za-z_](?:[^<>|&;\n"']{{0,60}}[^<>|&;\n"'\s])?)>
    |\#?\{{(?P<brace>{_NAME}(?:[ .-]\w+)*)\}}
    """,
    re.VERBOSE,
)
_REDIRECT: Final = re.compile(r"(?:\d{1,2}|&)?(?:>>|>\||>&|<<<|<<-|<<|<>|<&|>|<)")
_OPERATOR: Final = re.compile(r"\|\||&&|\|&|;;|[;&|()\n]")
_BLANKS: Final = re.compile(r"[ \t\r\f\v]+")
_MAX_NAME: Final = 60

_PLAIN: Final = {
    Dialect.POSIX: re.compile(r"[^\s;&|()<>'\"`$\\%{!#]+"),
    Dialect.POWERSHELL: re.compile(r"[^\s;&|()<>'\"`$%{}#]+"),
    Dialect.CMD: re.compile(r"[^\s&|()<>\"^$%{!]+"),
}
_ESCAPE: Final = {Dialect.POSIX: "\\", Dialect.POWERSHELL: "`", Dialect.CMD: "^"}
_IN_DOUBLE: Final = re.compile(r"[^\"\\`$%{<#]+")


def normalize_typography(text: str) -> str:
    """Return a text with typographic spaces and quotes as ASCII, without invisible characters."""
    return text if text.isascii() else text.translate(_TYPOGRAPHIC)


def lex(text: str, dialect: Dialect = Dialect.POSIX) -> LexedLine:
    """Return the commands of a logical line, whose continuations are joined."""
    return _Lexer(normalize_typography(text), dialect).run()


def literal_word(text: str) -> Word:
    """Return a word of a list of arguments, where a shell removes no quotes."""
    parts: list[Literal | Expansion] = []
    start = 0
    for match in _EXPANSION.finditer(text):
        if match.start() > start:
            parts.append(Literal(text[start : match.start()], quoted=True))
        parts.append(_expansion(match))
        start = match.end()
    if start < len(text) or not parts:
        parts.append(Literal(text[start:], quoted=True))
    return Word(tuple(parts))


def _expansion(match: re.Match[str]) -> Expansion:
    name = next(value for key, value in match.groupdict().items()
                if value is not None and key != "default")  # fmt: skip
    if match["braced"]:
        name = name.removeprefix("env:").removeprefix("input:")
    return Expansion(match[0], name.strip().lstrip("."), match["default"])


class _Lexer:
    """State of one pass over a line."""

    def __init__(self, text: str, dialect: Dialect) -> None:
        self._text = text
        self._dialect = dialect
        self._at = 0
        self._lexed = LexedLine()
        self._command: list[Word] = []
        self._parts: list[Literal | Expansion] = []
        self._in_word = False
        self._redirect = ""
        # Set when the search for an end has failed, so that it is not repeated.
        self._unclosed: set[str] = set()

    def run(self) -> LexedLine:
        """Read the whole line."""
        text = self._text
        while self._at < len(text):
            if blanks := _BLANKS.match(text, self._at):
                self._end_word()
                self._at = blanks.end()
            elif not (self._comment() or self._expand() or self._operator()):
                self._word_part()
        self._end_command()
        return self._lexed

    # Between words --------------------------------------------------------------------------

    def _end_word(self) -> None:
        if self._in_word:
            self._command.append(Word(tuple(self._parts), self._redirect))
            self._redirect = ""
        self._parts = []
        self._in_word = False

    def _end_command(self) -> None:
        self._end_word()
        self._redirect = ""
        if self._command:
            self._lexed.commands.append(self._command)
        self._command = []

    def _comment(self) -> bool:
        text, at = self._text, self._at
        if self._in_word or text[at] != "#" or self._dialect is Dialect.CMD:
            return False
        if _EXPANSION.match(text, at):
            return False
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        self._lexed.comments.append(text[at:end].lstrip("#").strip())
        self._at = end
        return True

    def _operator(self) -> bool:
        text, at = self._text, self._at
        char = text[at]
        braces = "{}" if self._dialect is Dialect.POWERSHELL else ""
        if char in braces:
            self._end_command()
            self._at += 1
            return True
        if self._dialect is Dialect.CMD and char == ";":
            return False
        redirect = _REDIRECT.match(text, at)
        # `80>x`: the digits belong to the word unless they are a word of their own.
        if redirect and (redirect[0][0] in "<>&" or not self._in_word):
            self._end_word()
            self._redirect = redirect[0]
            self._at = redirect.end()
            return True
        if char in ";&|()\n" and (operator := _OPERATOR.match(text, at)):
            self._end_command()
            self._at = operator.end()
            return True
        return False

    # Parts of words -------------------------------------------------------------------------

    def _add(self, part: Literal | Expansion) -> None:
        self._parts.append(part)
        self._in_word = True

    def _word_part(self) -> None:
        text, at = self._text, self._at
        char = text[at]
        if char == _ESCAPE[self._dialect] and (self._dialect is not Dialect.POSIX or char == "\\"):
            self._escaped()
        elif char == "'" and self._dialect is not Dialect.CMD:
            self._single_quoted()
        elif char == '"':
            self._double_quoted()
        elif char == "`":
            self._backquoted()
        elif plain := _PLAIN[self._dialect].match(text, at):
            self._plain(plain[0])
            self._at = plain.end()
        else:
            self._add(Literal(char))
            self._at += 1

    def _plain(self, text: str) -> None:
        if not text.isascii():
            option = None if self._in_word else _OPTION.match(text)
            if option:  # `-n`, but `--namespace`
                text = ("-" if len(option[1]) == 1 else "--") + text[option.start(1) :]
            text = text.translate(_TO_HYPHEN)
        self._add(Literal(text))

    def _escaped(self) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        # A path of Windows in a line that is otherwise like a POSIX shell's: C:\bin\kubectl.exe
        before = "".join(one.text for one in self._parts[:3] if isinstance(one, Literal))
        is_path = re.match(r"[A-Za-z]:|\\\\|\.{1,2}\\|\.{1,2}$", before)
        if self._dialect is Dialect.POSIX and is_path and re.match(r"[\w.]", following):
            self._add(Literal("\\" + following))
        elif following == "\n":
            pass  # a continuation
        elif following:
            self._add(Literal(following, quoted=True))
        else:
            self._add(Literal(self._text[self._at]))
        self._at += 2

    def _single_quoted(self) -> None:
        start = self._at + 1
        end = self._text.find("'", start)
        if end < 0:
            self._add(Literal("'"))
            self._at = start
            return
        self._add_quoted(self._text[start:end])
        self._at = end + 1

    def _add_quoted(self, text: str) -> None:
        for part in literal_word(text).parts:
            self._add(part)

    def _double_quoted(self) -> None:
        """Read up to the closing quote; expansions keep their own quotes."""
        text, start = self._text, self._at
        escape = {Dialect.POSIX: "\\", Dialect.POWERSHELL: "`"}.get(self._dialect, "")
        parts: list[Literal | Expansion] = []
        at = start + 1
        while at < len(text) and '"' not in self._unclosed:
            char = text[at]
            if char == '"':
                self._parts += parts or [Literal("", quoted=True)]
                self._in_word = True
                self._at = at + 1
                return
            if run := _IN_DOUBLE.match(text, at):
                parts.append(Literal(run[0], quoted=True))
                at = run.end()
            elif char == escape and at + 1 < len(text):
                kept = "" if text[at + 1] in '$`"\\\n' or escape == "`" else char
                parts.append(Literal(kept + text[at + 1].strip("\n"), quoted=True))
                at += 2
            elif found := self._find_expansion(at):
                parts.append(found)
                at += len(found.raw)
            else:
                parts.append(Literal(char, quoted=True))
                at += 1
        self._unclosed.add('"')
        self._add(Literal('"'))
        self._at = start + 1

    def _backquoted(self) -> None:
        if self._text.startswith("``", self._at):  # begin or end of code in Markdown
            self._end_command()
            self._at += 2
            return
        found = self._find_expansion(self._at)
        if found is None:
            self._add(Literal("`"))
            self._at += 1
        else:
            self._add(found)
            self._at += len(found.raw)

    # Expansions -----------------------------------------------------------------------------

    def _expand(self) -> bool:
        if self._text[self._at] not in "$%{<!#":
            return False
        found = self._find_expansion(self._at)
        if found is None:
            return False
        self._add(found)
        self._at += len(found.raw)
        return True

    def _find_expansion(self, at: int) -> Expansion | None:
        text = self._text
        match = _EXPANSION.match(text, at)
        is_block = self._dialect is Dialect.POWERSHELL and match and match["brace"]
        if match and not is_block:
            return _expansion(match)
        if self._dialect is Dialect.CMD and (delayed := re.compile(r"!(\w+)!").match(text, at)):
            return Expansion(delayed[0], delayed[1])
        end, script = -1, ""
        if text.startswith("$(", at) or text.startswith("${", at):
            closing = ")" if text[at + 1] == "(" else "}"
            end = self._find_end(at + 2, text[at + 1], closing)
            script = text[at + 2 : end - 1] if closing == ")" else ""
            if end < 0:
                return Expansion(text[at : at + 2], text[at : at + 2] + "…")
        elif text[at] == "`" and self._dialect is Dialect.POSIX and "`" not in self._unclosed:
            end = text.find("`", at + 1) + 1
            if not end:
                self._unclosed.add("`")
                return None
            script = text[at + 1 : end - 1]
        if end < 0:
            return None
        raw = text[at:end]
        name = raw if len(raw) <= _MAX_NAME else raw[: _MAX_NAME - 1] + "…"
        return Expansion(raw, name, None, script.strip())

    def _find_end(self, at: int, opening: str, closing: str) -> int:
        """Return the position behind the closing bracket, or -1."""
        if opening in self._unclosed:
            return -1
        depth, quote = 1, ""
        for position in range(at, len(self._text)):
            char = self._text[position]
            if quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char == opening:
                depth += 1
            elif char == closing:
                depth -= 1
                if not depth:
                    return position + 1
        self._unclosed.add(opening)
        return -1
