"""Live view of clusters, and resolution of targets to pods.

Uses `kube` and the model; independent of forwards. The names below are imported on first use.

    resolver = CatalogTargetResolver(clusters.get)  # clusters: kube.ClusterClients
    watch = resolver.watch(target)                  # engine.context.TargetWatch
    catalog = Catalog(clusters.get)
    catalog.view(CatalogScope("prod", "shop"))      # -> CatalogView, never waits
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_forward.catalog.catalog import Catalog as Catalog
    from tui_forward.catalog.cluster_directory import (
        CatalogClusterDirectory as CatalogClusterDirectory,
    )
    from tui_forward.catalog.target_watch import CatalogTargetResolver as CatalogTargetResolver
    from tui_forward.catalog.target_watch import CatalogTargetWatch as CatalogTargetWatch

_MODULES = {
    "Catalog": "catalog",
    "CatalogClusterDirectory": "cluster_directory",
    "CatalogTargetResolver": "target_watch",
    "CatalogTargetWatch": "target_watch",
}

__all__ = ["Catalog", "CatalogClusterDirectory", "CatalogTargetResolver", "CatalogTargetWatch"]


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
