"""YAML as kubectl reads it: `sigs.k8s.io/yaml`, which is go-yaml 2 turned into JSON. No I/O.

Only the first document counts, what follows is not parsed. Of the same key twice the last value
counts. Unquoted scalars are those of YAML 1.1 without numbers of base 60, and dates are strings.
Problems never quote the document, which may be secret.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import math
import re
from typing import Any, Final

from tui_forward.common.bounded_yaml import YamlLimitError, YamlLimits, safe_loader

_TAG: Final = "tag:yaml.org,2002:"
_CONSTANTS: Final[dict[str, bool | float | None]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE"), True),
    **dict.fromkeys(("on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE"), False),
    **dict.fromkeys(("off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER: Final = re.compile(
    r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))", re.ASCII
)
_BASES: Final = (16, 2, 8, 10)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_ESCAPED_SLASH: Final = re.compile(r"(?<!\\)(?:\\\\)*\\/")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}", re.ASCII)
# Digits of 2^64 in base 2 with room for leading zeros; a longer text is no integer of 64 bits.
_MAX_DIGITS: Final = 128
_QUOTED: Final = re.compile(r"(['\"]).{3,}\1")


class GoYamlError(Exception):
    """Text that is not accepted; line and column are counted from 1, 0 if unknown.

    With `is_syntax` it is no YAML at all.
    """

    def __init__(
        self, problem: str, line: int = 0, column: int = 0, *, is_syntax: bool = False
    ) -> None:
        super().__init__(problem)
        self.is_syntax = is_syntax
        self.problem = problem
        self.line = line
        self.column = column


class Node:
    """A value in the text, with its position.

    Line and column are counted from 0, start and end in characters of the text.
    """

    __slots__ = (
        "column",
        "end",
        "is_flow",
        "items",
        "line",
        "pairs",
        "plain",
        "start",
        "tag",
        "text",
    )

    def __init__(self, event: Any) -> None:
        self.text: str | None = getattr(event, "value", None)  # None of a list or mapping
        self.items: list[Node] = []  # of a list
        self.pairs: list[tuple[Node, Node]] | None = None  # of a mapping
        self.tag: str = getattr(event, "tag", None) or ""
        # Without quotes and tag: the text decides the type.
        self.plain = self.text is not None and bool(event.implicit[0]) and not self.tag
        self.is_flow = bool(getattr(event, "flow_style", False))
        self.line: int = event.start_mark.line
        self.column: int = event.start_mark.column
        self.start: int = event.start_mark.index
        self.end: int = event.end_mark.index

    def child(self, key: str) -> Node | None:
        """Return the value of a key, the last one if the key is there twice."""
        found = [value for name, value in self.pairs or () if name.text == key]
        return found[-1] if found else None


def compose(content: bytes) -> Node | None:
    """Return the first document; None if there is none. GoYamlError: it is not YAML."""
    import yaml

    limits, builder = YamlLimits(), _Builder()
    # Most files have no `\/`, and need no second text.
    text = _decode(content) if b"\\/" in content.replace(b"\0", b"") else ""
    events = yaml.parse(content, Loader=safe_loader())
    try:
        for event in events:
            limits.add(event)
            _check_version(event)
            if text:
                _check_escapes(event, text)
            builder.add(event)
            if isinstance(event, yaml.DocumentEndEvent):
                break
    except YamlLimitError as error:
        raise GoYamlError(error.problem, error.line, error.column) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # `problem` describes the grammar and may quote a word; str(error) quotes lines.
        problem = _QUOTED.sub("…", error.problem or "syntax error")
        position = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise GoYamlError(problem, *position, is_syntax=True) from None
    except yaml.reader.ReaderError as error:
        line = content[: error.position].count(b"\n") + 1
        raise GoYamlError(f"{error.reason}", line, is_syntax=True) from None
    except (yaml.YAMLError, ValueError) as error:
        raise GoYamlError(type(error).__name__, is_syntax=True) from None
    finally:
        events.close()  # type: ignore[attr-defined]
    return builder.root


def _decode(content: bytes) -> str:
    """Return the text in which the parser counts characters; empty if it cannot be decoded."""
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        return ""


def _check_version(event: Any) -> None:
    """Raise GoYamlError for a document that says it is not YAML 1.1."""
    if getattr(event, "version", None) not in {None, (1, 1)}:
        mark = event.start_mark
        raise GoYamlError("it is of another version than 1.1", mark.line + 1, is_syntax=True)


def _check_escapes(event: Any, text: str) -> None:
    """Raise GoYamlError for an escaped slash, which go-yaml does not know, although JSON does."""
    if getattr(event, "style", None) != '"':
        return
    start, end = event.start_mark, event.end_mark
    if _ESCAPED_SLASH.search(text, start.index, end.index):
        problem = "found unknown escape character"
        raise GoYamlError(problem, start.line + 1, start.column + 1, is_syntax=True)


class _Builder:
    """Builder of the nodes of one document, without recursion."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._keys: list[Node | None] = []  # per open mapping, the key whose value is next
        self._anchors: dict[str, Node] = {}

    def add(self, event: Any) -> None:
        """Process one event; the limits have been checked."""
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self._put(self._node(event))
        elif kind == "AliasEvent":
            self._put(self._anchors[str(event.anchor)])
        elif kind in {"MappingStartEvent", "SequenceStartEvent"}:
            node = self._node(event)
            if kind == "MappingStartEvent":
                node.pairs = []
            self._open.append(node)
            self._keys.append(None)
        elif kind in {"MappingEndEvent", "SequenceEndEvent"}:
            node = self._open.pop()
            node.end = event.end_mark.index
            self._keys.pop()
            self._put(node)

    def _node(self, event: Any) -> Node:
        node = Node(event)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _put(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if parent.pairs is None:
            parent.items.append(node)
        elif (key := self._keys[-1]) is None:
            self._keys[-1] = node
        else:
            self._keys[-1] = None
            parent.pairs.append((key, node))


def to_value(node: Node) -> object:
    """Return the JSON value of a node: dict, list, str, int, float, bool or None.

    GoYamlError: it cannot be JSON.
    """
    try:
        return _value(node)
    except RecursionError:
        raise _error(node, "aliases of aliases are nested too deep") from None


def _value(node: Node) -> object:
    if node.text is not None:
        return _scalar(node, node.text)
    if node.pairs is None:
        return [_value(item) for item in node.items]
    return _mapping(node)


def _mapping(node: Node) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in node.pairs or ():
        if key.text == "<<" and (key.plain or key.tag == f"{_TAG}merge"):
            # In order: what is merged replaces keys before it, and is replaced by keys after it.
            for source in _merged(value):
                result.update(_mapping(source))
        else:
            result[_key(key)] = _value(value)
    return result


def _merged(node: Node) -> list[Node]:
    """Return the mappings that `<<` stands for, those that win last."""
    sources = [node] if node.pairs is not None or node.text is not None else node.items[::-1]
    if any(source.pairs is None for source in sources):
        raise _error(node, "`<<` stands for neither a mapping nor a list of mappings")
    return sources


def _key(node: Node) -> str:
    value = _scalar(node, node.text) if node.text is not None else None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        raise _error(node, "the key of a mapping is no text")
    return str(value)


def _scalar(node: Node, text: str) -> str | int | float | bool | None:
    if not node.tag and not node.plain:
        return text
    tag = node.tag.removeprefix(_TAG)
    if tag == "binary":
        try:
            return base64.b64decode(text.replace("\n", ""), validate=True).decode(
                "utf-8", "replace"
            )
        except (binascii.Error, ValueError):
            raise _error(node, "`!!binary` stands before a text that is not base64") from None
    if node.tag and tag not in {"bool", "int", "float", "null", "timestamp"}:
        return text
    value = resolve(text)
    if tag and not _is_tagged(tag, value):
        raise _error(node, f"`!!{tag}` stands before another kind of value")
    if isinstance(value, float) and not math.isfinite(value):
        raise _error(node, "a number is infinite, or not a number")
    return value


def _is_tagged(tag: str, value: object) -> bool:
    """Whether a value may have a tag."""
    if tag == "null":
        return value is None
    if tag == "timestamp":
        return isinstance(value, str) and _DATE.match(value) is not None
    if tag == "bool":
        return isinstance(value, bool)
    kinds: tuple[type, ...] = (int,) if tag == "int" else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool)


def resolve(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar stands for."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    first = text[0]
    if first == ".":
        return _float(text) if _FLOAT.fullmatch(text) else text
    if not ("0" <= first <= "9" or first in "+-"):
        return text
    digits = text.replace("_", "")
    if match := _INTEGER.fullmatch(digits):
        value = _integer(match)
        if value is not None:
            return value
    return _float(digits, text) if _FLOAT.fullmatch(digits) else text


def _integer(match: re.Match[str]) -> int | None:
    """Return an integer of 64 bits; None if it has more."""
    sign = match[1]
    number, base = next(
        (match[group], base) for group, base in enumerate(_BASES, 2) if match[group]
    )
    if len(number) > _MAX_DIGITS:
        return None
    value = int(number, base)
    if value < 2**63 or (not sign and value < 2**64) or (sign == "-" and value == 2**63):
        return -value if sign == "-" else value
    return None


def _float(digits: str, otherwise: str = "") -> float | str:
    """Return a number; the text itself if it is too large for one."""
    value = float(digits)
    return value if math.isfinite(value) else otherwise or digits


def _error(node: Node, problem: str) -> GoYamlError:
    return GoYamlError(problem, node.line + 1, node.column + 1)
