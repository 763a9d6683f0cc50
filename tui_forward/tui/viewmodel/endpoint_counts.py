"""Number of Ready pods behind each service, kept up to date incrementally. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.model import PodSummary, Service
from tui_forward.tui.viewmodel.cluster_state import ClusterState

_Label = tuple[str, str]
_Place = tuple[str, _Label]  # namespace and label


class EndpointCounts:
    """Counts for the services of a cluster state.

    Pods are indexed by one label of each selector only, so that neither thousands of pods nor
    their changes cost much.
    """

    def __init__(self, cluster_state: ClusterState) -> None:
        self._cluster_state = cluster_state
        self._selectors: dict[str, tuple[_Label, ...]] = {}  # by key of the service
        self._pods: dict[_Place, set[str]] = {}  # by namespace and indexed label
        self._indexed: dict[str, tuple[_Place, ...]] = {}  # places of each pod

    def rebuild(self) -> None:
        """Index all pods by the selectors of all services."""
        services = self._cluster_state.services
        self._selectors = {key: _labels(one.selector) for key, one in services.items()}
        self._pods = {
            (services[key].namespace, labels[0]): set()
            for key, labels in self._selectors.items()
            if labels
        }
        self._indexed.clear()
        found: dict[tuple[str, int], tuple[_Place, ...]] = {}
        for key, pod in self._cluster_state.pods.items():
            shared = pod.namespace, id(pod.labels)  # one object for the pods of a workload
            places = found.get(shared)
            if places is None:
                places = found[shared] = self._places(pod)
            self._put(key, places)

    def update(self, changed: Iterable[str]) -> None:
        """Apply changes of pods and services, by key."""
        services = self._cluster_state.services
        changed = tuple(changed)
        for key in changed:
            service = services.get(key)
            selector = _labels(service.selector) if service is not None else None
            if selector != self._selectors.get(key):
                self.rebuild()
                return
        for key in changed:
            for place in self._indexed.pop(key, ()):
                self._pods[place].discard(key)
            if (pod := self._cluster_state.pods.get(key)) is not None:
                self._put(key, self._places(pod))

    def of(self, key: str, service: Service) -> int | None:
        """Return the number of Ready pods of a service; None if it is not known."""
        labels = self._selectors.get(key)
        status = self._cluster_state.resources.get("pods")
        if not labels or status is None or not status.synced:
            return None
        pods, wanted = self._cluster_state.pods, labels[1:]
        return sum(
            pod.ready and all(pod.labels.get(name) == value for name, value in wanted)
            for one in self._pods[service.namespace, labels[0]]
            if (pod := pods.get(one)) is not None
        )

    def _places(self, pod: PodSummary) -> tuple[_Place, ...]:
        """Return where a pod is indexed."""
        return tuple(
            place for label in pod.labels.items() if (place := (pod.namespace, label)) in self._pods
        )

    def _put(self, key: str, places: tuple[_Place, ...]) -> None:
        if places:
            self._indexed[key] = places
            for place in places:
                self._pods[place].add(key)


def _labels(selector: str) -> tuple[_Label, ...]:
    """Return the labels of the selector of a service, which only compares for equality."""
    pairs = (part.partition("=") for part in selector.split(",") if part)
    return tuple((name, value) for name, _, value in pairs)
