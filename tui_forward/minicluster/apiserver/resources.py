"""The resources that the API server serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    """A resource.

    Attributes:
        fields: Getters of the fields that `fieldSelector` supports besides name and namespace.
        decode_selectable: Decodes the parts of an object that `fields` requires.
    """

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


def _fields(*paths: str) -> dict[str, Callable[[Object], str]]:
    return {path: _getter(path) for path in paths}


SCALE = Subresource("scale", "Scale", group="autoscaling", version="v1")


def _status(kind: str) -> Subresource:
    return Subresource("status", kind)


def _apps(plural: str, kind: str, short: str, *subresources: Subresource) -> Resource:
    return Resource(
        "apps",
        "v1",
        plural,
        kind.lower(),
        kind,
        short=(short,),
        categories=("all",),
        subresources=(*subresources, _status(kind)),
    )


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


NAMESPACES = Resource(
    "",
    "v1",
    "namespaces",
    "namespace",
    "Namespace",
    namespaced=False,
    short=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(_status("Namespace"),),
    fields=_fields("status.phase"),
)
NODES = Resource(
    "",
    "v1",
    "nodes",
    "node",
    "Node",
    namespaced=False,
    short=("no",),
    subresources=(_status("Node"),),
    fields=_fields("spec.unschedulable"),
)
PODS = Resource(
    "",
    "v1",
    "pods",
    "pod",
    "Pod",
    short=("po",),
    categories=("all",),
    subresources=(
        Subresource("binding", "Binding", ("create",)),
        Subresource("log", "Pod", ("get",)),
        Subresource("portforward", "PodPortForwardOptions", ("create", "get")),
        _status("Pod"),
    ),
    fields=_fields(
        "status.phase",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    decode_selectable=_decode_pod,
)
SERVICES = Resource(
    "",
    "v1",
    "services",
    "service",
    "Service",
    short=("svc",),
    categories=("all",),
    subresources=(_status("Service"),),
    fields=_fields("spec.clusterIP", "spec.type"),
)
EVENTS = Resource(
    "",
    "v1",
    "events",
    "event",
    "Event",
    short=("ev",),
    fields=_fields(
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
)
CONFIGMAPS = Resource("", "v1", "configmaps", "configmap", "ConfigMap", short=("cm",))
SERVICEACCOUNTS = Resource(
    "", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", short=("sa",)
)
DEPLOYMENTS = _apps("deployments", "Deployment", "deploy", SCALE)
REPLICASETS = _apps("replicasets", "ReplicaSet", "rs", SCALE)
STATEFULSETS = _apps("statefulsets", "StatefulSet", "sts", SCALE)
DAEMONSETS = _apps("daemonsets", "DaemonSet", "ds")
JOBS = Resource(
    "batch",
    "v1",
    "jobs",
    "job",
    "Job",
    categories=("all",),
    subresources=(_status("Job"),),
    fields=_fields("status.successful"),
)

RESOURCES: tuple[Resource, ...] = (
    CONFIGMAPS,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICEACCOUNTS,
    SERVICES,
    DAEMONSETS,
    DEPLOYMENTS,
    REPLICASETS,
    STATEFULSETS,
    JOBS,
)

# Reviews are not stored: they only support `create`.
REVIEWS: tuple[Resource, ...] = (
    Resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
        "SelfSubjectAccessReview",
        namespaced=False,
        verbs=("create",),
    ),
    Resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
        "SelfSubjectRulesReview",
        namespaced=False,
        verbs=("create",),
    ),
    Resource(
        "authentication.k8s.io",
        "v1",
        "selfsubjectreviews",
        "selfsubjectreview",
        "SelfSubjectReview",
        namespaced=False,
        verbs=("create",),
    ),
)

BY_PATH: dict[tuple[str, str, str], Resource] = {
    (resource.group, resource.version, resource.plural): resource
    for resource in (*RESOURCES, *REVIEWS)
}
