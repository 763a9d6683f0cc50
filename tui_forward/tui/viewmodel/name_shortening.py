"""Long names cut where that tells least, so that names of one list stay distinguishable. Pure.

`arn:aws:eks:eu-west-1:111122223333:cluster/prod-a` differs from its neighbors in the account and at
the end: it becomes `arn:…-west-1:111122223333:cluster/prod-a`, and in less space
`…111122223333…prod-a`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate

_PARTS = re.compile(r"[:/_@.-]|[^:/_@.-]+")
_SEPARATORS = frozenset(":/_@.-")
_MAX_PARTS = 60
_ELLIPSIS = "…"


class NameShortener:
    """Shortens the names of one list by what the names have in common."""

    def __init__(self, names: Iterable[str]) -> None:
        names = tuple(names)
        counts = Counter(part for name in names for part in set(_PARTS.findall(name)))
        # Shannon's information: 0 for a part that all names have, and for separators.
        self._bits = {
            part: math.log2(len(names) / count)
            for part, count in counts.items()
            if part not in _SEPARATORS
        }

    def shorten(self, name: str, width: int) -> str:
        """Return a name in at most `width` characters, with an ellipsis for each gap.

        Parts that all names have are left out first: one run of them if that is enough. The last
        part stays; if it alone is too long, the name is returned as it is.
        """
        parts = _PARTS.findall(name)
        if len(name) <= width or len(parts) > _MAX_PARTS:
            return name
        bits = [self._bits.get(part, 0.0) for part in parts]
        return _cut_common_run(parts, bits, width) or _cut_least(parts, bits, width) or name


def _cut_common_run(parts: Sequence[str], bits: Sequence[float], width: int) -> str:
    """Leave out the shortest sufficient run without information; "" if there is none."""
    ends = [0, *accumulate(map(len, parts))]
    excess = ends[-1] - (width - len(_ELLIPSIS))
    runs = [
        (ends[end] - ends[start], start, end)
        for start in range(len(parts))
        for end in range(start + 1, len(parts))
        if ends[end] - ends[start] >= excess and not any(bits[start:end])
    ]
    if not runs:
        return ""
    _, start, end = min(runs)
    return f"{''.join(parts[:start])}{_ELLIPSIS}{''.join(parts[end:])}"


def _cut_least(parts: Sequence[str], bits: Sequence[float], width: int) -> str:
    """Leave out parts, those with the least information first; "" if all but the last are."""
    words = [at for at, part in enumerate(parts[:-1]) if part not in _SEPARATORS]
    left_out: set[int] = set()
    for at in sorted(words, key=lambda at: (bits[at], at)):
        left_out.add(at)
        cut = _join(parts, left_out)
        if len(cut) <= width:
            return cut
    return ""


def _join(parts: Sequence[str], left_out: set[int]) -> str:
    """Return the parts with an ellipsis for each gap; separators beside a gap are left out."""
    joined: list[str] = []
    for at, part in enumerate(parts):
        is_gap = at in left_out or (
            part in _SEPARATORS and (at - 1 in left_out or at + 1 in left_out)
        )
        if not is_gap:
            joined.append(part)
        elif not joined or joined[-1] != _ELLIPSIS:
            joined.append(_ELLIPSIS)
    return "".join(joined)
