"""Writes to the store by the rules of the API: defaults, versions, graceful deletion.

A write is one step of the event loop, so two writes never interleave. This module does not handle
HTTP; `create_update_delete` does.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tui_forward.minicluster.apiserver import defaults, resources, timestamps
from tui_forward.minicluster.apiserver.resources import Object, Resource
from tui_forward.minicluster.apiserver.status_errors import (
    StatusError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    not_found,
)
from tui_forward.minicluster.apiserver.store import Item, Store
from tui_forward.minicluster.apiserver.tables import format_selector
from tui_forward.minicluster.apiserver.uid_generator import UidGenerator
from tui_forward.minicluster.apiserver.validation import (
    check_preconditions,
    check_version,
    validate,
)

# Metadata that no request can change.
_IMMUTABLE_METADATA = (
    *("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"),
    *("deletionGracePeriodSeconds", "generation", "generateName"),
)

Mutation = Callable[[Object], Object]


class ObjectWriter:
    """Creates, updates and deletes objects."""

    def __init__(self, store: Store, uid_generator: UidGenerator) -> None:
        self.store = store
        self.uid_generator = uid_generator

    def _get(self, resource: Resource, namespace: str, name: str) -> Item:
        item = self.store.get(resource, namespace, name)
        if item is None:
            raise not_found(resource.plural, name, resource.group)
        return item

    def create(
        self, resource: Resource, obj: Object, namespace: str, *, dry_run: bool = False
    ) -> Item:
        """Create an object; `obj` is completed in place."""
        metadata = obj.get("metadata")
        if not isinstance(metadata, dict):
            metadata = obj["metadata"] = {}
        if resource.namespaced and metadata.get("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        name = str(metadata.get("name") or "")
        if name and self.store.get(resource, namespace, name) is not None:
            raise already_exists(resource.plural, name, resource.group)
        if resource.namespaced and self._get(resources.NAMESPACES, "", namespace).deleting:
            raise StatusError(
                403,
                "Forbidden",
                f'{resource.plural} "{name}" is forbidden: unable to create new content in '
                f"namespace {namespace} because it is being terminated",
                details={"name": name, "kind": resource.plural},
            )
        validate(resource, obj)
        defaults.complete_new(self.store, resource, obj, namespace, self.uid_generator)
        if dry_run:
            return Item(resource, self.store.version, msgspec.json.encode(obj))
        return self.store.put(resource, obj)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        mutate: Mutation,
        subresource: str = "",
        *,
        dry_run: bool = False,
    ) -> Item:
        """Replace an object by the result of `mutate`; an equal result makes no new version."""
        current = self._get(resource, namespace, name)
        before = current.copy()
        new = mutate({"kind": resource.kind, "apiVersion": resource.api_version, **current.copy()})
        metadata = new.setdefault("metadata", {})
        check_version(current, metadata)
        if subresource == "status":
            new = {**before, "status": new.get("status", {})}
        else:
            for field in _IMMUTABLE_METADATA:
                if before["metadata"].get(field) is None:
                    metadata.pop(field, None)
                else:
                    metadata[field] = before["metadata"][field]
            if "status" in before:
                new["status"] = before["status"]
            validate(resource, new)
            defaults.complete_spec(self.store, resource, new, before, self.uid_generator)
            if new.get("spec") != before.get("spec") and "generation" in before["metadata"]:
                metadata["generation"] = before["metadata"]["generation"] + 1
        new["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        new = {key: value for key, value in new.items() if key not in ("kind", "apiVersion")}
        if new == before:
            return current
        if dry_run:
            return Item(resource, current.version, msgspec.json.encode(new))
        updated = self.store.put(resource, new)
        # The deletion of pods and namespaces is finished by the kubelet and by a controller.
        is_finished_elsewhere = resource is resources.PODS or resource is resources.NAMESPACES
        if not updated.deleting or is_finished_elsewhere or new["metadata"].get("finalizers"):
            return updated
        return self.store.remove(resource, namespace, name) or updated

    def scale(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        mutate: Mutation,
        *,
        dry_run: bool = False,
    ) -> Item:
        """Set a workload's replicas from the Scale that `mutate` returns."""
        current = self._get(resource, namespace, name)
        scale = mutate(to_scale(current))
        replicas = scale.get("spec", {}).get("replicas", 0)
        if not isinstance(replicas, int) or replicas < 0:
            cause = f"Invalid value: {replicas}: must be greater than or equal to 0"
            raise invalid("Scale", name, "spec.replicas", cause, "autoscaling")
        check_version(current, scale.get("metadata", {}))

        def set_replicas(obj: Object) -> Object:
            obj["spec"]["replicas"] = replicas
            return obj

        return self.update(resource, namespace, name, set_replicas, dry_run=dry_run)

    def bind(self, namespace: str, name: str, node: str) -> None:
        """Assign a pod to a node. Raises `StatusError`: 404, or 409 if the pod has a node."""
        pod = self._get(resources.PODS, namespace, name).copy()
        if assigned := pod["spec"].get("nodeName"):
            cause = f'pod {name} is already assigned to node "{assigned}"'
            raise conflict("pods/binding", name, cause)
        pod["spec"]["nodeName"] = node
        set_pod_condition(pod["status"], "PodScheduled", "True")
        self.store.put(resources.PODS, pod)

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        options: Object | None = None,
        *,
        dry_run: bool = False,
    ) -> tuple[Item, bool]:
        """Delete an object, or start to; return its last state and whether it is deleted."""
        options = options or {}
        current = self._get(resource, namespace, name)
        check_preconditions(current, options.get("preconditions") or {})
        if dry_run:
            return current, False
        if options.get("propagationPolicy") == "Orphan" or options.get("orphanDependents") is True:
            self._remove_owner_references(current)
        if resource is resources.PODS:
            return self._delete_pod(current, options.get("gracePeriodSeconds"))
        obj = current.copy()
        metadata = obj["metadata"]
        is_namespace = resource is resources.NAMESPACES
        if not is_namespace and not metadata.get("finalizers"):
            return self.store.remove(resource, namespace, name) or current, True
        if current.deleting:
            return current, False
        metadata["deletionTimestamp"] = timestamps.now()
        if is_namespace:
            obj["status"] = {"phase": "Terminating"}
        else:
            metadata["deletionGracePeriodSeconds"] = 0
        return self.store.put(resource, obj), False

    def _delete_pod(self, current: Item, grace_period: object) -> tuple[Item, bool]:
        pod = current.copy()
        metadata, spec = pod["metadata"], pod["spec"]
        if not spec.get("nodeName") or pod["status"].get("phase") in ("Succeeded", "Failed"):
            period_s = 0
        elif isinstance(grace_period, int):
            period_s = grace_period
        else:
            period_s = spec.get("terminationGracePeriodSeconds", 30)
        running_period_s = metadata.get("deletionGracePeriodSeconds")
        if period_s > 0:
            if running_period_s is not None and running_period_s <= period_s:
                return current, False  # a grace period can only be shortened
            metadata.setdefault("generation", 1)
            metadata["generation"] += running_period_s is None
            ends_at = timestamps.parse_rfc3339(timestamps.now()) + period_s
            metadata["deletionTimestamp"] = timestamps.format_rfc3339(ends_at)
            metadata["deletionGracePeriodSeconds"] = period_s
            return self.store.put(resources.PODS, pod), False
        has_finalizers = bool(metadata.get("finalizers"))
        if has_finalizers or (running_period_s != 0 and spec.get("nodeName")):
            # A real API server sends a MODIFIED with grace period 0 before the DELETED.
            metadata.setdefault("deletionTimestamp", timestamps.now())
            metadata["deletionGracePeriodSeconds"] = 0
            updated = self.store.put(resources.PODS, pod)
            if has_finalizers:
                return updated, False
        return self.store.remove(resources.PODS, current.namespace, current.name) or current, True

    def _remove_owner_references(self, owner: Item) -> None:
        """Remove the references of all dependents to an owner."""
        for table in self.store.tables.values():
            for item in self.store.all(table.resource, owner.namespace):
                if owner.uid.encode() not in item.raw:
                    continue
                obj = item.copy()
                references = obj["metadata"].get("ownerReferences") or []
                kept = [each for each in references if each.get("uid") != owner.uid]
                if len(kept) != len(references):
                    obj["metadata"]["ownerReferences"] = kept
                    self.store.put(table.resource, obj)


def set_pod_condition(
    status: Object, kind: str, value: str, reason: str = "", message: str = ""
) -> None:
    """Set a condition; its transition time changes only with its status."""
    conditions: list[Object] = status.setdefault("conditions", [])
    condition: Object = {"type": kind, "status": value, "lastProbeTime": None}
    condition["lastTransitionTime"] = timestamps.now()
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    for index, before in enumerate(conditions):
        if before["type"] == kind:
            if before["status"] == value:
                condition["lastTransitionTime"] = before["lastTransitionTime"]
            conditions[index] = condition
            return
    conditions.append(condition)


def to_scale(item: Item) -> Object:
    """Return the Scale of a workload."""
    body = item.copy()
    metadata = {
        name: body["metadata"][name]
        for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    spec = {"replicas": body["spec"].get("replicas", 1)}
    status = {"replicas": body.get("status", {}).get("replicas", 0)}
    status["selector"] = format_selector(body["spec"].get("selector"))
    head = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata}
    return {**head, "spec": spec, "status": status}
