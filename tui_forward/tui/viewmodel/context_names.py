"""Names of contexts: short where they stay distinguishable, marked where protected. Pure.

`arn:aws:eks:eu-west-1:1111:cluster/prod` and `gke_acme_europe-west1_prod` become `prod` while no
other known context ends so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from tui_forward.model import NO_OPTIONS, AccessOptions, ApiHealth, Forward, Target
from tui_forward.settings.protected_contexts import (
    MARK,
    ProtectedContexts,
    marked,
    split_marks,
)
from tui_forward.tui.viewmodel.rows import Cell

_SEPARATOR = re.compile("[/_]")
_MAX_CACHED = 8
_NONE_PROTECTED: Final = ProtectedContexts()


class UsedContext(msgspec.Struct, frozen=True):
    """A context as something uses it: options may name another server, which has its own marks."""

    context: str
    options: AccessOptions = NO_OPTIONS
    # Whether the certificate of the server is known not to be verified; the kubeconfig and the
    # options may tell so, too.
    is_insecure: bool = False


def context_of(forward: Forward) -> UsedContext:
    """Return the context of a forward."""
    target = forward.spec.target
    return UsedContext(target.context, target.options, forward.insecure)


def context_of_server(health: ApiHealth) -> UsedContext:
    """Return the context of an API server."""
    return UsedContext(health.context, health.options, health.insecure)


class ContextNaming(msgspec.Struct, frozen=True):
    """How contexts are named wherever they are shown: the same context has the same name."""

    protected: ProtectedContexts = _NONE_PROTECTED  # and the contexts of the kubeconfig

    def names(self, contexts: Iterable[UsedContext]) -> ContextNames:
        """Return the names of contexts that are shown together; see `ContextNames`."""
        return ContextNames(contexts, self)

    def name(self, context: str, options: AccessOptions = NO_OPTIONS) -> str:
        """Return the name of one context, with its marks."""
        used = UsedContext(context, options)
        return self.names((used,)).cell(used).text

    def name_of(self, forwards: Sequence[Forward]) -> str:
        """Return the name of the one context of forwards, with the marks that any of them has."""
        cells = self.names(map(context_of, forwards))
        return max(cells.texts, key=len)

    def full_name(self, used: UsedContext) -> str:
        """Return the whole name of a context, with its marks."""
        return marked(
            used.context, is_protected=self.is_protected(used), is_insecure=self.is_insecure(used)
        )

    def is_protected(self, used: UsedContext) -> bool:
        """Return whether starting forwards there asks first."""
        return self.protected.is_protected(used.context, used.options)

    def is_insecure(self, used: UsedContext) -> bool:
        """Return whether the certificate of the server is not verified."""
        return used.is_insecure or self.protected.is_insecure(used.context, used.options)

    def protected_names(self, targets: Iterable[Target]) -> tuple[str, ...]:
        """Return the names of the protected contexts of targets, each once, in order."""
        names: dict[str, None] = {}
        for target in targets:
            if self.protected.is_protected(target.context, target.options):
                names[self.name(self.protected.place_of(target), target.options)] = None
        return tuple(names)


PLAIN_NAMING: Final = ContextNaming()


class ContextNames:
    """Shown names of the contexts of one table.

    Args:
        contexts: The contexts as they are used.
        naming: How contexts are named.
    """

    def __init__(self, contexts: Iterable[UsedContext], naming: ContextNaming) -> None:
        shown = frozenset(contexts)
        known = naming.protected.context_names
        counts = _count_last_parts(known | {used.context for used in shown})
        self._cells: dict[UsedContext, Cell] = {}
        self.has_protected = False
        for used in shown:
            last_part = _last_part(used.context)
            protected = naming.is_protected(used)
            self.has_protected |= protected
            self._cells[used] = context_cell(
                marked(
                    last_part if counts[last_part] == 1 else used.context,
                    is_protected=protected, is_insecure=naming.is_insecure(used),
                )
            )  # fmt: skip

    def cell(self, used: UsedContext) -> Cell:
        """Return the name of one of the contexts."""
        return self._cells[used]

    @property
    def least_width(self) -> int:
        """The cells in which a name, cut to its first letter, still has its marks."""
        return max((cell.trail for cell in self._cells.values() if cell.trail), default=-3) + 3

    @property
    def texts(self) -> list[str]:
        """All names as they are shown."""
        return [cell.text for cell in self._cells.values()]


def context_cell(shown: str) -> Cell:
    """Return the cell of a context's shown name, whose marks are not cut."""
    _, marks = split_marks(shown)
    is_protected = marks.startswith(MARK)
    style = "protected" if is_protected else "warn" if marks else "dim"
    return Cell(shown, style, trail=len(marks), trail_style=style)


@lru_cache(_MAX_CACHED)
def _count_last_parts(contexts: frozenset[str]) -> Counter[str]:
    return Counter(map(_last_part, contexts))


def _last_part(context: str) -> str:
    """Return what follows the last separator, unless nothing does."""
    return _SEPARATOR.split(context)[-1] or context
