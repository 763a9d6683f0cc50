"""View state of the dashboard per kubeconfig, kept in a file for the next start."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from tui_forward.tui.storage.json_file import JsonFile

_MAX_ENTRIES = 100

E = TypeVar("E", bound=StrEnum)


class ViewState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the dashboard showed. Values are those of its enumerations."""

    origin: tuple[str, str]  # current context of the kubeconfig at that time, and its namespace
    context: str
    namespace: str  # empty for all
    view: str = ""
    sort: str = ""
    row: str = ""  # key of the row under the cursor
    query: str = ""
    forward_sort: str = ""
    forward_group: str = ""
    forward_query: str = ""
    # Lines of panes set by the user, by layout and pane.
    heights: dict[str, dict[str, int]] = {}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1] = 1
    places: dict[str, ViewState] = {}  # the last used one is last


class ViewStateStore:
    """Store of the view state of one kubeconfig; without a path, kept in memory only."""

    def __init__(self, path: Path | None, kubeconfig: str = "") -> None:
        self._file = JsonFile(path, _File())
        self._kubeconfig = kubeconfig
        self.state = self._file.content.places.get(kubeconfig)

    @property
    def problem(self) -> str:
        """Return why the file could not be read or written; empty if it could."""
        return self._file.problem

    def save(self, state: ViewState) -> None:
        """Save the view state if it changed. Blocks on the disk."""
        if state == self.state or not state.context:  # none was chosen yet
            return
        self._file.refresh()
        places = self._file.content.places
        places.pop(self._kubeconfig, None)
        places[self._kubeconfig] = state
        while len(places) > _MAX_ENTRIES:
            del places[next(iter(places))]
        self._file.save()
        self.state = state


def enum_or_default(value: str, default: E) -> E:
    """Return the member with a value, or the default for a value of another version."""
    try:
        return type(default)(value)
    except ValueError:
        return default
