"""Forwards of a paste or of a typed line: commands, or arguments without a command. Pure.

Unlike `importer` it reads no files of other programs, and needs no Kubernetes client.
"""

from __future__ import annotations

from typing import Final

from tui_forward.common.kubectl_command import parse_command
from tui_forward.errors import UsageError
from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.command_text import read_command_text
from tui_forward.profiles.importers.findings import (
    Findings,
    FoundForward,
    NotThisFormatError,
    Remark,
    RemarkCode,
)
from tui_forward.profiles.importers.import_result import ImportResult, select_forwards, unread
from tui_forward.profiles.importers.script_values import read_script_values
from tui_forward.profiles.importers.shell_lexer import lex
from tui_forward.profiles.importers.source_text import SourceText

MAX_LENGTH: Final = 64 * 1024


def normalize_paste(text: str) -> str:
    """Return a paste with line ends of one kind, without sequences of terminals; cut if too long.

    Terminals send a carriage return for each character of a line end, two for CR LF.
    """
    text = text[: 2 * MAX_LENGTH]
    if "\n" not in text and "\r" not in text.replace("\r\r", "").rstrip("\r"):
        text = text.replace("\r\r", "\r")
    return SourceText(text).text[: MAX_LENGTH + 1]


def read_paste(text: str, options: ReadOptions, *, bare: bool = False) -> ImportResult:
    """Return the forwards of a paste, which keep their local ports and have no names.

    `bare` also accepts lines of arguments: ``svc/web 8080:80``.
    """
    if len(text) > MAX_LENGTH:
        too_long = Remark(code=RemarkCode.TOO_MANY, line=1, value=f"{MAX_LENGTH >> 10} KiB")
        return ImportResult(left_out=[too_long])
    source, findings = SourceText(normalize_paste(text)), Findings()
    for reader in (read_script_values, read_command_text):
        try:
            findings.add(unread(reader(source, options), findings.lines))
        except NotThisFormatError:
            continue
    is_command = any(remark.code is not RemarkCode.MENTION for remark in findings.remarks) or bool(
        findings.forwards
    )
    if bare and not is_command:
        findings = _read_arguments(source, options)
    return select_forwards(findings, name=False)


def _read_arguments(source: SourceText, options: ReadOptions) -> Findings:
    """Return the forwards of lines of arguments."""
    findings = Findings()
    for number, line in enumerate(source.lines, 1):
        commands = lex(line).commands
        words = [one for one in commands[0] if not one.redirect] if commands else []
        if not words:
            continue
        try:
            specs = parse_command(
                [one.text for one in words], context=options.context, namespace=options.namespace,
                options=options.access, defaults=options.defaults, bare=True,
            )  # fmt: skip
        except UsageError as error:
            findings.leave_out(RemarkCode.INVALID, number, detail=error.message, hint=error.hint)
            continue
        findings.forwards += [FoundForward(line=number, name="", spec=spec) for spec in specs]
    return findings
