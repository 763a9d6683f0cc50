"""YAML that somebody else wrote, as plain values. Pure.

Whatever it says, it costs no more than its length: nesting is bounded, an alias is one more name
of a value and no copy of it, and what `<<` merges is counted. A text that goes beyond that is
refused, and so is nothing that kubectl prints or that a person would write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from tui_forward.errors import UsageError

_DEEPEST: Final = 100
_MOST_MERGED: Final = 100_000
_INTEGER = re.compile(r"[-+]?\d{1,18}", re.ASCII)
_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def documents(text: str) -> Iterator[Any]:
    """Every document of a text: mappings, lists, texts, whole numbers, true, false and null.

    Raises:
        UsageError: It is no YAML, or out of proportion.
    """
    loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    building = _Building()
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.DocumentEndEvent):
                yield building.root
                building = _Building()
            else:
                building.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise _refused(f"{where}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise _refused(str(error).splitlines()[0]) from error


def _refused(why: str) -> UsageError:
    return UsageError("this YAML cannot be read", hint=why)


class _Building:
    """One document, built without recursion."""

    def __init__(self) -> None:
        self.root: Any = None
        self._open: list[Any] = []
        self._keys: list[Any] = []  # of each open mapping the key that waits for its value
        self._anchors: dict[str, Any] = {}
        self._merged = 0

    def take(self, event: yaml.Event) -> None:
        """One event of the parser."""
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(self._open) == _DEEPEST:
                raise _refused("it is nested too deeply")
            self._open.append({} if isinstance(event, yaml.MappingStartEvent) else [])
            self._keys.append(_NO_KEY)
            self._called(event.anchor, self._open[-1])
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._keys.pop()
            self._put(self._open.pop())
        elif isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
            self._called(event.anchor, value)
            self._put(value)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _refused(f"*{event.anchor} is not defined before")
            self._put(self._anchors[event.anchor])

    def _called(self, anchor: str | None, value: Any) -> None:
        if anchor:
            self._anchors[anchor] = value

    def _put(self, value: Any) -> None:
        if not self._open:
            self.root = value
            return
        place = self._open[-1]
        if isinstance(place, list):
            place.append(value)
        elif self._keys[-1] is _NO_KEY:
            self._keys[-1] = value if isinstance(value, str | int | None) else _NO_TEXT
        else:
            key, self._keys[-1] = self._keys[-1], _NO_KEY
            if key == "<<":
                self._merge(place, value)
            elif key is not _NO_TEXT:
                place[key] = value

    def _merge(self, place: dict[Any, Any], value: Any) -> None:
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                continue
            self._merged += len(source)
            if self._merged > _MOST_MERGED:
                raise _refused("its aliases make far more of it than it is")
            for key, one in source.items():
                place.setdefault(key, one)


_NO_KEY: Final = object()
_NO_TEXT: Final = object()  # a key that is a list or a mapping: nothing here is called so


def _scalar(event: yaml.ScalarEvent) -> Any:
    value = event.value
    if not event.implicit[0]:
        return value
    if value in _WORDS:
        return _WORDS[value]
    return int(value) if _INTEGER.fullmatch(value) else value
