"""Controllers of Endpoints and EndpointSlices.

Services with a selector have both, made of the pods that match it. For a service without one, users
write EndpointSlices, or Endpoints, which are copied to a slice. Services of type ExternalName have
none.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.resources import Object, Resource
from tui_forward.minicluster.apiserver.store import Item, encode
from tui_forward.minicluster.apiserver.uid_generator import ALPHABET
from tui_forward.minicluster.controllers.context import ControllerContext
from tui_forward.minicluster.controllers.pod_control import owner_reference
from tui_forward.minicluster.controllers.pod_endpoints import EndpointPort, PodEndpoint

SERVICE_LABEL = "kubernetes.io/service-name"
_MANAGER_LABEL = "endpointslice.kubernetes.io/managed-by"
_SLICE_CONTROLLER = "endpointslice-controller.k8s.io"
_MIRROR_CONTROLLER = "endpointslicemirroring-controller.k8s.io"
_SKIP_MIRROR_LABEL = "endpointslice.kubernetes.io/skip-mirror"
_HEADLESS_LABEL = "service.kubernetes.io/headless"
_ENDPOINTS_LABEL = "endpoints.kubernetes.io/managed-by"
_ENDPOINTS_CONTROLLER = "endpoint-controller"
MAX_SLICE_ENDPOINTS = 100


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Make the Endpoints and EndpointSlices of a service equal to its pods."""
    service = context.store.get(resources.SERVICES, namespace, name)
    if service is None:
        # The garbage collection deletes the slices, which the service owns.
        context.store.remove(resources.ENDPOINTS, namespace, name)
        return
    if service.deleting:
        return
    spec = service.copy()["spec"]
    if spec.get("type") == "ExternalName":
        return
    if not spec.get("selector"):
        # Slices from the time when it had a selector stay, as in a real cluster.
        mirrored = _mirror_slices(context.store.get(resources.ENDPOINTS, namespace, name))
        _write_slices(context, service, (_MIRROR_CONTROLLER,), mirrored)
        return
    pods = [
        PodEndpoint(pod, service, spec)
        for pod in context.store.all(resources.PODS, namespace)
        if spec["selector"].items() <= pod.labels.items()
    ]
    slices = _pod_slices(service, spec, pods)
    _write_slices(context, service, (_SLICE_CONTROLLER, _MIRROR_CONTROLLER), slices)
    _write_endpoints(context, service, spec, pods)


def _pod_slices(service: Item, spec: Object, pods: Iterable[PodEndpoint]) -> list[Object]:
    """Return the slices of a service: one per family and set of ports, and per 100 endpoints."""
    labels = {**service.labels, SERVICE_LABEL: service.name, _MANAGER_LABEL: _SLICE_CONTROLLER}
    if spec.get("clusterIP") == "None":
        labels[_HEADLESS_LABEL] = ""
    slices = []
    for family in spec.get("ipFamilies") or ("IPv4",):
        groups: dict[tuple[EndpointPort, ...], list[Object]] = {}
        for pod in pods:
            address = pod.address(family)
            if pod.exists and address:
                groups.setdefault(pod.ports, []).append(pod.encode(address))
        # A service without pods has one empty slice.
        for ports, endpoints in sorted(groups.items()) or [((), [])]:
            for first in range(0, max(len(endpoints), 1), MAX_SLICE_ENDPOINTS):
                part = endpoints[first : first + MAX_SLICE_ENDPOINTS]
                key = f"{service.uid} {family} {ports} {first}"
                metadata = _slice_metadata(service, service.name, key, labels)
                slices.append(_slice(metadata, family, part, [port.encode() for port in ports]))
    return slices


def _slice_metadata(owner: Item, service: str, key: str, labels: dict[str, str]) -> Object:
    """Return the metadata of a slice.

    Its name follows from the key: a random one would come from the same sequence as the names of
    pods, which would then depend on when services change.
    """
    digest = hashlib.sha256(key.encode()).digest()
    suffix = "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:5])
    return {
        "name": f"{service}-{suffix}",
        "generateName": f"{service}-",
        "namespace": owner.namespace,
        "labels": labels,
        "ownerReferences": [owner_reference(owner)],
    }


def _slice(metadata: Object, family: str, endpoints: list[Object], ports: list[Object]) -> Object:
    content: Object = {"addressType": family, "endpoints": endpoints, "ports": ports or None}
    return {"metadata": metadata, **content}


def _write_slices(
    context: ControllerContext, service: Item, managers: tuple[str, ...], wanted: list[Object]
) -> None:
    """Create and update the slices of a service; delete others that these managers have made."""
    namespace = service.namespace
    names = {each["metadata"]["name"] for each in wanted}
    for item in context.store.all(resources.ENDPOINTSLICES, namespace):
        is_managed = item.labels.get(_MANAGER_LABEL) in managers
        is_own = item.labels.get(SERVICE_LABEL) == service.name
        if is_managed and is_own and item.name not in names:
            context.store.remove(resources.ENDPOINTSLICES, namespace, item.name)
    for each in wanted:
        _write(context, resources.ENDPOINTSLICES, namespace, each)


def _write_endpoints(
    context: ControllerContext, service: Item, spec: Object, pods: Iterable[PodEndpoint]
) -> None:
    """Write the Endpoints of a service, with a subset for each set of ports."""
    subsets: dict[tuple[EndpointPort, ...], Object] = {}
    for pod in pods:
        if pod.is_listed and pod.ports:
            ports = [port.encode() for port in pod.ports]
            subset = subsets.setdefault(pod.ports, {"ports": ports})
            place = "addresses" if pod.ready else "notReadyAddresses"
            subset.setdefault(place, []).append(pod.encode_address())
    labels = {**service.labels, _ENDPOINTS_LABEL: _ENDPOINTS_CONTROLLER}
    if spec.get("clusterIP") == "None":
        labels[_HEADLESS_LABEL] = ""
    endpoints: Object = {
        "metadata": {"name": service.name, "namespace": service.namespace, "labels": labels}
    }
    if subsets:
        endpoints["subsets"] = [subset for _, subset in sorted(subsets.items())]
    _write(context, resources.ENDPOINTS, service.namespace, endpoints)


def _write(context: ControllerContext, resource: Resource, namespace: str, wanted: Object) -> None:
    """Create or update an object; an equal one makes no new version."""
    metadata = wanted["metadata"]
    if context.store.get(resource, namespace, metadata["name"]) is None:
        context.writer.create(resource, wanted, namespace)
        return

    def replace(current: Object) -> Object:
        kept = {**current["metadata"], "labels": metadata["labels"]}
        return {**wanted, "metadata": kept}

    context.writer.update(resource, namespace, metadata["name"], replace)


def _mirror_slices(endpoints: Item | None) -> list[Object]:
    """Return the slices for Endpoints that a user has written: one per family and subset."""
    if endpoints is None or _SKIP_MIRROR_LABEL in endpoints.labels:
        return []
    if endpoints.labels.get(_ENDPOINTS_LABEL) == _ENDPOINTS_CONTROLLER:
        return []
    labels = {**endpoints.labels, SERVICE_LABEL: endpoints.name, _MANAGER_LABEL: _MIRROR_CONTROLLER}
    slices = []
    for subset in endpoints.copy().get("subsets") or ():
        families: dict[str, list[Object]] = {}
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                family = f"IPv{ipaddress.ip_address(address['ip']).version}"
                families.setdefault(family, []).append(_mirror_endpoint(address, ready=ready))
        for family, found in families.items():
            ports = subset.get("ports") or []
            key = f"{endpoints.uid} {family} {encode(ports)!r}"
            metadata = _slice_metadata(endpoints, endpoints.name, key, labels)
            slices.append(_slice(metadata, family, found, ports))
    return slices


def _mirror_endpoint(address: Object, *, ready: bool) -> Object:
    endpoint: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for name in ("hostname", "nodeName", "targetRef"):
        if address.get(name):
            endpoint[name] = address[name]
    return endpoint
