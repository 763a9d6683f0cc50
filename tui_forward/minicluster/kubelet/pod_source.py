"""The pods assigned to the node: a list, then a watch from its version, without end."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from urllib.parse import quote

from tui_forward.errors import ApiError, TransportError
from tui_forward.minicluster.kubelet.api_client import ApiClient
from tui_forward.minicluster.kubelet.objects import Object

_RETRY_S = (0.05, 2.0)


class PodSource:
    """Reports the pods of the node and their changes."""

    def __init__(
        self,
        api: ApiClient,
        node: str,
        on_change: Callable[[Object], None],
        on_removal: Callable[[str], None],
    ) -> None:
        self._api = api
        self._query = f"fieldSelector={quote(f'spec.nodeName={node}')}"
        self._on_change = on_change
        self._on_removal = on_removal
        self._uids: set[str] = set()
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """List and watch the pods until canceled."""
        retry_s = _RETRY_S[0]
        while True:
            version = ""
            try:
                version = await self._list()
                retry_s = _RETRY_S[0]
                while True:
                    version = await self._watch(version)
            except ApiError as error:
                if not error.expired:
                    sys.stderr.write(f"pods: {error}\n")
            except TransportError as error:
                sys.stderr.write(f"pods: {error}\n")
            await asyncio.sleep(retry_s * random.uniform(0.5, 1.0))
            retry_s = min(retry_s * 2, _RETRY_S[1])

    async def _list(self) -> str:
        pods = await self._api.request("GET", f"/api/v1/pods?{self._query}")
        seen = set()
        for pod in pods.get("items") or ():
            pod.setdefault("apiVersion", "v1")
            pod.setdefault("kind", "Pod")
            seen.add(pod["metadata"]["uid"])
            self._on_change(pod)
        for uid in self._uids - seen:
            self._on_removal(uid)
        self._uids = seen
        self.synced.set()
        return str(pods["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> str:
        """Process one watch to its end; return the version to continue from."""
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
                self._uids.discard(uid)
                self._on_removal(uid)
            else:
                self._uids.add(uid)
                self._on_change(pod)
        return version
