"""What earlier commands of a text set for later ones: kubeconfig, context, namespace, aliases.

Pure. A script that chooses a cluster first would otherwise be imported against another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tui_forward.profiles.importers.cluster_tools import CHOOSES_CONTEXT, chosen_context
from tui_forward.profiles.importers.shell_lexer import Expansion, Literal, Word, lex

_SETTERS: Final = frozenset({"export", "set", "setx", "declare", "typeset", "local", "readonly",
                             "ENV", "ARG", "env", "let"})  # fmt: skip
_ASSIGNS: Final = frozenset({"=", ":=", "?=", "::=", ":::=", "+="})
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
# A line that may change the scope, so that the others need not be lexed.
CHANGES: Final = re.compile(
    r"KUBECONFIG|\b(?:use-context|set-context|kubectx|kubens)\b|\boc project\b|\balias\b"
    rf"|\b(?:{CHOOSES_CONTEXT})\b"
)
_MAX_LOOKUPS: Final = 200
_MAX_ALIASES: Final = 200
_VALUE_LENGTH: Final = 1000


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that a line has set."""

    word: Word
    line: int


@dataclass(slots=True)
class Scope:
    """Settings in force at one place of the text."""

    kubeconfig: Setting | None = None
    context: Setting | None = None
    namespace: Setting | None = None
    aliases: dict[str, list[Word]] = field(default_factory=dict)

    def copy(self) -> Scope:
        """Return a scope that can change on its own."""
        return Scope(self.kubeconfig, self.context, self.namespace, dict(self.aliases))

    def follow(self, words: Sequence[Word], line: int) -> None:
        """Apply a command that sets something."""
        texts = [one.text for one in words]
        if not texts:
            return
        if (value := _kubeconfig_value(words, texts)) is not None:
            self.kubeconfig = Setting(value, line) if value.text else None
        elif texts[0] == "unset" and "KUBECONFIG" in texts:
            self.kubeconfig = None
        elif texts[0] == "alias":
            self._add_aliases(words[1:])
        else:
            self._follow_kubectl(words, texts, line)

    def _add_aliases(self, words: Sequence[Word]) -> None:
        for word in words:
            match = _ASSIGNMENT.fullmatch(word.text)
            if len(self.aliases) == _MAX_ALIASES:
                return
            if match and "port-forward" not in match[2]:
                commands = lex(match[2]).commands
                if commands:
                    self.aliases[match[1]] = commands[0]

    def _follow_kubectl(self, words: Sequence[Word], texts: list[str], line: int) -> None:
        chosen = next((at for at, text in enumerate(texts[:-1]) if text == "use-context"), None)
        if chosen is None and texts[0] == "kubectx" and len(texts) == 2:
            chosen = 0
        if (word := chosen_context(words)) is not None:
            self.context, self.namespace = Setting(word, line), None
        elif chosen is not None and not texts[chosen + 1].startswith("-"):
            self.context, self.namespace = Setting(words[chosen + 1], line), None
        elif texts[0] == "kubens" and len(texts) == 2 and not texts[1].startswith("-"):
            self.namespace = Setting(words[1], line)
        elif texts[:2] == ["oc", "project"] and len(texts) == 3:
            self.namespace = Setting(words[2], line)
        elif "set-context" in texts and "--current" in texts:
            for at, text in enumerate(texts):
                if text in ("--namespace", "-n") and at + 1 < len(words):
                    self.namespace = Setting(words[at + 1], line)
                elif text.startswith("--namespace="):
                    self.namespace = Setting(_behind(words[at], len("--namespace=")), line)


def _kubeconfig_value(words: Sequence[Word], texts: list[str]) -> Word | None:
    """Return what a command sets KUBECONFIG to, empty to unset it; None if it does not."""
    start = 0
    while start < len(texts) - 1 and (texts[start] in _SETTERS or texts[start].startswith("-")):
        start += 1
    if texts[0].startswith("Environment=KUBECONFIG="):  # of a systemd unit
        return _behind(words[0], len("Environment=KUBECONFIG="))
    first = texts[start].lstrip("@")
    name, equals, _ = first.partition("=")
    name = name.rstrip(":?+").removeprefix("$env:").removeprefix("Env:")
    if name != "KUBECONFIG" or (not equals and first.endswith("=")):
        return None
    if equals:
        value = _behind(words[start], len(texts[start]) - len(first) + first.index("=") + 1)
        following = words[start + 1 :]
        is_assignment = start > 0 or all(_ASSIGNMENT.fullmatch(one.text) for one in following)
        if not value.text and first.startswith("$env:") and following:
            return following[0]  # $env:KUBECONFIG= "x"
        return value if is_assignment or first.startswith("$env:") else None
    rest = words[start + 1 :]
    if first.endswith(":"):  # YAML
        return rest[0] if rest else None
    if rest and rest[0].text in _ASSIGNS:
        return rest[1] if len(rest) > 1 else Word((Literal(""),))
    return rest[0] if rest and start > 0 else None  # of fish, csh and Dockerfiles


def _behind(word: Word, length: int) -> Word:
    """Return the word without its first characters."""
    parts: list[Literal | Expansion] = []
    for one in word.parts:
        text = one.text if isinstance(one, Literal) else one.raw
        if length >= len(text):
            length -= len(text)
        elif length and isinstance(one, Literal):
            parts.append(Literal(one.text[length:], one.quoted))
            length = 0
        else:
            parts.append(one)
            length = 0
    return Word(tuple(parts) or (Literal(""),))


def split_assignment(word: Word) -> tuple[str, Word] | None:
    """Return name and value of `NAME=value`; None for any other word."""
    first = word.parts[0] if word.parts else None
    if not isinstance(first, Literal) or first.quoted:
        return None
    match = _ASSIGNMENT.match(first.text.lstrip("@"))
    if match is None:
        return None
    return match[1], _behind(word, first.text.index("=") + 1)


class Assignments:
    """Variables as the text itself sets them, wherever it does."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: dict[str, list[Word]] = {}

    def words(self, name: str) -> list[Word]:
        """Return the words of the first value; empty if the text does not set it."""
        if name not in self._found and len(self._found) < _MAX_LOOKUPS:
            self._found[name] = next(self._search(name), [])
        return self._found.get(name, [])

    def _search(self, name: str) -> Iterator[list[Word]]:
        if not re.fullmatch(r"\w+", name):
            return
        pattern = (
            r"^[ \t]*(?:[-*$%>#❯➜@][ \t]*)*(?:(?:export|local|readonly|declare|typeset|set|setx|let"
            r"|ENV|ARG)[ \t]+(?:-\w+[ \t]+)*)?[\"']?(?:\$(?:env:)?)?" + name +
            r"[\"']?[ \t]*(?:[:?!+]{0,3}=|:[ \t])[ \t]*([^\n]*)"
        )  # fmt: skip
        for match in re.finditer(pattern, self._text, re.MULTILINE):
            commands = lex(match[1][:_VALUE_LENGTH]).commands
            if commands:
                yield commands[0]

    def suggestion(self, name: str) -> str:
        """Return the literal value of a variable; empty if there is none."""
        words = self.words(name)
        return words[0].text if len(words) == 1 and not words[0].expansions else ""
