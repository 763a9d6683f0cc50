"""Routing: the resource, verb and names of a request.

Paths follow the Kubernetes API conventions: `/api/v1/…` and `/apis/{group}/{version}/…`, then
`[namespaces/{namespace}/]{resource}[/{name}[/{subresource}]]`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.auth import Attributes
from tui_forward.minicluster.apiserver.http import Request
from tui_forward.minicluster.apiserver.resources import Resource
from tui_forward.minicluster.apiserver.status_errors import method_not_allowed, no_such_path


@dataclass(frozen=True, slots=True)
class Target:
    """The objects that a request is for.

    Attributes:
        verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`,
            `deletecollection`.
    """

    resource: Resource
    verb: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def attributes(self) -> Attributes:
        """The attributes that authorization checks."""
        plural = self.resource.plural
        return Attributes(
            self.verb,
            group=self.resource.group,
            resource=f"{plural}/{self.subresource}" if self.subresource else plural,
            namespace=self.namespace,
            name=self.name,
        )


_WITH_NAME = {"GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "POST": "create"}
_WITHOUT_NAME = {"GET": "list", "HEAD": "list", "POST": "create", "DELETE": "deletecollection"}


def route(request: Request) -> Target | None:
    """Return the objects that a request is for; None for other paths, such as discovery."""
    parts = request.path.strip("/").split("/")
    if len(parts) >= 3 and parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    # `namespaces/x` is the namespace itself; a longer path is an object in the namespace.
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    resource = resources.BY_PATH.get((group, version, rest[0]))
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        raise no_such_path()
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if resource is resources.NAMESPACES:
        namespace = name
    if subresource and subresource not in {each.name for each in resource.subresources}:
        raise no_such_path()
    verb = (_WITH_NAME | {"DELETE": "delete"} if name else _WITHOUT_NAME).get(request.method)
    if verb is None:
        raise method_not_allowed()
    if verb in ("get", "list") and not subresource and request.flag("watch"):
        verb = "watch"
    return Target(resource, verb, namespace, name, subresource)
