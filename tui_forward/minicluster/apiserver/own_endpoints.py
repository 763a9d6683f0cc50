"""Endpoints of the service `default/kubernetes`, which the API server writes itself."""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter
from tui_forward.minicluster.apiserver.resources import Object, Resource

_NAMESPACE, _NAME = "default", "kubernetes"


def publish_own_endpoints(writer: ObjectWriter, address: str, port: int) -> None:
    """Write where the API server listens; nothing if it has no service."""
    if writer.store.get(resources.SERVICES, _NAMESPACE, _NAME) is None:
        return
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    skip_mirror = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    subsets = [{"addresses": [{"ip": address}], "ports": ports}]
    _write(writer, resources.ENDPOINTS, skip_mirror, {"subsets": subsets})
    labels = {"kubernetes.io/service-name": _NAME}
    endpoint = {"addresses": [address], "conditions": {"ready": True}}
    content = {"addressType": "IPv4", "endpoints": [endpoint], "ports": ports}
    _write(writer, resources.ENDPOINTSLICES, labels, content)


def _write(
    writer: ObjectWriter, resource: Resource, labels: dict[str, str], content: Object
) -> None:
    if writer.store.get(resource, _NAMESPACE, _NAME) is None:
        metadata = {"name": _NAME, "labels": labels}
        writer.create(resource, {"metadata": metadata, **content}, _NAMESPACE)
    else:
        writer.update(resource, _NAMESPACE, _NAME, lambda old: {**old, **content})
