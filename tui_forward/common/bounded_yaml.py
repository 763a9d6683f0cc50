"""Limits of YAML that a user may have got from others, and a parser to plain values. No I/O.

YAML of a few bytes can take minutes and gigabytes, or crash a parser that recurses: nesting,
aliases of aliases, merge keys of merge keys. Kubeconfigs, profiles and imports all pass
`YamlLimits`, which counts the events of a parser before anything is built of them. The limits are
far above what people and generators write; go-yaml, which kubectl uses, has a similar one for
aliases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from tui_forward.errors import UsageError

if TYPE_CHECKING:
    import yaml

MAX_DEPTH: Final = 100
MAX_NODES: Final = 250_000
# Nodes that aliases stand for, with those of aliases within.
MAX_ALIASED_NODES: Final = 250_000

_INTEGER = re.compile(r"[-+]?\d{1,18}", re.ASCII)
_CONSTANTS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


class YamlLimitError(Exception):
    """YAML beyond a limit; line and column are counted from 1."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = mark.line + 1
        self.column = mark.column + 1


class YamlLimits:
    """Counter of the events of one document. Takes events of PyYAML and of ruamel.yaml.

    `max_nodes` replaces the limits of values and of those that aliases stand for.

    Problems do not quote the document, which may be secret.
    """

    def __init__(self, max_nodes: int | None = None) -> None:
        self._max_nodes = max_nodes or MAX_NODES
        self._max_aliased = max_nodes or MAX_ALIASED_NODES
        self._nodes = 0
        self._aliased = 0
        # Anchor and size of each open collection.
        self._open: list[tuple[str | None, int]] = []
        self._sizes: dict[str, int] = {}  # of complete nodes, with what their aliases stand for

    def add(self, event: Any) -> None:
        """Count an event; YamlLimitError beyond a limit, or if an alias cannot be resolved."""
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self._add_node(event)
            self._add_size(event.anchor, 1)
        elif kind in {"MappingStartEvent", "SequenceStartEvent"}:
            self._add_node(event)
            if len(self._open) == MAX_DEPTH:
                raise YamlLimitError(f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
            self._open.append((event.anchor, 1))
        elif kind in {"MappingEndEvent", "SequenceEndEvent"}:
            anchor, size = self._open.pop()
            self._add_size(anchor, size)
        elif kind == "AliasEvent":
            size = self._alias_size(event)
            self._aliased += size
            if self._aliased > self._max_aliased:
                raise YamlLimitError(
                    f"aliases stand for more than {self._max_aliased} values", event.start_mark
                )
            self._add_size(None, size)

    def _add_node(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > self._max_nodes:
            raise YamlLimitError(f"more than {self._max_nodes} values", event.start_mark)

    def _alias_size(self, event: Any) -> int:
        anchor = event.anchor
        if any(anchor == one for one, _ in self._open):
            raise YamlLimitError("an alias stands for a value that contains it", event.start_mark)
        if anchor not in self._sizes:
            raise YamlLimitError("an alias is not defined before", event.start_mark)
        return self._sizes[anchor]

    def _add_size(self, anchor: str | None, size: int) -> None:
        if anchor:
            self._sizes[anchor] = size
        if self._open:
            outer, before = self._open[-1]
            self._open[-1] = (outer, before + size)


def safe_loader() -> type[yaml.SafeLoader]:
    """Return PyYAML's safe loader, in C if available."""
    import yaml

    loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return loader


def documents(text: str) -> Iterator[Any]:
    """Yield every document: mappings, lists, strings, integers, true, false and null.

    An alias is the same object as what it stands for. Raise UsageError if it is not YAML, or
    exceeds the limits.
    """
    return _documents(text, None)


def located_documents(text: str, locate: Callable[[Any, int, int, bool], Any]) -> Iterator[Any]:
    """Yield the documents as `documents` does, with every value but keys given to `locate`.

    Its arguments are the value, its first and last line, counted from 1, and whether it is text
    whose lines are lines of the document, the first of them below the first line.
    """
    return _documents(text, locate)


def _documents(text: str, locate: Callable[[Any, int, int, bool], Any] | None) -> Iterator[Any]:
    import yaml

    limits, builder = YamlLimits(), _DocumentBuilder(locate)
    try:
        for event in yaml.parse(text, Loader=safe_loader()):
            limits.add(event)
            if isinstance(event, yaml.DocumentEndEvent):
                yield builder.root
                limits, builder = YamlLimits(), _DocumentBuilder(locate)
            else:
                builder.add(event)
    except YamlLimitError as error:
        where = f"line {error.line}, column {error.column}"
        raise _parse_error(f"{where}: {error.problem}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise _parse_error(f"{position}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise _parse_error(str(error).splitlines()[0]) from error


def _parse_error(cause: str) -> UsageError:
    return UsageError(f"cannot parse this YAML: {cause}")


class _DocumentBuilder:
    """Builder of one document that is within the limits, without recursion."""

    def __init__(self, locate: Callable[[Any, int, int, bool], Any] | None = None) -> None:
        self.root: Any = None
        self._locate = locate
        self._open: list[Any] = []
        self._starts: list[tuple[str | None, int]] = []  # anchor and line of each open collection
        self._keys: list[Any] = []  # per open mapping, the key whose value is next
        self._anchors: dict[str, tuple[Any, Any]] = {}  # plain and located

    def add(self, event: yaml.Event) -> None:
        """Process one event of the parser."""
        import yaml

        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open.append({} if isinstance(event, yaml.MappingStartEvent) else [])
            self._keys.append(_NO_KEY)
            self._starts.append((event.anchor, _line(event.start_mark)))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._keys.pop()
            value = self._open.pop()
            anchor, first = self._starts.pop()
            last = max(first, _line(event.end_mark) - (not _column(event.end_mark)))
            self._finish(anchor, value, first, last, is_block=False)
        elif isinstance(event, yaml.ScalarEvent):
            first, end = _line(event.start_mark), event.end_mark
            last = max(first, _line(end) - (not _column(end)))
            self._finish(event.anchor, _scalar(event), first, last, is_block=event.style == "|")
        elif isinstance(event, yaml.AliasEvent):
            self._put(*self._anchors[str(event.anchor)])

    def _finish(
        self, anchor: str | None, value: Any, first: int, last: int, *, is_block: bool
    ) -> None:
        located = value
        if self._locate is not None:
            located = self._locate(value, first, last, is_block)
        if anchor:
            self._anchors[anchor] = value, located
        self._put(value, located)

    def _put(self, value: Any, located: Any) -> None:
        if not self._open:
            self.root = located
            return
        container = self._open[-1]
        if isinstance(container, list):
            container.append(located)
        elif self._keys[-1] is _NO_KEY:
            self._keys[-1] = value if isinstance(value, str | int | None) else _COMPLEX_KEY
        else:
            key, self._keys[-1] = self._keys[-1], _NO_KEY
            if key == "<<":
                self._merge(container, value)
            elif key is not _COMPLEX_KEY:
                container[key] = located

    def _merge(self, container: dict[Any, Any], value: Any) -> None:
        for source in value if isinstance(value, list) else [value]:
            plain = (
                source.value if self._locate is not None and hasattr(source, "value") else source
            )
            if not isinstance(plain, dict):
                continue
            for key, one in plain.items():
                container.setdefault(key, one)


def _line(mark: Any) -> int:
    """Return the line of a mark of an event, counted from 1."""
    return int(mark.line) + 1 if mark is not None else 1


def _column(mark: Any) -> int:
    return int(mark.column) if mark is not None else 0


_NO_KEY: Final = object()
_COMPLEX_KEY: Final = object()  # a list or mapping as a key; ignored


def _scalar(event: yaml.ScalarEvent) -> Any:
    value = event.value
    if not event.implicit[0]:
        return value
    if value in _CONSTANTS:
        return _CONSTANTS[value]
    return int(value) if _INTEGER.fullmatch(value) else value
