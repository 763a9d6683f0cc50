"""Objects that faults consist of: created and deleted on request, past the API and its checks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from tui_forward.errors import UsageError
from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter
from tui_forward.minicluster.apiserver.resources import Object, Resource
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.apiserver.store import Change

# How long a pod may take to reach the phase that its status is written in.
_PHASE_TIMEOUT_S = 20.0
_KINDS = {resource.kind: resource for resource in resources.RESOURCES}


class FaultyObjects:
    """Writes the objects of faults."""

    def __init__(self, writer: ObjectWriter) -> None:
        self._writer = writer

    async def put(self, objects: Iterable[Object]) -> None:
        """Create objects that do not exist, with their namespaces.

        The `status` of an object is written after it has been created, that of a pod in addition
        to what its kubelet reports: once it is in the phase `afterPhase`, if it has that member.
        `deleted` with a grace period in seconds deletes a pod at once. Raises `UsageError`.
        """
        for obj in objects:
            body = dict(obj)
            status, phase = body.pop("status", None), body.pop("afterPhase", "")
            grace_s = body.pop("deleted", None)
            resource = _resource_of(body)
            namespace = str(body["metadata"].get("namespace") or "")
            name = str(body["metadata"]["name"])
            try:
                self._create(resource, body, namespace)
                if phase:
                    await self._wait_for_phase(namespace, name, str(phase))
                if status is not None:
                    self._merge_status(resource, namespace, name, status)
                if grace_s is not None:
                    options = {"gracePeriodSeconds": int(grace_s)}
                    self._writer.delete(resource, namespace, name, options)
            except StatusError as error:
                raise UsageError(error.message) from error

    def _create(self, resource: Resource, body: Object, namespace: str) -> None:
        store = self._writer.store
        if namespace and store.get(resources.NAMESPACES, "", namespace) is None:
            self._writer.create(resources.NAMESPACES, {"metadata": {"name": namespace}}, "")
        if store.get(resource, namespace, str(body["metadata"]["name"])) is None:
            self._writer.create(resource, body, namespace)

    def _merge_status(self, resource: Resource, namespace: str, name: str, status: Object) -> None:
        def merge(obj: Object) -> Object:
            before: Object = obj.get("status") or {}
            merged = {**before, **status}
            known = {each["type"] for each in status.get("conditions") or ()}
            kept = [each for each in before.get("conditions") or () if each["type"] not in known]
            if kept or known:
                merged["conditions"] = [*kept, *(status.get("conditions") or ())]
            obj["status"] = merged
            return obj

        self._writer.update(resource, namespace, name, merge, "status")

    async def _wait_for_phase(self, namespace: str, name: str, phase: str) -> None:
        reached = asyncio.Event()

        def check(_: Change | None = None) -> None:
            item = self._writer.store.get(resources.PODS, namespace, name)
            if item is not None and item.fields.get("status.phase") == phase:
                reached.set()

        unsubscribe = self._writer.store.listen(resources.PODS, check)
        try:
            check()
            async with asyncio.timeout(_PHASE_TIMEOUT_S):
                await reached.wait()
        except TimeoutError:
            raise UsageError(f"pod {namespace}/{name} did not become {phase}") from None
        finally:
            unsubscribe()

    def delete(self, objects: Iterable[Object]) -> None:
        """Delete objects at once; those that do not exist are ignored."""
        for obj in objects:
            metadata = obj["metadata"]
            resource, namespace = _resource_of(obj), str(metadata.get("namespace") or "")
            with contextlib.suppress(StatusError):
                self._writer.delete(
                    resource, namespace, str(metadata["name"]), {"gracePeriodSeconds": 0}
                )


def _resource_of(obj: Object) -> Resource:
    kind = str(obj.get("kind", ""))
    resource = _KINDS.get(kind)
    if resource is None:
        raise UsageError(f"unknown kind {kind!r}")
    return resource
