"""Events: what happened to an object, for `kubectl describe` and `kubectl get events`."""

from __future__ import annotations

from collections import deque

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver import timestamps as timestamps
from tui_forward.minicluster.apiserver.create_update_delete import ObjectWriter
from tui_forward.minicluster.apiserver.store import Item, Store

# A real API server forgets events after an hour; this one when there are too many.
KEPT = 500


class EventRecorder:
    """Records events of the control plane."""

    def __init__(self, store: Store, writer: ObjectWriter) -> None:
        self._store = store
        self._writer = writer
        self._names: deque[tuple[str, str]] = deque()
        self._known: dict[tuple[str, str, str], tuple[str, str]] = {}

    def record(self, about: Item, kind: str, reason: str, message: str, component: str) -> None:
        """Record an event, or count it when it has been recorded before."""
        now = timestamps.now()
        same = (about.uid, reason, message)
        known = self._known.get(same)
        old = self._store.get(resources.EVENTS, *known) if known else None
        if old is not None:
            event = old.copy()
            event["lastTimestamp"] = now
            event["count"] = event.get("count", 1) + 1
            self._store.put(resources.EVENTS, event)
            return
        name = f"{about.name}.{self._writer.identities.uid().replace('-', '')[:16]}"
        namespace = about.namespace or "default"
        event = {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "kind": about.resource.kind,
                "namespace": about.namespace,
                "name": about.name,
                "uid": about.uid,
                "apiVersion": about.resource.api_version,
                "resourceVersion": str(about.version),
            },
            "reason": reason,
            "message": message,
            "source": {"component": component},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": kind,
            "eventTime": None,
            "reportingComponent": component,
            "reportingInstance": "",
        }
        home = self._store.get(resources.NAMESPACES, "", namespace)
        if home is None or home.deleting:
            return
        self._writer.add(resources.EVENTS, event, namespace)
        self._names.append((namespace, name))
        self._known[same] = (namespace, name)
        if len(self._names) > KEPT:
            oldest = self._names.popleft()
            self._store.remove(resources.EVENTS, *oldest)
            self._known = {key: value for key, value in self._known.items() if value != oldest}
