"""Where a person was in the dashboard, for each kubeconfig; kept in a file for the next start."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from tui_forward.tui.storage.json_file import JsonFile

_MOST = 100


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was on show, and how. The names are those of the dashboard's own choices.

    Attributes:
        origin: What the kubeconfig said then: its current context, and the namespace of that.
        context: That one looked at.
        namespace: Likewise; empty for all of them.
        row: Key of the row under the cursor.
        query: What the rows were filtered by.
    """

    origin: tuple[str, str]
    context: str
    namespace: str
    view: str = ""
    sort: str = ""
    row: str = ""
    query: str = ""
    forward_sort: str = ""
    forward_group: str = ""
    forward_query: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1] = 1
    places: dict[str, Place] = {}  # the one used last is the last one


class ViewStateStore:
    """The place in one kubeconfig.

    Args:
        path: The file; None keeps nothing.
        kubeconfig: A name for the kubeconfig.

    Attributes:
        place: Where the person was when it was last known; None if never.
    """

    def __init__(self, path: Path | None, kubeconfig: str = "") -> None:
        self._kept = JsonFile(path, _File())
        self._kubeconfig = kubeconfig
        self.place = self._kept.content.places.get(kubeconfig)

    @property
    def trouble(self) -> str:
        """Why the file could not be read or written, in a sentence; empty if it could."""
        return self._kept.trouble

    def keep(self, place: Place) -> None:
        """It is here now. Blocks for as long as a disk takes; does nothing if it is the same."""
        if place == self.place:
            return
        self._kept.refresh()
        places = self._kept.content.places
        places.pop(self._kubeconfig, None)
        places[self._kubeconfig] = place
        while len(places) > _MOST:
            del places[next(iter(places))]
        self._kept.save()
        self.place = place
