"""Events of the control plane, as `kubectl describe` and `kubectl get events` show them."""

from __future__ import annotations

from collections import deque

from tui_forward.minicluster.apiserver import resources, timestamps
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter
from tui_forward.minicluster.apiserver.store import Item, Store

# A real API server deletes events after an hour; this one keeps the latest.
MAX_EVENTS = 500


class EventRecorder:
    """Records events and counts repeated ones."""

    def __init__(self, store: Store, writer: ObjectWriter) -> None:
        self._store = store
        self._writer = writer
        self._names: deque[tuple[str, str]] = deque()
        self._name_by_cause: dict[tuple[str, str, str], tuple[str, str]] = {}

    def record(self, involved: Item, kind: str, reason: str, message: str, component: str) -> None:
        """Record an event, or increase the count of an equal one."""
        now = timestamps.now()
        cause = (involved.uid, reason, message)
        earlier = self._name_by_cause.get(cause)
        existing = self._store.get(resources.EVENTS, *earlier) if earlier else None
        if existing is not None:
            event = existing.copy()
            event["lastTimestamp"] = now
            event["count"] = event.get("count", 1) + 1
            self._store.put(resources.EVENTS, event)
            return
        name = f"{involved.name}.{self._writer.uid_generator.uid().replace('-', '')[:16]}"
        namespace_name = involved.namespace or "default"
        event = {
            "metadata": {"name": name, "namespace": namespace_name},
            "involvedObject": {
                "kind": involved.resource.kind,
                "namespace": involved.namespace,
                "name": involved.name,
                "uid": involved.uid,
                "apiVersion": involved.resource.api_version,
                "resourceVersion": str(involved.version),
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
        namespace = self._store.get(resources.NAMESPACES, "", namespace_name)
        if namespace is None or namespace.deleting:
            return
        self._writer.create(resources.EVENTS, event, namespace_name)
        self._names.append((namespace_name, name))
        self._name_by_cause[cause] = (namespace_name, name)
        if len(self._names) > MAX_EVENTS:
            oldest = self._names.popleft()
            self._store.remove(resources.EVENTS, *oldest)
            self._name_by_cause = {
                key: value for key, value in self._name_by_cause.items() if value != oldest
            }
