"""Resources of the API that are listed and watched: their paths and decoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

from tui_forward.kube.api import api_types, decoding
from tui_forward.model import (
    EndpointSlice,
    Namespace,
    Pod,
    PodAddresses,
    Service,
    TargetKind,
    Workload,
)

AnyItem = EndpointSlice | Namespace | Pod | PodAddresses | Service | Workload
Item = TypeVar("Item", bound=AnyItem)


@dataclass(frozen=True)
class Resource(Generic[Item]):
    """One resource of the API."""

    plural: str  # in URLs and RBAC rules ("pods")
    group: str  # empty for the core group
    root: str  # path of the group and version ("/api/v1")
    namespaced: bool
    wire_type: type[api_types.Object]  # its JSON is decoded into this
    convert: Callable[[api_types.Object], Item]  # to a type of `model`

    def path(self, namespace: str = "", name: str = "") -> str:
        """Return the path of the collection or of one object; an empty namespace means all."""
        parts = [self.root]
        if namespace and self.namespaced:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        return "/".join(parts)

    def describe(self, verb: str, namespace: str = "", name: str = "") -> str:
        """Return a request in words, for messages: `list pods in namespace shop`."""
        qualified = f"{self.plural}.{self.group}" if self.group else self.plural
        text = f"{verb} {qualified}"
        if name:
            text += f' "{name}"'
        if self.namespaced:
            text += f" in namespace {namespace}" if namespace else " in all namespaces"
        return text

    def decode(self, content: bytes | bytearray | memoryview | msgspec.Raw) -> Item:
        """Decode one object."""
        return self.convert(self.decoder.decode(content))

    @cached_property
    def list_decoder(self) -> msgspec.json.Decoder[list[api_types.Object]]:
        """Decoder of an array of objects."""
        # mypy does not accept a type that is known at run time only.
        return msgspec.json.Decoder(list[self.wire_type])  # type: ignore[name-defined]

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[api_types.Object]:
        """Decoder of one object."""
        return msgspec.json.Decoder(self.wire_type)


def _workload(kind: TargetKind) -> Callable[[api_types.Object], Workload]:
    def convert(raw: api_types.Object) -> Workload:
        assert isinstance(raw, api_types.Workload)
        return decoding.decode_workload(raw, kind)

    return convert


def _pod(raw: api_types.Object) -> Pod:
    assert isinstance(raw, api_types.Pod)
    return decoding.decode_pod(raw)


def _addressed_pod(raw: api_types.Object) -> PodAddresses:
    assert isinstance(raw, api_types.AddressedPod)
    return decoding.decode_pod_addresses(raw)


def _service(raw: api_types.Object) -> Service:
    assert isinstance(raw, api_types.Service)
    return decoding.decode_service(raw)


def _endpoint_slice(raw: api_types.Object) -> EndpointSlice:
    assert isinstance(raw, api_types.EndpointSlice)
    return decoding.decode_endpoint_slice(raw)


def _namespace(raw: api_types.Object) -> Namespace:
    assert isinstance(raw, api_types.Namespace)
    return decoding.decode_namespace(raw)


def _replication_controller(raw: api_types.Object) -> Workload:
    assert isinstance(raw, api_types.ReplicationController)
    return decoding.decode_replication_controller(raw)


def _apps(plural: str, kind: TargetKind) -> Resource[Workload]:
    return Resource(plural, "apps", "/apis/apps/v1", True, api_types.Workload, _workload(kind))


NAMESPACES: Resource[Namespace] = Resource(
    "namespaces", "", "/api/v1", False, api_types.Namespace, _namespace
)
PODS: Resource[Pod] = Resource("pods", "", "/api/v1", True, api_types.Pod, _pod)
POD_ADDRESSES: Resource[PodAddresses] = Resource(
    "pods", "", "/api/v1", True, api_types.AddressedPod, _addressed_pod
)
SERVICES: Resource[Service] = Resource("services", "", "/api/v1", True, api_types.Service, _service)
ENDPOINT_SLICES: Resource[EndpointSlice] = Resource(
    "endpointslices",
    "discovery.k8s.io",
    "/apis/discovery.k8s.io/v1",
    True,
    api_types.EndpointSlice,
    _endpoint_slice,
)
DEPLOYMENTS = _apps("deployments", TargetKind.DEPLOYMENT)
STATEFULSETS = _apps("statefulsets", TargetKind.STATEFULSET)
DAEMONSETS = _apps("daemonsets", TargetKind.DAEMONSET)
REPLICASETS = _apps("replicasets", TargetKind.REPLICASET)
JOBS: Resource[Workload] = Resource(
    "jobs", "batch", "/apis/batch/v1", True, api_types.Workload, _workload(TargetKind.JOB)
)
REPLICATION_CONTROLLERS: Resource[Workload] = Resource(
    "replicationcontrollers", "", "/api/v1", True, api_types.ReplicationController,
    _replication_controller,
)  # fmt: skip

WORKLOADS: dict[TargetKind, Resource[Workload]] = {
    TargetKind.DEPLOYMENT: DEPLOYMENTS,
    TargetKind.STATEFULSET: STATEFULSETS,
    TargetKind.DAEMONSET: DAEMONSETS,
    TargetKind.REPLICASET: REPLICASETS,
    TargetKind.REPLICATION_CONTROLLER: REPLICATION_CONTROLLERS,
    TargetKind.JOB: JOBS,
}
