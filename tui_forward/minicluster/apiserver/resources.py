"""Which resources exist, and the discovery documents that say so.

Discovery is answered in its plain form only; a client that asks for the aggregated one takes
that too (it looks at the Content-Type).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource that discovery names: its kind and verbs."""

    name: str
    kind: str
    verbs: tuple[str, ...] = ("get", "patch", "update")
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource.

    Attributes:
        fields: Extracts what `fieldSelector` can select by, besides name and namespace.
        partial: Decodes an object as far as `fields` needs it.
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
    fields: Mapping[str, Callable[[dict[str, Any]], str]] = field(default_factory=dict)
    partial: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder(dict[str, Any]).decode

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> bytes:
        """How the JSON of a whole object of this kind begins."""
        return b'{"kind":"%b","apiVersion":"%b",' % (self.kind.encode(), self.api_version.encode())

    def selectable(self, label: str) -> bool:
        """Whether `fieldSelector` knows this field."""
        return label in ("metadata.name", "metadata.namespace") or label in self.fields

    def __hash__(self) -> int:
        return hash((self.group, self.plural))


def _path(*names: str) -> Callable[[dict[str, Any]], str]:
    def value(item: dict[str, Any]) -> str:
        found: Any = item
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return "" if found is None else str(found)

    return value


def _paths(*dotted: str) -> dict[str, Callable[[dict[str, Any]], str]]:
    return {path: _path(*path.split(".")) for path in dotted}


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


class _PodPart(msgspec.Struct):
    spec: _PodSpec
    status: _PodStatus


_decode_pod_part = msgspec.json.Decoder(_PodPart).decode


def _pod_part(raw: bytes) -> dict[str, Any]:
    """A pod's selectable fields; decoding all of a pod takes ten times as long."""
    part: dict[str, Any] = msgspec.to_builtins(_decode_pod_part(raw))
    return part


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
    fields=_paths("status.phase"),
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
    fields=_paths("spec.unschedulable"),
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
    fields=_paths(
        "status.phase",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    partial=_pod_part,
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
    fields=_paths("spec.clusterIP", "spec.type"),
)
EVENTS = Resource(
    "",
    "v1",
    "events",
    "event",
    "Event",
    short=("ev",),
    fields=_paths(
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
    fields=_paths("status.successful"),
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

# Reviews are asked, not stored: only `create`.
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

GROUPS = ("apps", "authentication.k8s.io", "authorization.k8s.io", "batch")

BY_PATH: dict[tuple[str, str, str], Resource] = {
    (resource.group, resource.version, resource.plural): resource
    for resource in (*RESOURCES, *REVIEWS)
}
BY_KIND: dict[tuple[str, str], Resource] = {
    (resource.api_version, resource.kind): resource for resource in RESOURCES
}

VERSION: dict[str, str] = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2+minicluster",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "python",
    "platform": "any",
}


def api_versions(address: str) -> dict[str, Any]:
    """The answer to `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def _group(name: str) -> dict[str, Any]:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def api_group(name: str) -> dict[str, Any] | None:
    """The answer to `/apis/{group}`."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)} if name in GROUPS else None


def api_group_list() -> dict[str, Any]:
    """The answer to `/apis`."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(name) for name in GROUPS],
    }


def api_resource_list(group: str, version: str) -> dict[str, Any] | None:
    """The answer to `/api/v1` or `/apis/{group}/{version}`."""
    chosen = [r for r in (*RESOURCES, *REVIEWS) if (r.group, r.version) == (group, version)]
    if not chosen:
        return None
    entries: list[dict[str, Any]] = []
    for resource in sorted(chosen, key=lambda r: r.plural):
        entry: dict[str, Any] = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
        }
        if resource.short:
            entry["shortNames"] = list(resource.short)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        entries.append(entry)
        for sub in sorted(resource.subresources, key=lambda s: s.name):
            entry = {
                "name": f"{resource.plural}/{sub.name}",
                "singularName": "",
                "namespaced": resource.namespaced,
            }
            if sub.group:
                entry |= {"group": sub.group, "version": sub.version}
            entries.append({**entry, "kind": sub.kind, "verbs": list(sub.verbs)})
    head: dict[str, Any] = {"kind": "APIResourceList"}
    if group:
        head["apiVersion"] = "v1"
    return {
        **head,
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": entries,
    }
