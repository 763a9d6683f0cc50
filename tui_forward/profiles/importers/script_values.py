"""Commands in values of JSON and YAML: scripts, tasks, containers, workflows. Pure.

`package.json`, VS Code's `tasks.json`, Taskfiles, compose files, CI workflows and manifests differ
in names, but hold a command in one of three forms: text for a shell, a list of arguments, or a
program beside its arguments. An environment beside or above the command applies to it.
"""

from __future__ import annotations

from typing import Final

from tui_forward.common.kubectl_command import is_kubectl
from tui_forward.profiles.importers.command_reader import CommandOrigin, CommandReader, ReadOptions
from tui_forward.profiles.importers.command_text import MENTION, CommandTextReader
from tui_forward.profiles.importers.findings import Findings, NotThisFormatError
from tui_forward.profiles.importers.located_values import Node
from tui_forward.profiles.importers.shell_lexer import Word, lex, literal_word
from tui_forward.profiles.importers.shell_scope import Scope, Setting
from tui_forward.profiles.importers.source_text import SourceText

_PROGRAMS: Final = ("entrypoint", "command", "program", "runtimeExecutable", "executable", "cmd")
_ARGUMENTS: Final = ("command", "args", "arguments", "runtimeArgs")
_ENVIRONMENTS: Final = ("env", "environment")


def read_script_values(source: SourceText, options: ReadOptions) -> Findings:
    """Return the forwards of commands in values; NotThisFormatError if there is no command."""
    values = [one for one in source.values if one.items or one.fields]
    if values and not MENTION.search(source.text):
        raise NotThisFormatError("no value of this JSON or YAML holds a `kubectl port-forward`")
    if not values:
        problem = source.parse_problem or "it has no lists or mappings"
        raise NotThisFormatError(f"not JSON or YAML: {problem}")
    reader = _ValueReader(source, options)
    for value in values:
        reader.read(value)
    if not (reader.findings.forwards or reader.findings.remarks):
        raise NotThisFormatError("no value of this JSON or YAML holds a `kubectl port-forward`")
    return reader.findings


class _ValueReader:
    """Walk over the values of a document."""

    def __init__(self, source: SourceText, options: ReadOptions) -> None:
        self.findings = Findings()
        self._lines = source.lines
        self._texts = CommandTextReader(options, source.text)
        self._reader = CommandReader(options, source.text)

    def read(self, root: Node) -> None:
        """Read a value and those in it."""
        seen: set[int] = set()  # an anchor is read once, however often it is repeated
        rest: list[tuple[Node, Scope, bool]] = [(root, Scope(), False)]
        while rest:
            node, scope, is_prose = rest.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node.value, str):
                self._read_text(node, scope, is_prose=is_prose)
            elif node.items:
                if not self._read_words(_words_of_list(node), node, scope):
                    rest += [(one, scope, is_prose) for one in reversed(node.items)]
            elif node.fields:
                scope = _scope_of(node, scope)
                done = self._read_program(node, scope)
                rest += [(one, scope, " " in str(key))
                         for key, one in reversed(node.fields.items())
                         if not any(one is other for other in done)]  # fmt: skip

    def _read_text(self, node: Node, scope: Scope, *, is_prose: bool) -> None:
        if not MENTION.search(node.value) or not any(map(str.isspace, node.value.strip())):
            return
        self._claim(node)
        lines, line, is_block = node.value.split("\n"), node.line, node.is_block
        if is_block:
            line += 1
        elif is_prose and node.last_line > line:  # lines that YAML would join
            lines, is_block = self._lines[line - 1 : node.last_line], True
        self.findings.add(
            self._texts.read(lines, CommandOrigin(line=line), is_block=is_block, scope=scope.copy())
        )

    def _read_words(self, words: list[Word], node: Node, scope: Scope) -> bool:
        """Read a list of arguments; return whether it is one."""
        program = self._reader.find(words, scope)
        if program is None:
            return False
        self._claim(node)
        self.findings.add(self._reader.read(words, program, scope, CommandOrigin(line=node.line)))
        return True

    def _read_program(self, node: Node, scope: Scope) -> list[Node]:
        """Read a program beside its arguments; return the values that this was."""
        fields = node.fields
        for program_key in (*_PROGRAMS, "image"):
            program = fields.get(program_key)
            if program is None:
                continue
            words = _words_of(program)
            if program_key == "image":
                name = program.text_value().partition("@")[0].rpartition("/")[2].partition(":")[0]
                words = [literal_word(name)] if is_kubectl(name) else []
            if not words:
                continue
            for arguments_key in _ARGUMENTS:
                arguments = fields.get(arguments_key)
                if arguments is None or arguments is program:
                    continue
                more = _words_of(arguments)
                if not any(one.text == "port-forward" for one in more):
                    continue
                where = program if program_key != "image" else arguments
                whole = Node(None, min(where.line, arguments.line),
                             max(where.last_line, arguments.last_line))  # fmt: skip
                if self._read_words([*words, *more], whole, scope):
                    return [program, arguments]
        return []

    def _claim(self, node: Node) -> None:
        self.findings.lines.update(range(node.line, node.last_line + 1))


def _words_of(node: Node) -> list[Word]:
    if node.items:
        return _words_of_list(node)
    if isinstance(node.value, str):
        commands = lex(node.value).commands
        return commands[0] if len(commands) == 1 else []
    return []


def _words_of_list(node: Node) -> list[Word]:
    """Return a list of arguments as words; VS Code writes one with quotes as a mapping."""
    words = []
    for one in node.items:
        value = one.fields["value"].value if "value" in one.fields else one.value
        if not isinstance(value, str | int):
            return []
        words.append(literal_word(str(value)))
    return words


def _scope_of(node: Node, scope: Scope) -> Scope:
    """Return the scope within a mapping that may have an environment."""
    for owner in (node, node.fields.get("options")):
        for key in _ENVIRONMENTS:
            environment = owner.fields.get(key) if owner is not None else None
            if environment is None:
                continue
            value = environment.fields.get("KUBECONFIG")
            text = value.value if value is not None else None
            for one in environment.items:
                if isinstance(one.value, str) and one.value.startswith("KUBECONFIG="):
                    value, text = one, one.value.partition("=")[2]
            if value is not None and isinstance(text, str):
                scope = scope.copy()
                scope.kubeconfig = Setting(literal_word(text), value.line)
    return scope
