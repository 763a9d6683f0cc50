"""What the pickers for namespaces and contexts offer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

from tui_forward.common.formatting import pluralize
from tui_forward.model import Context, Forward
from tui_forward.tui.viewmodel.cluster_state import ClusterState

ALL = "*"  # no namespace has this name


@dataclass(frozen=True, slots=True)
class PickerOption:
    """One entry of a picker.

    Attributes:
        key: Result of the picker.
        text: Name that is shown.
        detail: Short description.
        current: Whether it is the current choice.
        starred: Whether it is a favorite.
    """

    key: str
    text: str
    detail: str = ""
    current: bool = False
    starred: bool = False


def namespace_key(name: str) -> str:
    """A namespace among the favourites of its context."""
    return f"ns/{name}"


def context_key(name: str) -> str:
    """A context among the favourites."""
    return f"context/{name}"


def namespace_options(
    picture: ClusterState, forwards: Iterable[Forward], liked: Set[str]
) -> list[PickerOption]:
    """All of them first, then each, favourites before others.

    Args:
        picture: Knows them, and which one is on show.
        forwards: They are counted.
        liked: Keys of favourites.
    """
    context, shown = picture.scope.context, picture.scope.namespace
    names = {*picture.namespaces, *([shown] if shown else [])}
    used: dict[str, int] = {}
    for forward in forwards:
        if forward.spec.target.context == context:
            used[forward.spec.target.namespace] = used.get(forward.spec.target.namespace, 0) + 1
    starred = {name for name in (ALL, *names) if namespace_key(name) in liked}
    return [
        PickerOption(ALL, "all namespaces", current=not shown, starred=ALL in starred),
        *(
            PickerOption(
                name, name, pluralize(used[name], "forward") if name in used else "",
                current=name == shown, starred=name in starred,
            )
            for name in sorted(names, key=lambda name: (name not in starred, name))
        ),
    ]  # fmt: skip


def context_options(known: Iterable[Context], here: str, liked: Set[str]) -> list[PickerOption]:
    """Each, favourites before others, else as the kubeconfig has them.

    Args:
        known: Of the kubeconfig.
        here: The one on show.
        liked: Keys of favourites.
    """
    return [
        PickerOption(
            one.name, one.name, f"cluster {one.cluster}",
            current=one.name == here, starred=context_key(one.name) in liked,
        )
        for one in sorted(known, key=lambda one: context_key(one.name) not in liked)
    ]  # fmt: skip
