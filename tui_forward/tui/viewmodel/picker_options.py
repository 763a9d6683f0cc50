"""Options of the pickers for namespaces and contexts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

import msgspec

from tui_forward.common.formatting import pluralize
from tui_forward.model import Context, Forward
from tui_forward.tui.viewmodel.cluster_state import ClusterState

ALL = "*"  # no namespace has this name


class PickerOption(msgspec.Struct, frozen=True):
    """One entry of a picker."""

    key: str  # result of the picker
    text: str  # name that is shown
    detail: str = ""  # short description
    current: bool = False
    starred: bool = False


def namespace_key(name: str) -> str:
    """Return the favorites key of a namespace."""
    return f"ns/{name}"


def context_key(name: str) -> str:
    """Return the favorites key of a context."""
    return f"context/{name}"


def namespace_options(
    cluster_state: ClusterState, forwards: Iterable[Forward], favorites: Set[str]
) -> list[PickerOption]:
    """Return all namespaces as the first option, then favorites, then the others."""
    context, shown = cluster_state.scope.context, cluster_state.scope.namespace
    names = {*cluster_state.namespaces, *([shown] if shown else [])}
    used: dict[str, int] = {}
    for forward in forwards:
        if forward.spec.target.context == context:
            used[forward.spec.target.namespace] = used.get(forward.spec.target.namespace, 0) + 1
    starred = {name for name in (ALL, *names) if namespace_key(name) in favorites}
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


def context_options(
    contexts: Iterable[Context], current: str, favorites: Set[str],
    shown_name: Callable[[str], str] = str,
) -> list[PickerOption]:  # fmt: skip
    """Return the contexts, favorites first, otherwise in the order of the kubeconfig."""
    return [
        PickerOption(
            one.name, shown_name(one.name),
            one.problem or f"cluster {one.cluster}",
            current=one.name == current, starred=context_key(one.name) in favorites,
        )
        for one in sorted(contexts, key=lambda one: context_key(one.name) not in favorites)
    ]  # fmt: skip
