"""Commands in a text of any kind: scripts, histories, Makefiles, Markdown, prose, pastes. Pure.

A text is read line by line, since most are not one program of one shell: lines whose end continues
them are joined, and each is lexed on its own. So an apostrophe in a sentence or a broken line
cannot hide what follows. Quoted words, command substitutions, comments and the bodies of heredocs
are searched in the same way.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tui_forward.common.kubectl_command import MAX_LINE_LENGTH
from tui_forward.profiles.importers.command_reader import (
    CommandOrigin,
    CommandReader,
    ReadOptions,
    is_shell,
    prints_text,
    remote_program,
)
from tui_forward.profiles.importers.findings import (
    Findings,
    NotThisFormatError,
    Place,
    Remark,
    RemarkCode,
)
from tui_forward.profiles.importers.shell_lexer import (
    DASHES,
    Dialect,
    Expansion,
    LexedLine,
    Literal,
    Word,
    lex,
    literal_word,
    normalize_typography,
)
from tui_forward.profiles.importers.shell_scope import CHANGES, Scope
from tui_forward.profiles.importers.source_text import SourceText

MENTION: Final = re.compile(
    rf"port[-{DASHES}]forward(?![a-z])|tui-forward\s+forward(?![a-z])", re.IGNORECASE
)
MAX_COMMANDS: Final = 5_000
_MAX_LEXED: Final = 20_000  # lines that are lexed, also for what they set
_MAX_DEPTH: Final = 4
_MAX_JOINED: Final = 1_000  # lines of one command
# End of a line that goes on: of POSIX shells, of PowerShell, of cmd.
_CONTINUED: Final = re.compile(r"(?:\\+|(?<=[ \t])`|(?<![\^])\^)[ \t]*$")
_PROMPT: Final = re.compile(r"^\s*(?:PS[ ]|[A-Za-z]:\\)(?:(?!kubectl)[^>\n]){0,200}>+\s*")
_HTML: Final = re.compile(
    r"</?(?:code|pre|b|i|em|strong|p|li|ul|ol|a|kbd|samp|tt|td|tr|th|br|div|span)\b[^<>]{0,200}>"
    r"|\{(?:code|noformat|quote|panel)(?::[^{}\n]{0,100})?\}",
    re.IGNORECASE,
)
_COMMENT_LINE: Final = re.compile(r"^\s*(?:#|//|<!--|(?i:rem\b)|::)")
_KUBECTL: Final = re.compile(r"(?<![\w-])(?:kubectl|kubecolor|oc|tui-forward)(?![\w-])")
_POWERSHELL: Final = re.compile(
    r"\$env:|^\s*PS\b[^>]*>|\bStart-(?:Process|Job|ThreadJob)\b|-ScriptBlock\b|^\s*&\s+[\"'$]",
    re.IGNORECASE,
)
_POWERSHELL_FILE: Final = re.compile(
    r"^\s*(?:param\s*\(|\$\w+\s*=\s|function\s+\w+-\w+|Write-Host\b|Start-(?:Process|Job)\b)",
    re.MULTILINE,
)
_CMD: Final = re.compile(
    r"^\s*[A-Za-z]:\\[^>]*>|%[A-Za-z_]\w*%|^\s*@?(?:start|call)\s|\bcmd(?:\.exe)?\s+/[ckCK]\b",
    re.IGNORECASE,
)
_CMD_FILE: Final = re.compile(r"^\s*(?:@echo\s+off|rem\s|::)", re.MULTILINE | re.IGNORECASE)
# Arguments as a list: of exec functions, Dockerfiles, editors.
_LIST: Final = re.compile(r"([\"'])(?:[\w./\\-]{0,200}[/\\])?(?:kubectl|oc)(?:\.exe)?\1\s*,\s*")
_LIST_ITEM: Final = re.compile(
    r"\s*[\[(]?\s*(?:[rRfFbBuU]{0,2}\"((?:[^\"\\\n]|\\.)*)\"|[rRfFbBuU]{0,2}'((?:[^'\\\n]|\\.)*)'"
    r"|([A-Za-z_$][\w.$]*(?:\([^()\n]*\))?))\s*(,|\]|\)|\}|;|$)"
)
_MAX_LIST_LENGTH: Final = 4_000
_ARGUMENT_LIST: Final = re.compile(r"^-(?:ArgumentList|Args?)$", re.IGNORECASE)
_DELIMITER: Final = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class _LogicalLine:
    """Lines joined by continuations; numbers count from 1."""

    first: int
    last: int
    text: str
    dialect: Dialect | None  # that its continuations belong to


@dataclass(frozen=True, slots=True)
class _Heredoc:
    """Text up to a delimiter, and what becomes of it."""

    delimiter: str
    origin: CommandOrigin


def read_command_text(source: SourceText, options: ReadOptions) -> Findings:
    """Return the forwards of all commands of a text; NotThisFormatError if it has none."""
    if not MENTION.search(source.text):
        raise NotThisFormatError("it mentions no `kubectl port-forward`")
    return CommandTextReader(options, source.text).read(source.lines, CommandOrigin(line=1))


class CommandTextReader:
    """Reader of the commands in lines of a text."""

    def __init__(self, options: ReadOptions, whole_text: str) -> None:
        self._reader = CommandReader(options, whole_text)
        self._commands = 0
        self._lexed = 0
        head = whole_text[:65536]
        self._file_dialect = Dialect.POSIX
        if _CMD_FILE.search(head):
            self._file_dialect = Dialect.CMD
        elif _POWERSHELL_FILE.search(head):
            self._file_dialect = Dialect.POWERSHELL

    def read(
        self, lines: Sequence[str], origin: CommandOrigin, *, is_block: bool = True,
        scope: Scope | None = None, depth: int = 0,
    ) -> Findings:  # fmt: skip
        """Return what lines hold, the first of which is that of `origin`.

        `is_block` says that they are lines of the file, so that each has its own number.
        """
        findings, scope = Findings(), scope if scope is not None else Scope()
        last_lines = _last_lines(lines) if any("<<" in line for line in lines) else {}
        heredoc: _Heredoc | None = None
        outer = scope
        is_makefile = depth == 0 and any(line.startswith("\t") for line in lines)
        for line in _join_lines(lines):
            number = origin.line + line.first - 1 if is_block else origin.line
            here = replace(origin, line=number)
            if heredoc is not None:
                if line.text.strip() == heredoc.delimiter:
                    heredoc, scope = None, outer
                    continue
                here = replace(heredoc.origin, line=number)
            is_mention = MENTION.search(line.text) is not None
            if not (is_mention or CHANGES.search(line.text)
                    or ("<<" in line.text and heredoc is None)):  # fmt: skip
                continue
            self._lexed += 1
            if self._lexed > _MAX_LEXED:
                findings.leave_out(RemarkCode.TOO_MANY, number, value=f"{_MAX_LEXED} lines")
                return findings
            if is_mention:
                findings.lines.update(range(number, number + line.last - line.first + 1))
                self._commands += 1
                if self._commands > MAX_COMMANDS:
                    findings.leave_out(
                        RemarkCode.TOO_MANY, number, value=f"{MAX_COMMANDS} commands"
                    )
                    return findings
            if len(line.text) > MAX_LINE_LENGTH:
                if is_mention:
                    findings.leave_out(
                        RemarkCode.TOO_LONG, number, origin.label, value=str(MAX_LINE_LENGTH)
                    )
                continue
            # Each line of a recipe has a shell of its own.
            own = scope.copy() if is_makefile and line.text.startswith("\t") else scope
            found, lexed = self._line(line, here, own, depth)
            if own is not scope:
                scope.context, scope.namespace = own.context, own.namespace
            if is_mention and not (found.forwards or found.remarks):
                found.remarks.append(_not_read(line.text, here))
            findings.add(found)
            start = _heredoc(lexed, here) if heredoc is None else None
            if start is not None and last_lines.get(start.delimiter, 0) > line.last:
                heredoc, outer, scope = start, scope, scope.copy()
        return findings

    # One line -------------------------------------------------------------------------------

    def _line(
        self, line: _LogicalLine, origin: CommandOrigin, scope: Scope, depth: int
    ) -> tuple[Findings, LexedLine]:
        text = normalize_typography(line.text)
        if "<" in text or "{" in text:
            text = _HTML.sub(" ", text)
        if "&" in text and ";" in text and re.search(r"&(?:amp|gt|lt|quot|nbsp|#\d+);", text):
            text = normalize_typography(html.unescape(text))
        if _COMMENT_LINE.match(text) and not text.lstrip().startswith("#"):
            origin = replace(origin, place=Place.TEXT)
        if (listed := self._argument_list(text, origin, scope)) is not None:
            return listed, LexedLine()
        dialect = line.dialect or self._file_dialect
        if line.dialect is None:
            if _POWERSHELL.search(text):
                dialect = Dialect.POWERSHELL
            elif _CMD.search(text):
                dialect = Dialect.CMD
        text = _PROMPT.sub("", text)
        lexed = lex(text, dialect)
        before = scope.copy()
        found = self._commands_of(lexed, origin, scope, depth)
        if dialect is not Dialect.POSIX and not found.forwards:
            other = self._commands_of(lex(text), origin, before, depth)
            if other.forwards:
                return other, lexed
        return found, lexed

    def _commands_of(
        self, lexed: LexedLine, origin: CommandOrigin, scope: Scope, depth: int
    ) -> Findings:
        found = Findings()
        for command in lexed.commands:
            words = self._without_redirections(command, scope)
            scope.follow(words, origin.line)
            program = self._reader.find(words, scope)
            place = origin
            if words and prints_text(words[0].text.lstrip("@-")):
                place = replace(origin, place=Place.TEXT)
            if program is not None:
                found.add(self._reader.read(words, program, scope, place))
            elif (started := self._started_process(words)) is not None:
                at = self._reader.find(started, scope)
                if at is not None:
                    found.add(self._reader.read(started, at, scope, place))
            elif depth < _MAX_DEPTH:
                place = replace(place, remote=place.remote or remote_program(words))
                for word in words:
                    found.add(self._nested(word, place, scope, depth))
        for comment in lexed.comments:
            if depth < _MAX_DEPTH and MENTION.search(comment):
                inner = replace(origin, place=Place.TEXT)
                found.add(self._inner([comment], inner, scope, depth))
        return found

    def _without_redirections(self, command: Sequence[Word], scope: Scope) -> list[Word]:
        """Return the words of a command, from `kubectl` on if that follows a `>`, a prompt."""
        start = 0
        for at, word in enumerate(command):
            if word.redirect and self._reader.find([replace(word, redirect=""),
                                                    *command[at + 1 :]], scope) == 0:  # fmt: skip
                start = at
        return [replace(one, redirect="") if at == start else one
                for at, one in enumerate(command)
                if at >= start and (at == start or not one.redirect)]  # fmt: skip

    def _nested(self, word: Word, origin: CommandOrigin, scope: Scope, depth: int) -> Findings:
        """Return the commands within a quoted word, or a command substitution."""
        found = Findings()
        if not MENTION.search(word.text):
            return found
        for expansion in word.expansions:
            # `{{kubectl …}}` is inline code of some wikis.
            script = expansion.script or expansion.raw.strip("{}")
            if MENTION.search(script):
                found.add(self._inner([script], origin, scope, depth))
        if found.forwards or found.remarks or not word.is_quoted:
            return found
        parts = list(word.parts)
        while isinstance(parts[0], Literal) and not parts[0].quoted:
            del parts[0]  # pf='kubectl …'
        text = Word(tuple(parts)).text
        if not re.search(r"\s", text):
            return found
        found.add(self._inner(text.split("\n"), origin, scope, depth))
        return found

    def _inner(
        self, lines: Sequence[str], origin: CommandOrigin, scope: Scope, depth: int
    ) -> Findings:
        """Return what a part of a line holds; a mere mention is judged with the whole line."""
        found = self.read(lines, origin, is_block=False, scope=scope.copy(), depth=depth + 1)
        found.remarks = [one for one in found.remarks if one.code is not RemarkCode.MENTION]
        return found

    # Arguments as a list --------------------------------------------------------------------

    def _argument_list(self, text: str, origin: CommandOrigin, scope: Scope) -> Findings | None:
        """Return the commands of `["kubectl", "port-forward", …]`; None if there are none."""
        found: Findings | None = None
        for match in _LIST.finditer(text):
            words = [Word((Literal("kubectl"),))]
            at, end = match.end(), min(len(text), match.end() + _MAX_LIST_LENGTH)
            while item := _LIST_ITEM.match(text, at, end):
                quoted = item[1] if item[1] is not None else item[2]
                if quoted is not None:
                    words.append(literal_word(re.sub(r"\\(.)", r"\1", quoted)))
                else:
                    words.append(Word((Expansion(item[3], item[3]),)))
                at = item.end()
                if item[4] != ",":
                    break
            if self._reader.find(words, scope) is None:
                continue
            found = found or Findings()
            found.add(self._reader.read(words, 0, scope, origin))
        return found

    def _started_process(self, words: Sequence[Word]) -> list[Word] | None:
        """Return the command of PowerShell's `Start-Process kubectl -ArgumentList …`."""
        names = [one.text for one in words]
        if not names or names[0].lower() not in ("start-process", "saps", "start"):
            return None
        at = next((at for at, text in enumerate(names) if _ARGUMENT_LIST.match(text)), None)
        program = next((one for one in words[1:] if not one.text.startswith("-")), None)
        if at is None or program is None:
            return None
        arguments: list[str] = []
        for word in words[at + 1 :]:
            if word.text.startswith("-") and not word.is_quoted:
                break
            arguments.append(word.text.strip("@(),"))
        # Joined with blanks by PowerShell itself; elements of a list have commas between them.
        text = re.sub(r"(?<=\S),(?=\S)", " ", " ".join(arguments))
        commands = lex(text).commands
        return [program, *commands[0]] if commands else None


def _join_lines(lines: Sequence[str]) -> Iterator[_LogicalLine]:
    """Yield lines, joined where a line goes on in the next one."""
    at = 0
    while at < len(lines):
        first, line = at, lines[at]
        match = _CONTINUED.search(line)
        at += 1
        if match is None:
            yield _LogicalLine(first + 1, first + 1, line, None)
            continue
        begin = line.lstrip()
        # A comment of a script ends with its line; in a text that shows commands it goes on.
        is_comment = begin.startswith("#")
        if is_comment and not _KUBECTL.search(begin):
            yield _LogicalLine(first + 1, first + 1, line, None)
            continue
        mark = match[0].strip()
        dialect = {"`": Dialect.POWERSHELL, "^": Dialect.CMD}.get(mark)
        parts, length = [line[: match.start()]], len(line)
        while match is not None and at < len(lines) and length <= MAX_LINE_LENGTH:
            following = _without_marks(lines[at], begin)
            at += 1
            match = _CONTINUED.search(following)
            length += len(following)
            parts.append(following[: match.start()] if match else following)
            if at - first > _MAX_JOINED:
                break
        yield _LogicalLine(first + 1, at, " ".join(parts), dialect)


def _without_marks(line: str, begin: str) -> str:
    """Return a continuation line without comment sign, quotation mark or second prompt."""
    stripped = line.strip()
    if begin.startswith("#") and stripped.startswith("#"):
        return stripped.lstrip("#").strip()
    if begin.startswith(">") and stripped.startswith(">"):
        return stripped.lstrip(">").strip()
    prompt = re.match(r"(?:>{1,2}|More\?)[ \t]+(?![/&]|\S+\.log)", line)
    return line[prompt.end() :] if prompt else stripped


def _last_lines(lines: Sequence[str]) -> dict[str, int]:
    """Return the number of the last line with each text that can end a heredoc."""
    return {
        stripped: number
        for number, line in enumerate(lines, 1)
        if len(line) < 100 and _DELIMITER.fullmatch(stripped := line.strip())
    }


def _heredoc(lexed: LexedLine, origin: CommandOrigin) -> _Heredoc | None:
    for command in lexed.commands:
        words = [one for one in command if not one.redirect]
        for word in command:
            if word.redirect.lstrip("0123456789") not in ("<<", "<<-"):
                continue
            if not _DELIMITER.fullmatch(word.text):
                continue
            remote = origin.remote or remote_program(words)
            runs = remote or any(is_shell(one.text) for one in words)
            place = origin.place if runs else Place.TEXT
            return _Heredoc(word.text, replace(origin, place=place, remote=remote))
    return None


def _not_read(text: str, origin: CommandOrigin) -> Remark:
    code = RemarkCode.NOT_UNDERSTOOD if _KUBECTL.search(text) else RemarkCode.MENTION
    return Remark(code=code, line=origin.line, label=origin.label, value=text.strip(),
                  place=origin.place)  # fmt: skip
