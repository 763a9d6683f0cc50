"""Names of contexts in tables: short where they stay distinguishable, marked where protected. Pure.

`arn:aws:eks:eu-west-1:1111:cluster/prod` and `gke_acme_europe-west1_prod` become `prod` while no
other shown context ends so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from tui_forward.settings.protected_contexts import MARK, marked, split_marks
from tui_forward.tui.viewmodel.rows import Cell

_SEPARATOR = re.compile("[/_]")


def is_never_protected(_context: str) -> bool:
    """Return False, where no contexts are protected."""
    return False


class ContextNames:
    """Shown names of the contexts of one table.

    Args:
        contexts: Each context, and whether the certificate of its server is not verified.
        is_protected: Whether a context is protected.
    """

    def __init__(
        self, contexts: Iterable[tuple[str, bool]],
        is_protected: Callable[[str], bool] = is_never_protected,
    ) -> None:  # fmt: skip
        shown = set(contexts)
        last_parts = {context: _last_part(context) for context, _ in shown}
        counts = Counter(last_parts.values())
        self._cells: dict[tuple[str, bool], Cell] = {}
        self.has_protected = False
        for context, is_insecure in shown:
            last_part = last_parts[context]
            name = last_part if counts[last_part] == 1 else context
            protected = is_protected(context)
            self.has_protected |= protected
            self._cells[context, is_insecure] = context_cell(
                marked(name, is_protected=protected, is_insecure=is_insecure)
            )

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


def _last_part(context: str) -> str:
    """Return what follows the last separator, unless nothing does."""
    return _SEPARATOR.split(context)[-1] or context
