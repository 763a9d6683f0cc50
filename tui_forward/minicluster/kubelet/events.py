"""Events that a kubelet reports about its pods."""

from __future__ import annotations

import secrets
import time
from urllib.parse import quote

from tui_forward.errors import ApiError
from tui_forward.minicluster.kubelet.api_client import MERGE_PATCH, ApiClient
from tui_forward.minicluster.kubelet.objects import Object
from tui_forward.minicluster.kubelet.pod_status import format_timestamp


class PodEvents:
    """Reports events of one pod, and counts repeated ones."""

    def __init__(self, api: ApiClient, node: str) -> None:
        self._api = api
        self._node = node
        # Name and count by reason and message.
        self._reported: dict[tuple[str, str], tuple[str, int]] = {}

    async def report(self, pod: Object, kind: str, reason: str, message: str) -> None:
        """Report an event, or increase the count of an equal one.

        Raises the errors of `ApiClient.request`.
        """
        metadata, now = pod["metadata"], format_timestamp(time.time())
        path = f"/api/v1/namespaces/{quote(metadata['namespace'])}/events"
        name, count = self._reported.get((reason, message), ("", 0))
        if name:
            body: Object = {"count": count + 1, "lastTimestamp": now}
            try:
                await self._api.request("PATCH", f"{path}/{name}", body, content_type=MERGE_PATCH)
            except ApiError as error:
                if not error.not_found:
                    raise
            else:
                self._reported[reason, message] = name, count + 1
                return
        name = f"{metadata['name']}.{secrets.token_hex(8)}"
        source = {"component": "kubelet", "host": self._node}
        event: Object = {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": {
                "kind": "Pod",
                "apiVersion": "v1",
                **{key: metadata.get(key, "") for key in ("namespace", "name", "uid")},
            },
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": kind,
            "reportingComponent": "kubelet",
            "reportingInstance": self._node,
        }
        await self._api.request("POST", path, event)
        self._reported[reason, message] = name, 1
