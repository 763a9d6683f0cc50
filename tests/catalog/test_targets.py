from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kube.api_server import ApiServer, serving
from tests.kube.kubeconfigs import kubeconfig, write
from tests.kube.objects import pod, service
from tui_forward.catalog import TargetResolver, TargetWatch
from tui_forward.kube import Clusters, KubeconfigSource
from tui_forward.model import Resolution, Resolved, Target, TargetKind, Unresolved


def target(kind: TargetKind, name: str, port: str = "80", *, pin: bool = False) -> Target:
    return Target(context="test", namespace="shop", kind=kind, name=name, port=port, pin=pin)


class Setup:
    def __init__(self, server: ApiServer, path: Path) -> None:
        self.server = server
        self.clusters = Clusters(KubeconfigSource(path, environ={}))
        self.resolver = TargetResolver(self.clusters.get)

    def watch(self, kind: TargetKind, name: str, port: str = "80", **options: Any) -> TargetWatch:
        return self.resolver.watch(target(kind, name, port, **options))

    async def close(self) -> None:
        await self.resolver.close()
        await self.clusters.close()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Setup]:
    async with serving() as server:
        setup = Setup(server, write(tmp_path / "config", kubeconfig(server.url)))
        yield setup
        await setup.close()


async def until(watch: TargetWatch, wanted: Callable[[Resolution], bool]) -> Resolution:
    async with asyncio.timeout(10):
        current = watch.current
        while not wanted(current):
            current = await watch.changed(current)
    return current


async def pod_name(watch: TargetWatch, name: str) -> Resolved:
    found = await until(watch, lambda r: isinstance(r, Resolved) and r.pod.name == name)
    assert isinstance(found, Resolved)
    return found


async def reason(watch: TargetWatch, text: str) -> Unresolved:
    found = await until(watch, lambda r: isinstance(r, Unresolved) and text in r.reason)
    assert isinstance(found, Unresolved)
    return found


async def test_a_pod_is_found_by_name_and_port_name(api: Setup) -> None:
    api.server.put("pods", pod("web-1"))
    found = await pod_name(api.watch(TargetKind.POD, "web-1", "http"), "web-1")
    assert found.port == 8080
    assert found.pod.uid == "uid-web-1"


async def test_a_service_maps_its_port_and_follows_the_replacement(api: Setup) -> None:
    api.server.put("services", service())
    api.server.put("pods", pod("web-1"))
    watch = api.watch(TargetKind.SERVICE, "web", "80")
    assert (await pod_name(watch, "web-1")).port == 8080
    api.server.put("pods", pod("web-1", deleting=True))
    await reason(watch, "Terminating")
    api.server.put("pods", pod("web-2"))
    assert (await pod_name(watch, "web-2")).port == 8080
