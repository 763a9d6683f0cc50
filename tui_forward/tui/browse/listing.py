"""Which entries are shown and in which order, kept current as the cluster changes. Pure.

Ten thousand pods with hundreds of changes a second are the measure: only what changed is
looked at again, and sorting what was sorted before costs little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from enum import StrEnum

from tui_forward.model import TargetKind
from tui_forward.tui.browse.entries import Entry, entry_of
from tui_forward.tui.browse.query import Query, parse
from tui_forward.tui.picture import Picture, owner_key

Rank = tuple[object, ...]
_NEVER = 1 << 30
_SCORES = 1 << 12  # no score is higher


class View(StrEnum):
    """What is listed."""

    WORKLOADS = "workloads"  # a tree, with their pods beneath
    PODS = "pods"
    SERVICES = "services"


class Sort(StrEnum):
    """What comes first, behind favourites and what was used lately."""

    NAME = "name"
    TROUBLE = "trouble"
    AGE = "age"
    RESTARTS = "restarts"


class Listing:
    """One list over a picture.

    Change its attributes as you like, then call `update`.

    Args:
        picture: Where objects come from.

    Attributes:
        view: What is listed.
        sort: In which order.
        query: What is left out.
        favourites: Keys that come first.
        recent: Keys used lately, the latest with the lowest number.
        folded: Keys of workloads whose pods are not shown.
        keys: What is shown now, in order.
    """

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.view = View.WORKLOADS
        self.sort = Sort.NAME
        self.query: Query = parse("")
        self.favourites: Set[str] = frozenset()
        self.recent: Mapping[str, int] = {}
        self.folded: set[str] = set()
        self.keys: tuple[str, ...] = ()
        self._entries: dict[str, Entry] = {}
        self._scores: dict[str, int] = {}  # of what matches; others are not here
        self._ranks: dict[str, Rank] = {}  # of what is shown
        self._done: tuple[object, ...] | None = None

    def entry(self, key: str) -> Entry | None:
        """The entry of a key, None if there is no such object now."""
        entry = self._entries.get(key)
        if entry is None and (entry := entry_of(self.picture, key)) is not None:
            self._entries[key] = entry
        return entry

    def depth(self, key: str) -> int:
        """0, or 1 for a pod beneath its workload."""
        return int(self.view is View.WORKLOADS and self.parent(key) is not None)

    def folds(self, key: str) -> bool:
        """Whether it is a workload with pods to fold away."""
        return self.view is View.WORKLOADS and bool(self.picture.pods_of(key))

    def update(self) -> None:
        """Take in what the picture, or an attribute, says now."""
        changed = self.picture.changes()
        how = (
            self.view, self.sort, self.query, frozenset(self.favourites),
            tuple(self.recent.items()), frozenset(self.folded),
        )  # fmt: skip
        if changed is None:
            self._entries.clear()
        else:
            for key in changed:
                self._entries.pop(key, None)
                self._entries.pop(self._owner_of(key) or "", None)
        if changed is None or self._done is None or how != self._done:
            self._rebuild(everything=changed is None)
        elif changed:
            self._revise(changed)
        self._done = how

    # Everything ---------------------------------------------------------------------------

    def _rebuild(self, *, everything: bool) -> None:
        before = self._done
        same_view = before is not None and before[0] is self.view
        asked = before[2] if before is not None and same_view and not everything else None
        if not isinstance(asked, Query) or asked != self.query:
            narrower = isinstance(asked, Query) and bool(asked) and self.query.narrows(asked)
            base = list(self._scores) if narrower else self._base()
            self._scores = {}
            for key in base:
                self._judge(key)
        self._ranks = {}
        shown = set(self._scores)
        if self.view is View.WORKLOADS and self.query:
            # Whoever has a pod that matches is shown above it.
            shown.update(parent for key in self._scores if (parent := self.parent(key)))
        for key in shown:
            self._place(key)
        self.keys = tuple(sorted(self._ranks, key=self._ranks.__getitem__))

    def _base(self) -> Iterable[str]:
        picture = self.picture
        if self.view is View.SERVICES:
            return picture.services
        if self.view is View.PODS:
            return picture.pods
        return [*picture.workloads, *picture.pods]

    # What changed -------------------------------------------------------------------------

    def _revise(self, changed: Set[str]) -> None:
        touched: set[str] = set()
        for key in changed:
            touched.add(key)
            if self.view is View.WORKLOADS:
                # A workload says what its pods declare; a pod stands beneath a workload there is.
                if (parent := self._owner_of(key)) is not None:
                    touched.add(parent)
                touched.update(self.picture.pods_of(key))
        for key in touched:
            self._judge(key)
        moved = False
        # Parents first: their rank is part of those of their pods.
        for key in sorted(touched, key=lambda key: key.startswith("pod/")):
            before = self._ranks.pop(key, None)
            if key in self._scores or self._has_match_beneath(key):
                self._place(key)
            if self._ranks.get(key) != before:
                moved = True
                if self.view is View.WORKLOADS:
                    for pod in self.picture.pods_of(key):
                        if pod in self._ranks:
                            self._place(pod)
        if moved:
            known = self._ranks.keys()
            order = [key for key in self.keys if key in known]
            order += known - set(order)
            # Nearly sorted, which costs nearly nothing.
            order.sort(key=self._ranks.__getitem__)
            self.keys = tuple(order)

    def _has_match_beneath(self, key: str) -> bool:
        return (
            self.view is View.WORKLOADS
            and bool(self.query)
            and key in self.picture.workloads
            and any(pod in self._scores for pod in self.picture.pods_of(key))
        )

    # One ----------------------------------------------------------------------------------

    def _judge(self, key: str) -> None:
        """Find out whether it matches, and how well."""
        self._scores.pop(key, None)
        if not self._belongs(key):
            return
        if not self.query:
            self._scores[key] = 0
            return
        entry = self.entry(key)
        score = self.query.score(entry) if entry is not None else None
        if score is not None:
            self._scores[key] = score

    def _belongs(self, key: str) -> bool:
        picture = self.picture
        if self.view is View.SERVICES:
            return key in picture.services
        if self.view is View.PODS:
            return key in picture.pods
        return key in picture.pods or key in picture.workloads

    def _place(self, key: str) -> None:
        """Give it a rank, unless it is folded away."""
        parent = self.parent(key)
        if self.view is not View.WORKLOADS or parent is None:
            self._ranks[key] = (*self._rank(key), 0)
            return
        if parent in self.folded and not self.query:
            self._ranks.pop(key, None)
            return
        self._ranks[key] = (*self._rank(parent), 1, *self._rank(key))

    def _rank(self, key: str) -> Rank:
        """Where it stands among its like: few and cheap things to compare."""
        kind, _, name = key.partition("/")
        head = self.recent.get(key, _NEVER) * _SCORES - self._scores.get(key, 0)
        if key in self.favourites:
            head -= (_NEVER + 1) * _SCORES
        first: int | float = 0
        if self.sort is not Sort.NAME and (entry := self.entry(key)) is not None:
            if self.sort is Sort.TROUBLE:
                first = not entry.in_trouble
            elif self.sort is Sort.AGE:
                first = -entry.created_at
            else:
                first = -entry.restarts
        return head, first, name, kind

    def parent(self, key: str) -> str | None:
        """The workload a pod stands beneath, if it is there."""
        owner = self._owner_of(key)
        return owner if owner is not None and owner in self.picture.workloads else None

    def _owner_of(self, key: str) -> str | None:
        if not key.startswith(f"{TargetKind.POD.value}/"):
            return None
        pod = self.picture.pods.get(key)
        return owner_key(pod) if pod is not None else None
