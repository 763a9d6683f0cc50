"""What a pod takes from other objects: the ConfigMaps and Secrets of its environment and volumes.

The embedded cluster has no Secrets, so that one that is not optional is always missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from tui_forward.errors import ApiError
from tui_forward.minicluster.kubelet.api_client import ApiClient
from tui_forward.minicluster.kubelet.objects import Object


async def missing_environment(api: ApiClient, pod: Object, container: Object) -> str:
    """Return what a container's environment lacks (`configmap "x" not found`); empty if nothing.

    Raises the errors of `ApiClient.request` but 404.
    """
    for kind, reference in _environment_sources(container):
        if missing := await _missing(api, pod, kind, str(reference.get("name")), reference):
            return missing
    return ""


def _environment_sources(container: Object) -> Iterator[tuple[str, Object]]:
    for entry in container.get("env") or ():
        source = entry.get("valueFrom") or {}
        yield from _references(source, "configMapKeyRef", "secretKeyRef")
    for source in container.get("envFrom") or ():
        yield from _references(source, "configMapRef", "secretRef")


def _references(source: Object, config_map: str, secret: str) -> Iterator[tuple[str, Object]]:
    if config_map in source:
        yield "configmap", source[config_map]
    if secret in source:
        yield "secret", source[secret]


async def missing_volume(api: ApiClient, pod: Object) -> str:
    """Return the message of a volume that cannot be mounted; empty if there is none.

    Raises the errors of `ApiClient.request` but 404.
    """
    for volume in pod["spec"].get("volumes") or ():
        for kind, reference in _references(volume, "configMap", "secret"):
            name = str(reference.get("name") or reference.get("secretName"))
            if missing := await _missing(api, pod, kind, name, reference):
                return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {missing}'
    return ""


async def _missing(api: ApiClient, pod: Object, kind: str, name: str, reference: Object) -> str:
    if reference.get("optional"):
        return ""
    if kind == "configmap":
        namespace = quote(pod["metadata"]["namespace"])
        try:
            await api.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/{quote(name)}")
        except ApiError as error:
            if not error.not_found:
                raise
        else:
            return ""
    return f'{kind} "{name}" not found'
