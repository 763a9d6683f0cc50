"""Names of contexts in tables: short where they stay distinguishable, marked where protected. Pure.

`arn:aws:eks:eu-west-1:1111:cluster/prod` and `gke_acme_europe-west1_prod` become `prod` while no
other shown context ends so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from tui_forward.settings.protected_contexts import MARK
from tui_forward.tui.viewmodel.rows import Cell

_SEPARATOR = re.compile("[/_]")


def is_never_protected(_context: str) -> bool:
    """Return False, where no contexts are protected."""
    return False


class ContextNames:
    """Shown names of the contexts of one table."""

    def __init__(
        self, contexts: Iterable[str], is_protected: Callable[[str], bool] = is_never_protected
    ) -> None:
        contexts = set(contexts)
        last_parts = {context: _last_part(context) for context in contexts}
        counts = Counter(last_parts.values())
        self._cells: dict[str, Cell] = {}
        self.has_protected = False
        for context, last_part in last_parts.items():
            name = last_part if counts[last_part] == 1 else context
            protected = is_protected(context)
            self.has_protected |= protected
            mark = MARK if protected else ""
            self._cells[context] = Cell(
                name + mark, "protected" if protected else "dim", trail=len(mark)
            )

    def cell(self, context: str) -> Cell:
        """Return the name of one of the contexts."""
        return self._cells[context]

    @property
    def texts(self) -> list[str]:
        """All names as they are shown."""
        return [cell.text for cell in self._cells.values()]


def _last_part(context: str) -> str:
    """Return what follows the last separator, unless nothing does."""
    return _SEPARATOR.split(context)[-1] or context
