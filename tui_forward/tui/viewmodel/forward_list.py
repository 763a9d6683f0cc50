"""Sorting, grouping and filtering of the forwards table. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from tui_forward.model import Forward, ForwardState

HEADING = "#"  # starts the key of a heading row; forward ids never start with it


class ForwardSort(StrEnum):
    """Sort order of forwards."""

    STARTED = "started"  # oldest first: rows never move
    NAME = "name"
    PROBLEMS = "problems"
    TRAFFIC = "traffic"


class ForwardGroup(StrEnum):
    """Attribute to group forwards by."""

    NONE = "none"
    NAMESPACE = "namespace"
    PROFILE = "profile"
    LABEL = "label"
    CONTEXT = "context"


# States that need the user first, then those that need time.
_SEVERITY_ORDER: dict[ForwardState, int] = {
    ForwardState.BLOCKED: 0, ForwardState.RECONNECTING: 1, ForwardState.WAITING: 2,
    ForwardState.CONNECTING: 3, ForwardState.STARTING: 4, ForwardState.READY: 5,
    ForwardState.STOPPED: 6,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Heading:
    """One group."""

    key: str
    title: str  # the namespace, profile, label or context, or "no …"
    members: tuple[Forward, ...]  # its forwards, also hidden ones
    folded: bool


@dataclass(frozen=True, slots=True)
class GroupedForwards:
    """Row keys in order, and headings by key."""

    keys: tuple[str, ...]
    headings: dict[str, Heading]


def group_forwards(
    forwards: Iterable[Forward], *, sort: ForwardSort = ForwardSort.STARTED,
    group: ForwardGroup = ForwardGroup.NONE, folded: Collection[str] = (),
    matches: Callable[[Forward], bool] = lambda _forward: True,
) -> GroupedForwards:  # fmt: skip
    """Filter, sort and group forwards, given oldest first; fold groups by heading key."""
    included = sorted(filter(matches, forwards), key=_SORTS[sort])
    if group is ForwardGroup.NONE:
        return GroupedForwards(tuple(forward.id for forward in included), {})
    groups: dict[str, list[Forward]] = {}
    for forward in included:
        groups.setdefault(_group_of(forward, group), []).append(forward)
    keys: list[str] = []
    headings: dict[str, Heading] = {}
    # Forwards without the attribute come last.
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
        # A team profile has its path as id; show the folder name.
        name = PurePath(forward.spec.profile)
        return name.parent.name if name.is_absolute() else forward.spec.profile
    return forward.spec.label if group is ForwardGroup.LABEL else target.context


def _number(forward: Forward) -> tuple[float, int]:
    digits = forward.id.lstrip("f")
    return (forward.started_at, int(digits) if digits.isdecimal() else 0)


_SORTS: dict[ForwardSort, Callable[[Forward], tuple[object, ...]]] = {
    ForwardSort.STARTED: _number,
    ForwardSort.NAME: lambda forward: (str(forward.spec.target), *_number(forward)),
    ForwardSort.PROBLEMS: lambda forward: (
        6 if forward.paused else _SEVERITY_ORDER[forward.state],
        *_number(forward),
    ),
    # Rounded, so that rows do not swap at every sample.
    ForwardSort.TRAFFIC: lambda forward: (
        -_magnitude(forward.counters.rate_from_pod + forward.counters.rate_to_pod),
        *_number(forward),
    ),
}


def _magnitude(rate: float) -> int:
    """Return the bit length of a rate, so that equal ranks are within a factor of two."""
    return int(rate).bit_length()
