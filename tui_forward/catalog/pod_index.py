"""Index of pods by name and label. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from tui_forward.catalog.label_selector import parse_selector
from tui_forward.model import Pod

Key = tuple[str, str]
Term = TypeVar("Term")


class PodIndex:
    """Pods of a scope. An update costs a few dictionary operations, whatever the size.

    A pod's status changes far more often than its labels, so these are reindexed only when they
    differ.
    """

    def __init__(self) -> None:
        self._pods: dict[Key, Pod] = {}
        # Dictionaries as ordered sets.
        self._by_label: dict[tuple[str, str, str], dict[Key, None]] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def __iter__(self) -> Iterator[Pod]:
        return iter(self._pods.values())

    def get(self, namespace: str, name: str) -> Pod | None:
        """Return a pod by name."""
        return self._pods.get((namespace, name))

    def update(self, old: Pod | None, new: Pod | None) -> None:
        """Apply an added (`old` is None), changed, or removed (`new` is None) pod."""
        if old is not None and new is not None:
            self._pods[new.namespace, new.name] = new
            if old.labels is not new.labels and old.labels != new.labels:
                self._unlabel(old)
                self._label(new)
        elif new is not None:
            self._pods[new.namespace, new.name] = new
            self._label(new)
        elif old is not None:
            self._pods.pop((old.namespace, old.name), None)
            self._unlabel(old)

    def matching(self, namespace: str, selector: str) -> list[Pod]:
        """Return the pods of a namespace that match a label selector, or raise UsageError."""
        parsed = parse_selector(selector)
        empty: dict[Key, None] = {}
        candidates = [
            self._by_label.get((namespace, key, value), empty) for key, value in parsed.equalities
        ]
        if candidates:
            pods = [self._pods[key] for key in min(candidates, key=len)]
        else:
            pods = [pod for pod in self._pods.values() if pod.namespace == namespace]
        return [pod for pod in pods if parsed.matches(pod.labels)]

    def _label(self, pod: Pod) -> None:
        key = (pod.namespace, pod.name)
        for label, value in pod.labels.items():
            term = (pod.namespace, label, value)
            entry = self._by_label.get(term)
            if entry is None:
                entry = self._by_label[term] = {}
            entry[key] = None

    def _unlabel(self, pod: Pod) -> None:
        for label, value in pod.labels.items():
            self._remove(self._by_label, (pod.namespace, label, value), pod)

    @staticmethod
    def _remove(index: dict[Term, dict[Key, None]], term: Term, pod: Pod) -> None:
        entry = index.get(term)
        if entry is not None:
            entry.pop((pod.namespace, pod.name), None)
            if not entry:
                del index[term]
