"""The cluster as the dashboard last heard of it: full pictures and changes, put together. Pure."""

from __future__ import annotations

from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    CatalogView,
    DeclaredPort,
    Namespace,
    Pod,
    ResourceStatus,
)


class Picture:
    """Keeps what `CatalogView`s tell about one scope.

    Attributes:
        version: Ask for changes since this one.
        namespaces: By name, sorted.
        pods: By key `namespace/name`, sorted.
    """

    def __init__(self, scope: CatalogScope) -> None:
        self.scope = scope
        self.version = 0
        self.namespaces: dict[str, Namespace] = {}
        self.pods: dict[str, Pod] = {}
        self.resources: dict[str, ResourceStatus] = {}
        self.health: ApiHealth | None = None

    def apply(self, view: CatalogView) -> bool:
        """Take in a view, and say whether objects came, went or changed.

        A view of another scope is an answer to an older question, and ignored.
        """
        if view.scope != self.scope:
            return False
        self.health = view.health or self.health
        self.resources.update({status.resource: status for status in view.resources})
        changed = bool(view.complete or view.namespaces or view.pods or view.removed) and (
            view.version != self.version
        )
        self.version = view.version
        if not changed:
            return False
        if view.complete:
            self.namespaces.clear()
            self.pods.clear()
        for key in view.removed:
            resource, _, rest = key.partition("/")
            if resource == "pods":
                self.pods.pop(rest, None)
            elif resource == "namespaces":
                self.namespaces.pop(rest.removeprefix("/"), None)
        before = (len(self.namespaces), len(self.pods))
        self.namespaces.update({namespace.name: namespace for namespace in view.namespaces})
        self.pods.update({pod_key(pod): pod for pod in view.pods})
        if before != (len(self.namespaces), len(self.pods)):
            self.namespaces = dict(sorted(self.namespaces.items()))
            self.pods = dict(sorted(self.pods.items()))
        return True

    def trouble(self, resource: str) -> ResourceStatus | None:
        """What keeps a resource from being live, if anything."""
        status = self.resources.get(resource)
        return status if status is not None and status.error else None


def pod_key(pod: Pod) -> str:
    """Identifies a pod among all of a cluster."""
    return f"{pod.namespace}/{pod.name}"


def port_word(pod: Pod, port: DeclaredPort) -> str:
    """How a forward should name a port: by its name, which survives a change of the number."""
    same_name = sum(1 for other in pod.ports if other.name == port.name)
    return port.name if port.name and same_name == 1 else str(port.number)
