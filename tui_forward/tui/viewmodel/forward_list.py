"""Which forwards the table shows and in which order. Pure.

Groups have a heading row of their own, whose key begins with `HEADING`; ids of forwards never do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from tui_forward.model import Forward, ForwardState

HEADING = "#"


class ForwardSort(StrEnum):
    """What comes first."""

    STARTED = "started"  # oldest first: nothing ever moves
    NAME = "name"
    TROUBLE = "trouble"
    TRAFFIC = "traffic"


class ForwardGroup(StrEnum):
    """What is put together under a heading."""

    NONE = "none"
    NAMESPACE = "namespace"
    PROFILE = "profile"
    LABEL = "label"
    CONTEXT = "context"


# Who needs a person comes first, then who needs time.
_TROUBLE: dict[ForwardState, int] = {
    ForwardState.BLOCKED: 0,
    ForwardState.RECONNECTING: 1,
    ForwardState.WAITING: 2,
    ForwardState.CONNECTING: 3,
    ForwardState.STARTING: 4,
    ForwardState.READY: 5,
    ForwardState.STOPPED: 6,
}


@dataclass(frozen=True, slots=True)
class Heading:
    """One group.

    Attributes:
        key: Of its row.
        title: The namespace, profile, label or context; in words where there is none.
        members: Its forwards, also those that are folded away.
        folded: Whether they are.
    """

    key: str
    title: str
    members: tuple[Forward, ...]
    folded: bool


@dataclass(frozen=True, slots=True)
class GroupedForwards:
    """The rows: keys in order, and what each heading stands for."""

    keys: tuple[str, ...]
    headings: dict[str, Heading]


def group_forwards(
    forwards: Iterable[Forward],
    *,
    sort: ForwardSort = ForwardSort.STARTED,
    group: ForwardGroup = ForwardGroup.NONE,
    folded: Collection[str] = (),
    wanted: Callable[[Forward], bool] = lambda _forward: True,
) -> GroupedForwards:
    """Put forwards in order.

    Args:
        forwards: Those there are, oldest first.
        sort: Order within each group.
        group: What is put together.
        folded: Keys of headings whose forwards are not shown.
        wanted: Leaves some out.
    """
    chosen = sorted(filter(wanted, forwards), key=_SORTS[sort])
    if group is ForwardGroup.NONE:
        return GroupedForwards(tuple(forward.id for forward in chosen), {})
    groups: dict[str, list[Forward]] = {}
    for forward in chosen:
        groups.setdefault(_group_of(forward, group), []).append(forward)
    keys: list[str] = []
    headings: dict[str, Heading] = {}
    # What has no label comes last.
    for name in sorted(groups, key=lambda name: (not name, name)):
        key = f"{HEADING}{group.value}:{name}"
        heading = Heading(key, name or f"no {group.value}", tuple(groups[name]), key in folded)
        headings[key] = heading
        keys.append(key)
        if not heading.folded:
            keys += [forward.id for forward in heading.members]
    return GroupedForwards(tuple(keys), headings)


def _group_of(forward: Forward, group: ForwardGroup) -> str:
    target = forward.spec.target
    if group is ForwardGroup.NAMESPACE:
        return target.namespace
    if group is ForwardGroup.PROFILE:
        # One of a working tree is known by its path; its folder says enough.
        name = PurePath(forward.spec.profile)
        return name.parent.name if name.is_absolute() else forward.spec.profile
    return forward.spec.label if group is ForwardGroup.LABEL else target.context


def _number(forward: Forward) -> tuple[float, int]:
    digits = forward.id.lstrip("f")
    return (forward.started_at, int(digits) if digits.isdecimal() else 0)


_SORTS: dict[ForwardSort, Callable[[Forward], tuple[object, ...]]] = {
    ForwardSort.STARTED: _number,
    ForwardSort.NAME: lambda forward: (str(forward.spec.target), *_number(forward)),
    ForwardSort.TROUBLE: lambda forward: (
        6 if forward.paused else _TROUBLE[forward.state],
        *_number(forward),
    ),
    # Rounded, so that rows do not change places at every sample.
    ForwardSort.TRAFFIC: lambda forward: (
        -_magnitude(forward.counters.rate_from_pod + forward.counters.rate_to_pod),
        *_number(forward),
    ),
}


def _magnitude(rate: float) -> int:
    """How many binary digits a rate has: neighbours differ by a factor of two."""
    return int(rate).bit_length()
