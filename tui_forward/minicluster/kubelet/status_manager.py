"""Sends the status of one pod to the API server; only the latest state matters."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from urllib.parse import quote

from tui_forward.errors import ApiError, TransportError
from tui_forward.minicluster.kubelet.api_client import MERGE_PATCH, ApiClient, Object

_RETRY_S = (0.1, 2.0)


class StatusManager:
    """A mailbox of one letter, and the task that delivers it.

    Args:
        api: The API server.
        pod: The pod; name, namespace and UID are taken from it.
    """

    def __init__(self, api: ApiClient, pod: Object) -> None:
        metadata = pod["metadata"]
        self._api = api
        self._uid = metadata["uid"]
        self._path = (
            f"/api/v1/namespaces/{quote(metadata['namespace'])}/pods/{quote(metadata['name'])}"
        )
        self._pending: Object | None = None
        self._sent: Object = pod.get("status") or {}
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.create_task(self._run(), name=f"status {self._path}")

    def report(self, status: Object) -> None:
        """Send `status` unless it is what was sent last."""
        if status == (self._pending if self._pending is not None else self._sent):
            return
        self._pending = status
        self._idle.clear()
        self._arrived.set()

    async def flush(self, timeout_s: float) -> None:
        """Wait until everything was sent, or for `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    async def delete(self) -> None:
        """Tell the API server that the pod has ended: the last step of a graceful deletion.

        Raises:
            ApiError: It was refused; 404 and 409 count as done.
            TransportError: No answer.
        """
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
        """Stop; what was not sent is lost."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        wait_s = _RETRY_S[0]
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._pending is not None:
                status = self._pending
                if await self._send(status):
                    wait_s = _RETRY_S[0]
                    self._sent = status
                    if self._pending is status:
                        self._pending = None
                else:
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, _RETRY_S[1])
            self._idle.set()

    async def _send(self, status: Object) -> bool:
        """Whether it arrived, or never can."""
        gone: Object = {key: None for key in self._sent if key not in status}
        # The UID makes a patch of a pod that was replaced under the same name fail.
        body: Object = {"metadata": {"uid": self._uid}, "status": {**status, **gone}}
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
