"""JSON and YAML parsed to values that know their lines. No I/O.

JSON may have comments and trailing commas, as the files of editors have, and may be a sequence of
values, as `jq` prints them. Both are bounded like all YAML of the program (`common.bounded_yaml`).
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tui_forward.common.bounded_yaml import MAX_DEPTH, located_documents
from tui_forward.errors import UsageError

MAX_JSON_NODES: Final = 1_000_000  # `kubectl get pods -A -o json` of a large cluster
_TOKEN: Final = re.compile(
    r"(?:[\s\ufeff]|//[^\n]*|/\*.*?\*/)*"
    r"(?:(?P<string>\")|(?P<other>[^\s\"{}\[\],:/]+)|(?P<mark>[{}\[\],:])|(?P<end>\Z))",
    re.DOTALL,
)
_CONSTANTS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}
_NUMBER: Final = re.compile(r"-?\d{1,300}(?:\.\d{1,300})?(?:[eE][-+]?\d{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Node:
    """A value with the lines it stands in.

    `value` is a string, a number, true, false, None, a list of nodes, or a dictionary of strings
    and nodes. `is_block` says that each line of the string is a line of the text, from `line` on.
    """

    value: Any
    line: int
    last_line: int
    is_block: bool = False

    @property
    def items(self) -> list[Node]:
        """Elements of a list; empty for anything else."""
        return self.value if isinstance(self.value, list) else []

    @property
    def fields(self) -> dict[str, Node]:
        """Fields of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    def get(self, key: str) -> Any:
        """Return the plain value of a field; None if there is none."""
        field = self.fields.get(key)
        return None if field is None else field.plain()

    def text_value(self) -> str:
        """Return the value if it is a string, else an empty one."""
        return self.value if isinstance(self.value, str) else ""

    def text(self, key: str) -> str:
        """Return a field as text; empty if it has none, or is empty, false or zero."""
        value = self.get(key)
        return "" if not value or isinstance(value, list | dict) else str(value)

    def plain_text(self) -> str:
        """Return a scalar as text; empty for a list, a mapping and nothing."""
        return "" if self.value is None or isinstance(self.value, list | dict) else str(self.value)

    def plain(self) -> Any:
        """Return the value without lines; recursion is bounded by the depth of the text."""
        if isinstance(self.value, list):
            return [one.plain() for one in self.value]
        if isinstance(self.value, dict):
            return {key: one.plain() for key, one in self.value.items()}
        return self.value


def parse_values(text: str) -> list[Node]:
    """Return the values of JSON or YAML text; UsageError if it is neither."""
    problem: UsageError | None = None
    if text.lstrip()[:1] in ("{", "["):
        try:
            return list(parse_json(text))
        except _JsonLimitError:
            raise
        except UsageError as error:
            problem = error
    try:
        return list(parse_yaml(text))
    except UsageError as error:
        raise problem or error from None


def parse_yaml(text: str) -> Iterator[Node]:
    """Yield the documents of YAML; UsageError if it is invalid or exceeds the limits."""
    for value in located_documents(text, Node):
        if value is not None:
            yield value


class _JsonLimitError(UsageError):
    """The JSON exceeds a limit, so that it is not tried as YAML."""


@dataclass(slots=True)
class _Container:
    """A list or mapping that is not complete."""

    value: Any
    start: int
    key: str | None = None
    # What may follow: a value, or for a mapping a key; else a comma, a colon or the end.
    expects: bool = True


def parse_json(text: str) -> Iterator[Node]:
    """Yield the values of JSON; UsageError if it is invalid or exceeds the limits."""
    newlines = [match.start() for match in re.finditer("\n", text)]
    decoder = json.JSONDecoder(strict=False)
    stack: list[_Container] = []
    at, nodes = 0, 0

    def line_of(position: int) -> int:
        return bisect_left(newlines, position) + 1

    def error(position: int, problem: str) -> UsageError:
        return UsageError(f"cannot parse this JSON: line {line_of(position)}: {problem}")

    while True:
        token = _TOKEN.match(text, at)
        if token is None:
            raise error(at, f"unexpected {text[at : at + 10].strip()!r}")
        kind = token.lastgroup or ""
        start, at = token.start(kind), token.end()
        raw = token[kind]
        if kind == "end":
            break
        top = stack[-1] if stack else None
        is_mapping = top is not None and isinstance(top.value, dict)
        first = start
        value: Any
        if raw in "}]" and kind == "mark":
            if top is None or is_mapping != (raw == "}") or top.key is not None:
                raise error(start, f"unexpected {raw!r}")
            value, first = stack.pop().value, top.start
            top = stack[-1] if stack else None
            is_mapping = top is not None and isinstance(top.value, dict)
        elif raw == "," and kind == "mark":
            if top is None or top.expects or top.key is not None:
                raise error(start, "unexpected ','")
            top.expects = True
            continue
        elif raw == ":" and kind == "mark":
            if top is None or top.key is None or top.expects:
                raise error(start, "unexpected ':'")
            top.expects = True
            continue
        elif top is not None and not top.expects:
            raise error(start, f"unexpected {raw[:20]!r}")
        elif kind == "string":
            try:
                value, at = decoder.raw_decode(text, start)
            except ValueError as cause:
                raise error(start, "a string is not closed or has an invalid escape") from cause
            if is_mapping and top is not None and top.key is None:
                top.key, top.expects = value, False
                continue
        elif is_mapping and top is not None and top.key is None:
            raise error(start, f"{raw[:20]!r} cannot be a key")
        elif kind == "mark":
            if len(stack) == MAX_DEPTH:
                problem = error(start, f"nested deeper than {MAX_DEPTH} levels")
                raise _JsonLimitError(problem.message)
            stack.append(_Container({} if raw == "{" else [], start))
            continue
        else:
            value = _parse_scalar(raw)
            if value is _INVALID:
                raise error(start, f"{raw[:20]!r} is not a value")
        nodes += 1
        if nodes > MAX_JSON_NODES:
            raise _JsonLimitError(error(start, f"more than {MAX_JSON_NODES} values").message)
        line = line_of(first)
        node = Node(value, line, line_of(start) if first != start else line)
        if top is None:
            yield node
        elif is_mapping:
            top.value[top.key] = node
            top.key, top.expects = None, False
        else:
            top.value.append(node)
            top.expects = False
    if stack:
        raise error(len(text), "the text ends within a value")


_INVALID: Final = object()


def _parse_scalar(raw: str) -> Any:
    if raw in _CONSTANTS:
        return _CONSTANTS[raw]
    match = _NUMBER.fullmatch(raw)
    if match is None:
        return _INVALID
    return int(raw) if raw.lstrip("-").isdecimal() else float(raw)
