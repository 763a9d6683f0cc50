"""Order of the shown entries: preferred first, then by score, workloads with their pods. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tui_forward.tui.viewmodel.entries import EntryKind
from tui_forward.tui.viewmodel.entry_matches import EntryMatches
from tui_forward.tui.viewmodel.sorted_entries import TOP, SortedEntries

# Of favorites and recently used entries: whether it is none, and its rank. The least comes first.
Preference = tuple[bool, int]

NEVER = 1 << 30  # rank of an entry that was not used recently
_LEAST_PREFERRED: Preference = (True, NEVER + 1)  # after every preferred key
_NO_PREFERENCES: Mapping[str, Preference] = {}
_NO_MATCHES: tuple[Sequence[str], int] = ((), -1)


class EntryArrangement:
    """Arranges sorted lists and matches into the rows of a table."""

    def __init__(
        self, lists: SortedEntries, matches: EntryMatches, is_folded: Callable[[str], bool]
    ) -> None:
        # The last of the favorites and recently used entries, if others follow.
        self.last_preferred: str | None = None
        self._sorted = lists
        self._matches = matches
        self._is_folded = is_folded  # of workloads, while no query looks for their pods

    def arrange(self, preferences: dict[str, Preference]) -> Sequence[str]:
        """Return the keys of the shown entries in order."""
        self.last_preferred = None
        matches = self._matches
        scores = matches.scores if matches.query else None
        if self._sorted.kind is not EntryKind.WORKLOADS:
            shown = _in_order(self._sorted.listed(TOP), scores, preferences)
            if scores is None and preferences and len(preferences) < len(shown):
                self.last_preferred = shown[len(preferences) - 1]
            return shown
        # A workload is shown with its pods, in the position of its most preferred pod.
        parents = self._sorted.parents
        for key, preference in list(preferences.items()):
            if (parent := parents[key]) and preference < preferences.get(parent, _LEAST_PREFERRED):
                preferences[parent] = preference
        if scores is None:
            return self._with_pods(preferences)
        return self._matching(scores, preferences)

    def _with_pods(self, preferences: Mapping[str, Preference]) -> list[str]:
        """Return the workloads with the pods of those that are not folded."""
        listed, is_folded, preferred_before = self._sorted.listed, self._is_folded, False
        shown: list[str] = []
        for key in _in_order(listed(TOP), None, preferences):
            is_preferred = key in preferences
            if preferred_before and not is_preferred:
                self.last_preferred = shown[-1]
            preferred_before = is_preferred
            shown.append(key)
            if not is_folded(key):
                pods = listed(key)
                shown += _in_order(pods, None, preferences) if is_preferred else pods
        return shown

    def _matching(
        self, scores: Mapping[str, int], preferences: Mapping[str, Preference]
    ) -> list[str]:
        """Return the workloads that match, or whose pods do, with these pods."""
        tops, parents = self._sorted.listed(TOP), self._sorted.parents
        matching_pods, top_scores = self._matches.pods_of, {}
        if not matching_pods:
            workloads = set(map(parents.__getitem__, scores))
            matching_pods.update((key, _NO_MATCHES) for key in tops if key not in workloads)
        for key in tops:
            pods = matching_pods.get(key) or self._find_matching_pods(key, scores, preferences)
            score = max(scores.get(key, -1), pods[1])
            if score >= 0:
                top_scores[key] = score
        shown: list[str] = []
        for key in _in_order(tops, top_scores, preferences):
            shown.append(key)
            shown += matching_pods[key][0]
        return shown

    def _find_matching_pods(
        self, key: str, scores: Mapping[str, int], preferences: Mapping[str, Preference]
    ) -> tuple[Sequence[str], int]:
        """Return the matching pods of a workload in order, and their best score."""
        pods = _in_order(
            self._sorted.listed(key), scores,
            preferences if key in preferences else _NO_PREFERENCES,
        )  # fmt: skip
        found = pods, max(map(scores.__getitem__, pods), default=-1)
        self._matches.pods_of[key] = found
        return found


def _in_order(
    keys: Sequence[str], scores: Mapping[str, int] | None, preferences: Mapping[str, Preference]
) -> Sequence[str]:
    """Return matching keys: preferred first, then by score, otherwise in the given order."""
    if scores is not None:
        keys = sorted(
            [key for key in keys if key in scores], key=scores.__getitem__, reverse=True
        )  # stable
    if preferences and (front := [key for key in keys if key in preferences]):
        front.sort(key=preferences.__getitem__)
        return front + [key for key in keys if key not in preferences]
    return keys
