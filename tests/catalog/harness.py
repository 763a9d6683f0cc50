"""A test API server with a resolver and a catalog in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kube.api_server import ApiServer
from tests.kube.kubeconfigs import kubeconfig, write
from tui_forward.catalog import Catalog, CatalogTargetResolver, CatalogTargetWatch
from tui_forward.kube import ClusterClients, KubeconfigSource
from tui_forward.model import (
    CatalogScope,
    CatalogView,
    Resolution,
    Resolved,
    Target,
    TargetKind,
    Unresolved,
)
from tui_forward.reasons import reason_text


class Setup:
    def __init__(self, server: ApiServer, path: Path, **user: Any) -> None:
        self.server = server
        self.path = write(path, kubeconfig(server.url, user=user))
        self.clusters = ClusterClients(KubeconfigSource(self.path, environ={}))
        self.resolver = CatalogTargetResolver(self.clusters.get)
        self.catalog = Catalog(self.clusters.get)

    def watch(
        self, kind: TargetKind, name: str, port: str = "80", **options: Any
    ) -> CatalogTargetWatch:
        context = options.pop("context", "test")
        if options.pop("with_namespace", True):
            shop = {"metadata": {"name": "shop", "resourceVersion": "1"}}
            self.server.objects.setdefault("namespaces", {}).setdefault(("", "shop"), shop)
        return self.resolver.watch(
            Target(context=context, namespace="shop", kind=kind, name=name, port=port, **options)
        )

    async def close(self) -> None:
        await self.catalog.close()
        await self.resolver.close()
        await self.clusters.close()


async def resolution(watch: CatalogTargetWatch, wanted: Callable[[Resolution], bool]) -> Resolution:
    """Wait for a resolution of some kind."""
    seen = []
    try:
        async with asyncio.timeout(60):
            current = watch.current
            while not wanted(current):
                seen.append(current)
                current = await watch.changed(current)
    except TimeoutError:
        raise AssertionError(f"only saw {seen}") from None
    return current


async def pod_named(watch: CatalogTargetWatch, name: str, uid: str = "") -> Resolved:
    found = await resolution(
        watch,
        lambda r: isinstance(r, Resolved) and r.pod.name == name and uid in ("", r.pod.uid),
    )
    assert isinstance(found, Resolved)
    return found


async def reason(watch: CatalogTargetWatch, text: str) -> Unresolved:
    found = await resolution(
        watch, lambda r: isinstance(r, Unresolved) and text in reason_text(r.reason)
    )
    assert isinstance(found, Unresolved)
    return found


async def view(
    setup: Setup, scope: CatalogScope, wanted: Callable[[CatalogView], bool], since: int = 0
) -> CatalogView:
    """Wait for a view of some kind."""
    last = None
    try:
        async with asyncio.timeout(60):
            while True:
                last = setup.catalog.view(scope, since)
                if wanted(last):
                    return last
                await setup.catalog.wait(scope, last.version)
    except TimeoutError:
        raise AssertionError(f"only saw {last}") from None
