"""Roles and bindings of a new cluster: those of Kubernetes, and those of the sample users."""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.users import (
    ADMINS,
    AUTHENTICATED,
    NODES,
    PORT_FORWARD_NAMESPACE,
    PORT_FORWARD_USER,
    UNAUTHENTICATED,
    VIEWER,
)

_RBAC = "rbac.authorization.k8s.io"
_READ = "get list watch"
_WRITE = "create delete deletecollection patch update"
_ALL = f"{_READ} {_WRITE}"
_WORKLOADS = "daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets"
_WORKLOADS += " statefulsets/scale"
_OBJECTS = "configmaps pods serviceaccounts services"
_HEALTH = "/healthz /livez /readyz /version /version/"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}


def _rule(verbs: str, kinds: str, group: str = "") -> Object:
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": kinds.split()}


def _paths(paths: str) -> Object:
    return {"verbs": ["get"], "nonResourceURLs": paths.split()}


_VIEW = [
    _rule(_READ, f"{_OBJECTS} endpoints events namespaces pods/log pods/status"),
    _rule(_READ, _WORKLOADS, "apps"),
    _rule(_READ, "jobs", "batch"),
    _rule(_READ, "endpointslices", "discovery.k8s.io"),
]
_EDIT = [
    # Verbs of pods/portforward as in Kubernetes, where `edit` has all of them and `view` none.
    _rule(_READ, "pods/portforward"),
    _rule(_WRITE, f"{_OBJECTS} pods/portforward"),
    _rule(_WRITE, _WORKLOADS, "apps"),
    _rule(_WRITE, "jobs", "batch"),
    *_VIEW,
]
_CLUSTER_ROLES: dict[str, list[Object]] = {
    "cluster-admin": [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ],
    "admin": [
        *_EDIT,
        _rule("create", "localsubjectaccessreviews", "authorization.k8s.io"),
        _rule(_READ, "rolebindings roles", _RBAC),
    ],
    "edit": _EDIT,
    "view": _VIEW,
    "system:basic-user": [
        _rule("create", "selfsubjectaccessreviews selfsubjectrulesreviews", "authorization.k8s.io"),
        _rule("create", "selfsubjectreviews", "authentication.k8s.io"),
    ],
    "system:discovery": [_paths(f"/api /api/* /apis /apis/* {_HEALTH} /openapi /openapi/*")],
    "system:public-info-viewer": [_paths(_HEALTH)],
    "system:node": [
        _rule("get list watch delete", "pods"),
        _rule("get patch update", "pods/status nodes/status"),
        _rule("get list watch create patch update", "nodes"),
        _rule("create patch update", "events"),
        _rule(_READ, "services configmaps"),
    ],
    "node-reader": [_rule(_READ, "nodes")],
}


def _subject(kind: str, name: str) -> Object:
    return {"kind": kind, "apiGroup": _RBAC, "name": name}


_GROUP, _USER = "Group", "User"
# ClusterRole and subjects by the names of their ClusterRoleBindings.
_CLUSTER_ROLE_BINDINGS: dict[str, tuple[str, list[Object]]] = {
    "cluster-admin": ("cluster-admin", [_subject(_GROUP, ADMINS)]),
    "system:basic-user": ("system:basic-user", [_subject(_GROUP, AUTHENTICATED)]),
    "system:discovery": ("system:discovery", [_subject(_GROUP, AUTHENTICATED)]),
    "system:public-info-viewer": (
        "system:public-info-viewer",
        [_subject(_GROUP, AUTHENTICATED), _subject(_GROUP, UNAUTHENTICATED)],
    ),
    # A real cluster has an authorizer for nodes.
    "system:node": ("system:node", [_subject(_GROUP, NODES)]),
    "viewer": ("view", [_subject(_USER, VIEWER)]),
    "viewer-nodes": ("node-reader", [_subject(_USER, VIEWER)]),
}


def create_default_roles(writer: ObjectWriter) -> None:
    """Create the roles and bindings of a new cluster; the namespaces of the samples exist."""
    for name, rules in _CLUSTER_ROLES.items():
        metadata: Object = {"name": name}
        if name.startswith("system:") or name in ("cluster-admin", "admin", "edit", "view"):
            metadata["labels"] = dict(_LABELS)
        writer.create(resources.CLUSTERROLES, {"metadata": metadata, "rules": rules}, "")
    for name, (role, subjects) in _CLUSTER_ROLE_BINDINGS.items():
        binding: Object = {
            "metadata": {"name": name, "labels": dict(_LABELS)},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
            "subjects": subjects,
        }
        writer.create(resources.CLUSTERROLEBINDINGS, binding, "")
    rules = [_rule(_READ, "pods"), _rule("get create", "pods/portforward")]
    named = {"name": "port-forward"}
    writer.create(
        resources.ROLES, {"metadata": dict(named), "rules": rules}, PORT_FORWARD_NAMESPACE
    )
    binding = {
        "metadata": {"name": PORT_FORWARD_USER},
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", **named},
        "subjects": [_subject(_USER, PORT_FORWARD_USER)],
    }
    writer.create(resources.ROLEBINDINGS, binding, PORT_FORWARD_NAMESPACE)
