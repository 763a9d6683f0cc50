"""Sends the status of one pod to the API server."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from urllib.parse import quote

from tui_forward.errors import ApiError, TransportError
from tui_forward.minicluster.kubelet.api_client import MERGE_PATCH, ApiClient
from tui_forward.minicluster.kubelet.objects import Object

_RETRY_S = (0.1, 2.0)


class StatusManager:
    """Task that sends the latest status of a pod and drops older ones."""

    def __init__(self, api: ApiClient, pod: Object) -> None:
        metadata = pod["metadata"]
        self._api = api
        self._uid = metadata["uid"]
        self._path = (
            f"/api/v1/namespaces/{quote(metadata['namespace'])}/pods/{quote(metadata['name'])}"
        )
        self._pending: Object | None = None
        self._sent: Object = pod.get("status") or {}
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.create_task(self._run(), name=f"status {self._path}")

    def report(self, status: Object) -> None:
        """Send `status` unless it was sent last."""
        if status == (self._pending if self._pending is not None else self._sent):
            return
        self._pending = status
        self._idle.clear()
        self._changed.set()

    async def flush(self, timeout_s: float) -> None:
        """Wait until the latest status was sent, at most `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    async def delete(self) -> None:
        """Delete the Pod object, the last step of a graceful deletion, unless it is gone."""
        body: Object = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self._uid},
        }
        try:
            await self._api.request("DELETE", self._path, body)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def close(self) -> None:
        """Stop; a status that was not sent is lost."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        retry_s = _RETRY_S[0]
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._pending is not None:
                status = self._pending
                if await self._send(status):
                    retry_s = _RETRY_S[0]
                    self._sent = status
                    if self._pending is status:
                        self._pending = None
                else:
                    await asyncio.sleep(retry_s)
                    retry_s = min(retry_s * 2, _RETRY_S[1])
            self._idle.set()

    async def _send(self, status: Object) -> bool:
        """Send a status; return False if it should be retried."""
        removed: Object = {key: None for key in self._sent if key not in status}
        # The UID makes a patch of a pod that was replaced under the same name fail.
        body: Object = {"metadata": {"uid": self._uid}, "status": {**status, **removed}}
        try:
            await self._api.request("PATCH", f"{self._path}/status", body, content_type=MERGE_PATCH)
        except ApiError as error:
            if error.status >= 500 or error.status in (401, 403, 429):
                sys.stderr.write(f"status: {error}\n")
                return False
            return True
        except TransportError:
            return False
        return True
