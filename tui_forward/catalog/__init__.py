"""The live picture of a cluster, and what a target means in it.

Knows `kube` and the model; knows nothing of forwards. The names below load on first use.

    resolver = TargetResolver(clusters.get)        # clusters: kube.Clusters
    watch = resolver.watch(target)                 # engine.targets.TargetWatch
    catalog = Catalog(clusters.get)
    catalog.view(CatalogScope("prod", "shop"))     # -> CatalogView, never waits
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_forward.catalog.catalog import Catalog as Catalog
    from tui_forward.catalog.target_watch import CatalogTargetResolver as CatalogTargetResolver
    from tui_forward.catalog.target_watch import CatalogTargetWatch as CatalogTargetWatch

_HOMES = {
    "Catalog": "catalog",
    "CatalogTargetResolver": "target_watch",
    "CatalogTargetWatch": "target_watch",
}

__all__ = ["Catalog", "CatalogTargetResolver", "CatalogTargetWatch"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
