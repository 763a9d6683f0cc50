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
    from tui_forward.kube.cluster import Cluster as Cluster
    from tui_forward.kube.cluster import Clusters as Clusters
    from tui_forward.kube.kubeconfig import Kubeconfig as Kubeconfig
    from tui_forward.kube.resources import DAEMONSETS as DAEMONSETS
    from tui_forward.kube.resources import DEPLOYMENTS as DEPLOYMENTS
    from tui_forward.kube.resources import JOBS as JOBS
    from tui_forward.kube.resources import NAMESPACES as NAMESPACES
    from tui_forward.kube.resources import PODS as PODS
    from tui_forward.kube.resources import REPLICASETS as REPLICASETS
    from tui_forward.kube.resources import SERVICES as SERVICES
    from tui_forward.kube.resources import STATEFULSETS as STATEFULSETS
    from tui_forward.kube.resources import Resource as Resource
    from tui_forward.kube.source import KubeconfigSource as KubeconfigSource
    from tui_forward.kube.watching import WatchEvent as WatchEvent
    from tui_forward.kube.watching import WatchEventType as WatchEventType

_HOMES = {
    "Cluster": "cluster",
    "Clusters": "cluster",
    "Kubeconfig": "kubeconfig",
    "KubeconfigSource": "source",
    "Resource": "resources",
    "NAMESPACES": "resources",
    "PODS": "resources",
    "SERVICES": "resources",
    "DEPLOYMENTS": "resources",
    "STATEFULSETS": "resources",
    "DAEMONSETS": "resources",
    "REPLICASETS": "resources",
    "JOBS": "resources",
    "WatchEvent": "watching",
    "WatchEventType": "watching",
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
    "Cluster",
    "Clusters",
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
