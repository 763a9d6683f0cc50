"""Bounded parser of untrusted YAML to plain values. Pure.

The cost is proportional to the length: nesting is bounded, an alias references a value without
copying it, and values merged by `<<` are counted. Text beyond these limits is refused; output
of kubectl and handwritten files stay far below them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from tui_forward.errors import UsageError

_MAX_DEPTH: Final = 100
_MAX_MERGED: Final = 100_000
_INTEGER = re.compile(r"[-+]?\d{1,18}", re.ASCII)
_CONSTANTS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def documents(text: str) -> Iterator[Any]:
    """Yield every document: mappings, lists, strings, integers, true, false and null.

    Raise UsageError if it is not YAML, or exceeds the limits.
    """
    loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _DocumentBuilder()
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.DocumentEndEvent):
                yield builder.root
                builder = _DocumentBuilder()
            else:
                builder.add(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = f"line {mark.line + 1}: " if mark is not None else ""
        raise _parse_error(f"{position}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise _parse_error(str(error).splitlines()[0]) from error


def _parse_error(cause: str) -> UsageError:
    return UsageError(f"cannot parse this YAML: {cause}")


class _DocumentBuilder:
    """Builder of one document, without recursion."""

    def __init__(self) -> None:
        self.root: Any = None
        self._open: list[Any] = []
        self._keys: list[Any] = []  # per open mapping, the key whose value is next
        self._anchors: dict[str, Any] = {}
        self._merged = 0

    def add(self, event: yaml.Event) -> None:
        """Process one event of the parser."""
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(self._open) == _MAX_DEPTH:
                raise _parse_error("it is nested too deeply")
            self._open.append({} if isinstance(event, yaml.MappingStartEvent) else [])
            self._keys.append(_NO_KEY)
            self._set_anchor(event.anchor, self._open[-1])
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._keys.pop()
            self._put(self._open.pop())
        elif isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
            self._set_anchor(event.anchor, value)
            self._put(value)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _parse_error(f"*{event.anchor} is not defined before")
            self._put(self._anchors[event.anchor])

    def _set_anchor(self, anchor: str | None, value: Any) -> None:
        if anchor:
            self._anchors[anchor] = value

    def _put(self, value: Any) -> None:
        if not self._open:
            self.root = value
            return
        container = self._open[-1]
        if isinstance(container, list):
            container.append(value)
        elif self._keys[-1] is _NO_KEY:
            self._keys[-1] = value if isinstance(value, str | int | None) else _COMPLEX_KEY
        else:
            key, self._keys[-1] = self._keys[-1], _NO_KEY
            if key == "<<":
                self._merge(container, value)
            elif key is not _COMPLEX_KEY:
                container[key] = value

    def _merge(self, container: dict[Any, Any], value: Any) -> None:
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                continue
            self._merged += len(source)
            if self._merged > _MAX_MERGED:
                raise _parse_error("its aliases expand to too many values")
            for key, one in source.items():
                container.setdefault(key, one)


_NO_KEY: Final = object()
_COMPLEX_KEY: Final = object()  # a list or mapping as a key; ignored


def _scalar(event: yaml.ScalarEvent) -> Any:
    value = event.value
    if not event.implicit[0]:
        return value
    if value in _CONSTANTS:
        return _CONSTANTS[value]
    return int(value) if _INTEGER.fullmatch(value) else value
