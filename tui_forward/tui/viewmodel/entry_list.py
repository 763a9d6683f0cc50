"""Which entries are shown and in which order, kept current as the cluster changes. Pure.

Ten thousand pods with hundreds of changes a second are the measure: only what changed is
looked at again, lists that were in order are not sorted again, and who types on is shown what
is left of what was there before.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Set
from enum import StrEnum

from tui_forward.model import TargetKind
from tui_forward.tui.viewmodel.cluster_state import ClusterState, owner_key
from tui_forward.tui.viewmodel.entries import Entry, entry_of
from tui_forward.tui.viewmodel.filter_query import FilterQuery, parse_query

_TOP = ""  # the list of what stands beneath nothing
_NEVER = 1 << 30
_FEW = 500  # to be put in their places one by one
_UNKNOWN = (True, _NEVER + 1)  # after whatever is liked
_NOBODY: Mapping[str, tuple[bool, int]] = {}
_NONE: tuple[list[str], int] = ([], -1)  # no pod that matches
_POD = "pod/"


class EntryKind(StrEnum):
    """What is listed."""

    WORKLOADS = "workloads"  # a tree, with their pods beneath
    PODS = "pods"
    SERVICES = "services"


class EntrySort(StrEnum):
    """What comes first, behind favourites and what was used lately."""

    NAME = "name"
    TROUBLE = "trouble"
    AGE = "age"
    RESTARTS = "restarts"


class EntryList:
    """One list over a picture.

    Change its attributes as you like, then call `update`. It is the only one to call the
    picture's `changes`.

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

    def __init__(self, picture: ClusterState) -> None:
        self.picture = picture
        self.view = EntryKind.WORKLOADS
        self.sort = EntrySort.NAME
        self.query: FilterQuery = parse_query("")
        self.favourites: Set[str] = frozenset()
        self.recent: Mapping[str, int] = {}
        self.folded: set[str] = set()
        self.keys: tuple[str, ...] = ()
        self._entries: dict[str, Entry] = {}
        # The lists know nothing of favourites, folds and the query: a letter typed, or a pod
        # that is liked, sorts nothing again.
        self._made: tuple[EntryKind, EntrySort] | None = None
        self._lists: dict[str, list[str]] = {}  # in order: at the top, and beneath each workload
        self._place: dict[str, str] = {}  # in which list each one stands
        self._first: dict[str, float] = {}  # what the sort looks at before the name
        self._asked = self.query
        self._scores: dict[str, int] = {}  # of what matches, if something is asked
        self._beneath: dict[str, tuple[list[str], int]] = {}  # what matches, the best score
        self._arranged_by: tuple[object, ...] = ()

    def entry(self, key: str) -> Entry | None:
        """The entry of a key, None if there is no such object now."""
        entry = self._entries.get(key)
        if entry is None and (entry := entry_of(self.picture, key)) is not None:
            self._entries[key] = entry
        return entry

    def depth(self, key: str) -> int:
        """0, or 1 for a pod beneath its workload."""
        return int(self.view is EntryKind.WORKLOADS and self.parent(key) is not None)

    def folds(self, key: str) -> bool:
        """Whether it is a workload with pods to fold away."""
        return self.view is EntryKind.WORKLOADS and bool(self.picture.pods_of(key))

    def parent(self, key: str) -> str | None:
        """The workload a pod stands beneath, if it is there."""
        pod = self.picture.pods.get(key)
        owner = owner_key(pod) if pod is not None else None
        return owner if owner is not None and owner in self.picture.workloads else None

    def update(self) -> None:
        """Take in what the picture, or an attribute, says now."""
        changed = self.picture.changes()
        made = (self.view, self.sort)
        if changed is None:
            self._entries.clear()
        else:
            changed = self._touched(changed)
            for key in changed:
                self._entries.pop(key, None)
        stale = True
        if changed is None or self._made is None or made[0] is not self._made[0]:
            self._make()
            self._asked, self._scores = parse_query(""), {}
        else:
            # Judged by what was asked before, so that the answer can be narrowed.
            judged = bool(changed) and self._judge(changed)
            if made != self._made:
                self._make()
            else:
                stale = (bool(changed) and self._move(changed)) or judged
        self._made = made
        if self.query != self._asked:
            self._ask()
            stale = True
        how = (self.favourites, dict(self.recent), frozenset(self.folded))
        if stale or how != self._arranged_by:
            if how[:2] != self._arranged_by[:2]:
                self._beneath.clear()
            self._arranged_by = (frozenset(self.favourites), *how[1:])
            keys = tuple(self._arrange())
            if keys != self.keys:  # whoever compares them need not look at each
                self.keys = keys

    def _touched(self, changed: Set[str]) -> set[str]:
        """What changed, and what is something else because of that."""
        picture = self.picture
        touched = set(changed)
        for key in changed:
            if key.startswith(_POD):
                pod = picture.pods.get(key)
                # A workload declares what its pods do. The one a pod has left is told of.
                if pod is not None and (owner := owner_key(pod)) is not None:
                    touched.add(owner)
            elif (key in picture.workloads) != (key in self._place):
                touched.update(picture.pods_of(key))
        return touched

    # The lists: all of the view, in order -------------------------------------------------

    def _make(self) -> None:
        """Sort everything."""
        self._beneath.clear()
        self._lists = {_TOP: []}
        self._place = self._homes()
        self._first = {key: self._first_of(key) for key in self._place} if self._sorts else {}
        for key, home in self._place.items():
            self._lists.setdefault(home, []).append(key)
        for home, listed in self._lists.items():
            listed.sort(key=self._names(home))
            if self._sorts:
                listed.sort(key=self._first.__getitem__)

    def _move(self, changed: Iterable[str]) -> bool:
        """Give what changed its place; returns whether anything has another one now."""
        gone: dict[str, set[str]] = {}
        come: dict[str, list[str]] = {}
        for key in changed:
            before, home = self._place.pop(key, None), self._home(key)
            known = self._first.pop(key, 0)
            if home is None:
                self._beneath.pop(key, None)
            else:
                self._place[key] = home
                if self._sorts:
                    self._first[key] = self._first_of(key)
                if home == before and self._first.get(key, 0) == known:
                    continue
                come.setdefault(home, []).append(key)
            if before is not None:
                gone.setdefault(before, set()).add(key)
        for home, keys in gone.items():
            self._beneath.pop(home, None)
            left = [key for key in self._lists[home] if key not in keys]
            if left or home == _TOP:
                self._lists[home] = left
            else:
                del self._lists[home]
        for home, arrived in come.items():
            self._beneath.pop(home, None)
            self._insert(self._lists.setdefault(home, []), arrived, self._names(home))
        return bool(gone or come)

    def _insert(self, listed: list[str], keys: list[str], name: Callable[[str], str]) -> None:
        first = self._first

        def rank(key: str) -> tuple[float, str]:
            return first.get(key, 0), name(key)

        if len(keys) > _FEW:
            listed.extend(keys)
            listed.sort(key=rank)
        else:
            for key in keys:
                insort(listed, key, key=rank)

    def _homes(self) -> dict[str, str]:
        """As `_home`, of everything in this view."""
        picture = self.picture
        if self.view is not EntryKind.WORKLOADS:
            services = self.view is EntryKind.SERVICES
            return dict.fromkeys(picture.services if services else picture.pods, _TOP)
        homes = dict.fromkeys((*picture.workloads, *picture.pods), _TOP)
        for key in picture.workloads:
            homes.update(dict.fromkeys(picture.pods_of(key), key))
        return homes

    def _home(self, key: str) -> str | None:
        """In which list it belongs, None if in none of this view."""
        picture = self.picture
        if self.view is EntryKind.SERVICES:
            return _TOP if key in picture.services else None
        pod = picture.pods.get(key)
        if self.view is EntryKind.PODS:
            return _TOP if pod is not None else None
        if pod is None:
            return _TOP if key in picture.workloads else None
        owner = owner_key(pod)
        return owner if owner is not None and owner in picture.workloads else _TOP

    @property
    def _sorts(self) -> bool:
        return self.sort is not EntrySort.NAME

    def _first_of(self, key: str) -> float:
        entry = self.entry(key)
        if entry is None:
            return 0
        if self.sort is EntrySort.TROUBLE:
            return not entry.in_trouble
        return -entry.created_at if self.sort is EntrySort.AGE else -entry.restarts

    def _names(self, home: str) -> Callable[[str], str]:
        # Keys of one kind are in order as they are; pods and workloads go by their names.
        mixed = self.view is EntryKind.WORKLOADS and home == _TOP
        return _by_name if mixed else _as_it_is

    # What matches ---------------------------------------------------------------------------

    def _ask(self) -> None:
        """Judge everything, or what is left of it if one has typed on."""
        narrower = bool(self._asked) and self.query.is_narrower_than(self._asked)
        keys = self._scores if narrower else self._place
        self._beneath.clear()
        self._asked, scores = self.query, {}
        if self.query:
            entries, score, pods = self._entries, self.query.scorer, self.picture.pods
            for key in keys:
                entry = entries.get(key)
                if entry is None:  # `entry`, without a call for each of ten thousand pods
                    pod = pods.get(key)
                    entry = Entry(key, TargetKind.POD, pod) if pod is not None else self.entry(key)
                    if entry is None:
                        continue
                    entries[key] = entry
                found = score(entry)
                if found is not None:
                    scores[key] = found
        self._scores = scores

    def _judge(self, changed: Iterable[str]) -> bool:
        """Find out whether what changed matches, and how well; returns whether that is new."""
        new = False
        if not self._asked:
            return new
        for key in changed:
            before = self._scores.pop(key, None)
            entry = self.entry(key) if self._home(key) is not None else None
            found = self._asked.score(entry) if entry is not None else None
            if found is not None:
                self._scores[key] = found
            if found != before:
                new = True
                self._beneath.pop(self._place.get(key, _TOP), None)
        return new

    # What is shown --------------------------------------------------------------------------

    def _arrange(self) -> list[str]:
        place, folded = self._place, self.folded
        scores = self._scores if self._asked else None
        liked = {
            key: (key not in self.favourites, self.recent.get(key, _NEVER))
            for key in (*self.favourites, *self.recent)
            if key in place
        }
        if self.view is not EntryKind.WORKLOADS:
            return _in_order(self._lists[_TOP], scores, liked)
        # A workload is shown with its pods, and comes as early as the best of them deserves.
        for key, like in list(liked.items()):
            if (parent := place[key]) and like < liked.get(parent, _UNKNOWN):
                liked[parent] = like
        tops, lists = self._lists[_TOP], self._lists
        shown: list[str] = []
        if scores is None:
            for key in _in_order(tops, None, liked):
                shown.append(key)
                if key not in folded and key in lists:
                    shown += _in_order(lists[key], None, liked) if key in liked else lists[key]
            return shown
        beneath, above = self._beneath, {}
        if not beneath:
            parents = set(map(place.__getitem__, scores))
            beneath.update((key, _NONE) for key in tops if key not in parents)
        for key in tops:
            pods = beneath.get(key) or self._matching_beneath(key, scores, liked)
            score = max(scores.get(key, -1), pods[1])
            if score >= 0:
                above[key] = score
        for key in _in_order(tops, above, liked):
            shown.append(key)
            shown += beneath[key][0]
        return shown

    def _matching_beneath(
        self, key: str, scores: Mapping[str, int], liked: Mapping[str, tuple[bool, int]]
    ) -> tuple[list[str], int]:
        """The pods of a workload that match, as they are shown, and the best of their scores."""
        pods = _in_order(self._lists.get(key, []), scores, liked if key in liked else _NOBODY)
        found = pods, max((scores[pod] for pod in pods), default=-1)
        self._beneath[key] = found
        return found


def _in_order(
    keys: list[str], scores: Mapping[str, int] | None, liked: Mapping[str, tuple[bool, int]]
) -> list[str]:
    """Those that match, the best first; before them what is liked or was used; else as given."""
    if scores is not None:
        keys = [key for key in keys if key in scores]
        keys.sort(key=scores.__getitem__, reverse=True)  # leaves equals as they are
    if liked and (front := [key for key in keys if key in liked]):
        front.sort(key=liked.__getitem__)
        return front + [key for key in keys if key not in liked]
    return keys


def _as_it_is(key: str) -> str:
    return key


def _by_name(key: str) -> str:
    kind, _, name = key.partition("/")
    return f"{name}\0{kind}"
