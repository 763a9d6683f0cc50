"""Kubernetes as this program sees it: kubeconfig, credentials, requests, lists and watches.

The only package that imports `kubernetes`. It knows nothing of forwards or of the catalogue.

The names below are loaded on first use: reading the contexts of a kubeconfig must not cost
the import of an HTTP client.

    source = KubeconfigSource()                    # $KUBECONFIG, ~/.kube/config, in-cluster
    source.contexts()                              # -> tuple[model.Context, ...]
    clusters = Clusters(source)                    # one Cluster per context, shared
    cluster = clusters.get("prod")                 # implements transport.access.Access
    async for page in cluster.list_pages(PODS, "shop"): ...
    async for event in cluster.watch(PODS, "shop", resource_version=page.resource_version): ...
    await clusters.close()
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

_HOMES = {
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
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
