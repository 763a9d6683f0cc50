"""The resources that the API server serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import msgspec

# A decoded Kubernetes object, or a part of one.
Object: TypeAlias = dict[str, Any]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource as discovery lists it."""

    name: str
    kind: str
    verbs: tuple[str, ...] = ("get", "patch", "update")
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    # Getters of the fields that `fieldSelector` supports besides name and namespace.
    fields: Mapping[str, Callable[[Object], str]] = field(default_factory=dict)
    decode_selectable: Callable[[bytes], Object] = msgspec.json.Decoder(Object).decode

    @property
    def api_version(self) -> str:
        """Group and version, such as `v1` or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def json_prefix(self) -> bytes:
        """The start of the JSON of an object with its kind."""
        return b'{"kind":"%b","apiVersion":"%b",' % (self.kind.encode(), self.api_version.encode())

    @property
    def has_status(self) -> bool:
        """Whether objects have a status that is written apart."""
        return any(each.name == "status" for each in self.subresources)

    def is_selectable(self, field: str) -> bool:
        """Return whether `fieldSelector` supports a field."""
        return field in ("metadata.name", "metadata.namespace") or field in self.fields

    def __hash__(self) -> int:
        return hash((self.group, self.plural))


def _getter(path: str) -> Callable[[Object], str]:
    def get(obj: Object) -> str:
        value: Any = obj
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return "" if value is None else str(value)

    return get


def _resource(
    group: str,
    kind: str,
    short: str = "",
    *subresources: Subresource,
    has_status: bool = True,
    fields: str = "",
    **more: Any,
) -> Resource:
    """Return a resource; names and versions of all resources follow from their kinds."""
    return Resource(
        group,
        "v1",
        f"{kind.lower()}s",
        kind.lower(),
        kind,
        short=(short,) if short else (),
        subresources=(*subresources, Subresource("status", kind)) if has_status else subresources,
        fields={path: _getter(path) for path in fields.split()},
        **more,
    )


SCALE = Subresource("scale", "Scale", group="autoscaling", version="v1")


class _PodSpec(msgspec.Struct, omit_defaults=True):
    nodeName: str = ""  # noqa: N815 - the API's spelling
    restartPolicy: str = ""  # noqa: N815
    schedulerName: str = ""  # noqa: N815
    serviceAccountName: str = ""  # noqa: N815


class _PodStatus(msgspec.Struct, omit_defaults=True):
    phase: str = ""
    podIP: str = ""  # noqa: N815
    nominatedNodeName: str = ""  # noqa: N815


class _SelectablePod(msgspec.Struct):
    spec: _PodSpec
    status: _PodStatus


_decode_selectable_pod = msgspec.json.Decoder(_SelectablePod).decode


def _decode_pod(raw: bytes) -> Object:
    """Decode a pod's selectable fields; decoding a whole pod takes ten times as long."""
    pod: Object = msgspec.to_builtins(_decode_selectable_pod(raw))
    return pod


_ALL = ("all",)

NAMESPACES = _resource(
    "",
    "Namespace",
    "ns",
    namespaced=False,
    verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
    fields="status.phase",
)
NODES = _resource("", "Node", "no", namespaced=False, fields="spec.unschedulable")
PODS = _resource(
    "",
    "Pod",
    "po",
    Subresource("binding", "Binding", ("create",)),
    Subresource("log", "Pod", ("get",)),
    Subresource("portforward", "PodPortForwardOptions", ("create", "get")),
    categories=_ALL,
    fields="status.phase spec.nodeName spec.restartPolicy spec.schedulerName "
    "spec.serviceAccountName status.podIP status.nominatedNodeName",
    decode_selectable=_decode_pod,
)
SERVICES = _resource("", "Service", "svc", categories=_ALL, fields="spec.clusterIP spec.type")
EVENTS = _resource(
    "",
    "Event",
    "ev",
    has_status=False,
    fields="involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid "
    "involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath "
    "reason reportingComponent source type",
)
CONFIGMAPS = _resource("", "ConfigMap", "cm", has_status=False)
SERVICEACCOUNTS = _resource("", "ServiceAccount", "sa", has_status=False)
DEPLOYMENTS = _resource("apps", "Deployment", "deploy", SCALE, categories=_ALL)
REPLICASETS = _resource("apps", "ReplicaSet", "rs", SCALE, categories=_ALL)
STATEFULSETS = _resource("apps", "StatefulSet", "sts", SCALE, categories=_ALL)
DAEMONSETS = _resource("apps", "DaemonSet", "ds", categories=_ALL)
# Both are written by users for services without a selector, and by a controller for all others.
ENDPOINTSLICES = _resource("discovery.k8s.io", "EndpointSlice", has_status=False)
ENDPOINTS = replace(
    _resource("", "Endpoints", "ep", has_status=False), plural="endpoints", singular="endpoints"
)
JOBS = _resource("batch", "Job", categories=_ALL, fields="status.successful")

_RBAC_GROUP = "rbac.authorization.k8s.io"
ROLES = _resource(_RBAC_GROUP, "Role", has_status=False)
ROLEBINDINGS = _resource(_RBAC_GROUP, "RoleBinding", has_status=False)
CLUSTERROLES = _resource(_RBAC_GROUP, "ClusterRole", has_status=False, namespaced=False)
CLUSTERROLEBINDINGS = _resource(
    _RBAC_GROUP, "ClusterRoleBinding", has_status=False, namespaced=False
)
RBAC: tuple[Resource, ...] = (ROLES, ROLEBINDINGS, CLUSTERROLES, CLUSTERROLEBINDINGS)

RESOURCES: tuple[Resource, ...] = (
    *(CONFIGMAPS, ENDPOINTS, EVENTS, NAMESPACES, NODES, PODS, SERVICEACCOUNTS, SERVICES),
    *(DAEMONSETS, DEPLOYMENTS, REPLICASETS, STATEFULSETS, JOBS, ENDPOINTSLICES),
    *RBAC,
)

# Reviews are not stored: they only support `create`.
REVIEWS: tuple[Resource, ...] = tuple(
    _resource(
        f"{group}.k8s.io",
        kind,
        has_status=False,
        namespaced=kind.startswith("Local"),
        verbs=("create",),
    )
    for group, kind in (
        ("authorization", "LocalSubjectAccessReview"),
        ("authorization", "SelfSubjectAccessReview"),
        ("authorization", "SelfSubjectRulesReview"),
        ("authorization", "SubjectAccessReview"),
        ("authentication", "SelfSubjectReview"),
    )
)

BY_PATH: dict[tuple[str, str, str], Resource] = {
    (resource.group, resource.version, resource.plural): resource
    for resource in (*RESOURCES, *REVIEWS)
}
