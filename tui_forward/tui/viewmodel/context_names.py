"""Names of contexts: short where they stay distinguishable, marked where protected. Pure.

`arn:aws:eks:eu-west-1:1111:cluster/prod` and `gke_acme_europe-west1_prod` become `prod` while no
other known context ends so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

import msgspec

from tui_forward.settings.protected_contexts import MARK, marked, split_marks
from tui_forward.tui.viewmodel.rows import Cell

_SEPARATOR = re.compile("[/_]")
_MAX_CACHED = 8


def is_never_protected(_context: str) -> bool:
    """Return False, where no contexts are protected."""
    return False


class ContextNaming(msgspec.Struct, frozen=True):
    """How contexts are named wherever they are shown: the same context has the same name."""

    known: frozenset[str] = frozenset()  # of the kubeconfig
    is_protected: Callable[[str], bool] = is_never_protected

    def names(self, contexts: Iterable[tuple[str, bool]]) -> ContextNames:
        """Return the names of contexts that are shown together; see `ContextNames`."""
        return ContextNames(contexts, self)

    def name(self, context: str, *, is_insecure: bool = False) -> str:
        """Return the name of one context, with its marks."""
        names = self.names(((context, is_insecure),))
        return names.cell(context, is_insecure=is_insecure).text

    def full_name(self, context: str, *, is_insecure: bool = False) -> str:
        """Return the whole name of a context, with its marks."""
        return marked(context, is_protected=self.is_protected(context), is_insecure=is_insecure)


PLAIN_NAMING: Final = ContextNaming()


class ContextNames:
    """Shown names of the contexts of one table.

    Args:
        contexts: Each context, and whether the certificate of its server is not verified.
        naming: How contexts are named.
    """

    def __init__(self, contexts: Iterable[tuple[str, bool]], naming: ContextNaming) -> None:
        shown = frozenset(contexts)
        counts = _count_last_parts(naming.known | {context for context, _ in shown})
        self._cells: dict[tuple[str, bool], Cell] = {}
        self.has_protected = False
        for context, is_insecure in shown:
            last_part = _last_part(context)
            protected = naming.is_protected(context)
            self.has_protected |= protected
            self._cells[context, is_insecure] = context_cell(
                marked(
                    last_part if counts[last_part] == 1 else context,
                    is_protected=protected, is_insecure=is_insecure,
                )
            )  # fmt: skip

    def cell(self, context: str, *, is_insecure: bool = False) -> Cell:
        """Return the name of one of the contexts."""
        return self._cells[context, is_insecure]

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
