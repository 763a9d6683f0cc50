"""Kubernetes client: kubeconfig, credentials, requests, lists and watches.

The only package that imports aiohttp. The names below are imported on first use: listing the
contexts of a kubeconfig needs no HTTP client.

    source = KubeconfigSource()                    # $KUBECONFIG, ~/.kube/config, in-cluster
    clients = ClusterClients(source)               # one ClusterClient per context, shared
    client = clients.get("prod")                   # implements transport.access.ServerAccess
    async for page in client.list_pages(PODS, "shop"): ...
    async for event in client.watch(PODS, "shop", resource_version=page.resource_version): ...
    await clients.close()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_forward.kube.api.resources import DAEMONSETS as DAEMONSETS
    from tui_forward.kube.api.resources import DEPLOYMENTS as DEPLOYMENTS
    from tui_forward.kube.api.resources import JOBS as JOBS
    from tui_forward.kube.api.resources import NAMESPACES as NAMESPACES
    from tui_forward.kube.api.resources import PODS as PODS
    from tui_forward.kube.api.resources import REPLICASETS as REPLICASETS
    from tui_forward.kube.api.resources import SERVICES as SERVICES
    from tui_forward.kube.api.resources import STATEFULSETS as STATEFULSETS
    from tui_forward.kube.api.resources import Resource as Resource
    from tui_forward.kube.api.watch import WatchEvent as WatchEvent
    from tui_forward.kube.api.watch import WatchEventType as WatchEventType
    from tui_forward.kube.client import ClusterClient as ClusterClient
    from tui_forward.kube.client import ClusterClients as ClusterClients
    from tui_forward.kube.kubeconfig.loader import Kubeconfig as Kubeconfig
    from tui_forward.kube.kubeconfig.source import KubeconfigSource as KubeconfigSource

_MODULES = {
    "ClusterClient": "client",
    "ClusterClients": "client",
    "Kubeconfig": "kubeconfig.loader",
    "KubeconfigSource": "kubeconfig.source",
    "Resource": "api.resources",
    "NAMESPACES": "api.resources",
    "PODS": "api.resources",
    "SERVICES": "api.resources",
    "DEPLOYMENTS": "api.resources",
    "STATEFULSETS": "api.resources",
    "DAEMONSETS": "api.resources",
    "REPLICASETS": "api.resources",
    "JOBS": "api.resources",
    "WatchEvent": "api.watch",
    "WatchEventType": "api.watch",
}

__all__ = [
    "DAEMONSETS",
    "DEPLOYMENTS",
    "JOBS",
    "NAMESPACES",
    "PODS",
    "REPLICASETS",
    "SERVICES",
    "STATEFULSETS",
    "ClusterClient",
    "ClusterClients",
    "Kubeconfig",
    "KubeconfigSource",
    "Resource",
    "WatchEvent",
    "WatchEventType",
]


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
