"""`python -m tests.bench.list_process HOW`: list all pods of $KUBECONFIG's cluster, as one process.

Writes `first COUNT` when the first page can be used and `all COUNT` when everything is
there; the parent measures the time.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any


def say(what: str, count: int) -> None:
    """Print a line unbuffered."""
    os.write(1, f"{what} {count}\n".encode())


def ours() -> None:
    """List as a process with an engine does: its event loop, its garbage collection."""
    from tui_forward.common import event_loop
    from tui_forward.common.garbage import collect_garbage_rarely

    collect_garbage_rarely()
    event_loop.run(_list_through_catalog())


async def _list_through_catalog() -> None:
    """List through a session's catalog, as the dashboard does."""
    from tui_forward.model import CatalogScope
    from tui_forward.session.local import LocalSession

    session = LocalSession()
    version = count = 0
    try:
        while True:
            view = await session.catalog(CatalogScope(""), version)
            count = len(view.pods) if view.complete else count + len(view.pods)
            if view.pods and not version:
                say("first", count)
            if view.pods:
                version = view.version
            pods = [status for status in view.resources if status.resource == "pods"]
            if pods and pods[0].synced:
                break
            await asyncio.sleep(0.005)
        say("all", count)
    finally:
        await session.close()


def official() -> None:
    """List with the official client and its models, in pages of 500."""
    from kubernetes import client, config

    load: Any = config.load_kube_config
    load(os.environ["KUBECONFIG"])
    api = client.CoreV1Api()
    pods: list[object] = []
    token = None
    while True:
        page = api.list_pod_for_all_namespaces(limit=500, _continue=token)
        if not pods:
            say("first", len(page.items))
        pods += page.items
        token = page.metadata._continue if page.metadata else None
        if not token:
            break
    say("all", len(pods))


async def rival() -> None:
    """List with kr8s."""
    import kr8s.asyncio

    pods: list[object] = []
    api = await kr8s.asyncio.api()
    async for pod in api.get("pods", namespace=kr8s.ALL):
        if not pods:
            say("first", 1)
        pods.append(pod)
    say("all", len(pods))


HOW: dict[str, Callable[[], None]] = {
    "ours": ours,
    "official": official,
    "kr8s": lambda: asyncio.run(rival()),
}

if __name__ == "__main__":
    HOW[sys.argv[1]]()
