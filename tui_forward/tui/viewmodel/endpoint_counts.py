"""Number of Ready pods behind each service, kept up to date incrementally. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.model import PodSummary, Service
from tui_forward.tui.viewmodel.cluster_state import ClusterState

_Label = tuple[str, str]
_Place = tuple[str, _Label]  # namespace and label


class EndpointCounts:
    """Counts for the services of a cluster state.

    Pods are indexed by one label of each selector only, in a namespace whose services are asked
    for, so that neither thousands of pods nor their changes cost much.
    """

    def __init__(self, cluster_state: ClusterState) -> None:
        self._cluster_state = cluster_state
        self._selectors: dict[str, tuple[_Label, ...]] = {}  # by key of the service
        self._pods: dict[_Place, set[str]] = {}  # by namespace and indexed label
        self._indexed: dict[str, tuple[_Place, ...]] = {}  # places of each pod
        # Keys of pods and services, by namespace, until one of its services is asked for.
        self._waiting: dict[str, set[str]] = {}

    def clear(self) -> None:
        """Forget everything, while no service is shown."""
        for index in (self._selectors, self._pods, self._indexed, self._waiting):
            index.clear()

    def rebuild(self) -> None:
        """Count again all pods of all services, namespace by namespace as they are asked for."""
        self.clear()
        waiting = self._waiting
        for key, service in self._cluster_state.services.items():
            waiting.setdefault(service.namespace, set()).add(key)
        for key, pod in self._cluster_state.pods.items():
            if (keys := waiting.get(pod.namespace)) is not None:
                keys.add(key)

    def _index(self, namespace: str) -> None:
        """Index the pods of a namespace by the selectors of its services."""
        state, keys = self._cluster_state, self._waiting.pop(namespace)
        for key in keys:
            if (service := state.services.get(key)) is not None:
                labels = self._selectors[key] = _labels(service.selector)
                if labels:
                    self._pods[namespace, labels[0]] = set()
        for key in keys:
            if (pod := state.pods.get(key)) is not None:
                self._put(key, self._places(pod))

    def update(self, changed: Iterable[str]) -> None:
        """Apply changes of pods and services, by key."""
        services = self._cluster_state.services
        indexed = []
        for key in changed:
            waiting = self._waiting.get(key.split("/", 2)[1])
            if waiting is not None:
                waiting.add(key)
            else:
                indexed.append(key)
        for key in indexed:
            service = services.get(key)
            selector = _labels(service.selector) if service is not None else None
            if selector != self._selectors.get(key):
                self.rebuild()
                return
        for key in indexed:
            for place in self._indexed.pop(key, ()):
                self._pods[place].discard(key)
            if (pod := self._cluster_state.pods.get(key)) is not None:
                self._put(key, self._places(pod))

    def of(self, key: str, service: Service) -> int | None:
        """Return the number of Ready pods of a service; None if it is not known."""
        if service.namespace in self._waiting:
            self._index(service.namespace)
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
