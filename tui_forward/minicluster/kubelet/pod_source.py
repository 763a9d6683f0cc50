"""The pods assigned to the node: a list, then a watch from its version, for ever."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from urllib.parse import quote

from tui_forward.errors import ApiError, TransportError
from tui_forward.minicluster.kubelet.api_client import ApiClient, Object

_RETRY_S = (0.05, 2.0)


class PodSource:
    """Reports every pod of the node, and its changes.

    Args:
        api: The API server.
        node: Name of the node.
        changed: Called with the new state of a pod.
        removed: Called with the UID of a pod that no longer exists.
    """

    def __init__(
        self,
        api: ApiClient,
        node: str,
        changed: Callable[[Object], None],
        removed: Callable[[str], None],
    ) -> None:
        self._api = api
        self._query = f"fieldSelector={quote(f'spec.nodeName={node}')}"
        self._changed = changed
        self._removed = removed
        self._known: set[str] = set()
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Follow the pods until cancelled."""
        wait_s = _RETRY_S[0]
        while True:
            version = ""
            try:
                version = await self._list()
                wait_s = _RETRY_S[0]
                while True:
                    version = await self._watch(version)
            except ApiError as error:
                if not error.expired:
                    sys.stderr.write(f"pods: {error}\n")
            except TransportError as error:
                sys.stderr.write(f"pods: {error}\n")
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(wait_s * 2, _RETRY_S[1])

    async def _list(self) -> str:
        pods = await self._api.request("GET", f"/api/v1/pods?{self._query}")
        seen = set()
        for pod in pods.get("items") or ():
            pod.setdefault("apiVersion", "v1")
            pod.setdefault("kind", "Pod")
            seen.add(pod["metadata"]["uid"])
            self._changed(pod)
        for uid in self._known - seen:
            self._removed(uid)
        self._known = seen
        self.synced.set()
        return str(pods["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> str:
        """Follow one watch to its end; gives the version to go on from."""
        path = (
            f"/api/v1/pods?{self._query}&watch=true&allowWatchBookmarks=true"
            f"&resourceVersion={version}&timeoutSeconds={random.randint(300, 600)}"
        )
        async for kind, pod in self._api.watch(path):
            version = str(pod["metadata"]["resourceVersion"])
            if kind == "BOOKMARK":
                continue
            uid = pod["metadata"]["uid"]
            if kind == "DELETED":
                self._known.discard(uid)
                self._removed(uid)
            else:
                self._known.add(uid)
                self._changed(pod)
        return version
