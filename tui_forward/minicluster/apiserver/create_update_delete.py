"""Creating, changing and deleting objects.

Writes happen in one step of the event loop, so two of them never interleave; a request that
names the version it is based on is refused when that is no longer the newest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tui_forward.minicluster.apiserver import defaults, get_and_list, patch, resources
from tui_forward.minicluster.apiserver import timestamps as timestamps
from tui_forward.minicluster.apiserver.content_negotiation import negotiate
from tui_forward.minicluster.apiserver.defaults import UidGenerator
from tui_forward.minicluster.apiserver.get_and_list import Selection
from tui_forward.minicluster.apiserver.http import Request, Response
from tui_forward.minicluster.apiserver.resources import Resource
from tui_forward.minicluster.apiserver.status_errors import (
    StatusError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    not_found,
)
from tui_forward.minicluster.apiserver.store import Item, Store

Object = dict[str, Any]

# What no request can change once an object exists.
_FIXED = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
)


class ObjectWriter:
    """Carries out writes.

    Args:
        store: Where to.
        identities: Makes UIDs and names.
    """

    def __init__(self, store: Store, identities: UidGenerator) -> None:
        self.store = store
        self.identities = identities

    # -- create ----------------------------------------------------------------------------

    def create(self, request: Request, resource: Resource, namespace: str) -> Response:
        """POST to a collection.

        Raises:
            Failure: 400, 404 (no such namespace), 409, 422.
        """
        form = negotiate(request.header("accept"))
        item = self.add(resource, _body(request, resource), namespace, dry=_dry(request))
        return get_and_list.render(form, item, request, 201)

    def add(self, resource: Resource, item: Object, namespace: str, *, dry: bool = False) -> Item:
        """Create an object.

        Raises:
            Failure: 400, 403, 404, 409, 422.
        """
        metadata = item.get("metadata")
        if not isinstance(metadata, dict):
            metadata = item["metadata"] = {}
        if resource.namespaced and metadata.get("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        name = str(metadata.get("name") or "")
        if name and self.store.get(resource, namespace, name) is not None:
            raise already_exists(resource.plural, name, resource.group)
        if resource.namespaced:
            home = self.store.get(resources.NAMESPACES, "", namespace)
            if home is None:
                raise not_found("namespaces", namespace)
            if home.copy()["metadata"].get("deletionTimestamp"):
                raise StatusError(
                    403,
                    "Forbidden",
                    f'{resource.plural} "{name}" is forbidden: unable to create new content in '
                    f"namespace {namespace} because it is being terminated",
                    details={"name": name, "kind": resource.plural},
                )
        _validate(resource, item)
        defaults.create(self.store, resource, item, namespace, self.identities)
        if dry:
            return Item(resource, self.store.version, msgspec.json.encode(item))
        return self.store.put(resource, item)

    # -- update ----------------------------------------------------------------------------

    def update(
        self, request: Request, resource: Resource, namespace: str, name: str, sub: str
    ) -> Response:
        """PUT to an object or its status or scale.

        Raises:
            Failure: 400, 404, 409.
        """
        form = negotiate(request.header("accept"))
        body = request.json()
        if sub == "scale":
            return self._scaled(resource, namespace, name, lambda _: body, dry=_dry(request))
        sent = _object(body)
        item = self.change(resource, namespace, name, lambda _: sent, sub, dry=_dry(request))
        return get_and_list.render(form, item, request)

    def patch(
        self, request: Request, resource: Resource, namespace: str, name: str, sub: str
    ) -> Response:
        """PATCH an object or its status or scale.

        Raises:
            Failure: 400, 404, 409, 415, 422.
        """
        form = negotiate(request.header("accept"))
        kind = request.header("content-type").partition(";")[0].strip()
        apply = _PATCHES.get(kind)
        if apply is None:
            raise StatusError(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: "
                + ", ".join(_PATCHES),
                details={},
            )
        try:
            change = msgspec.json.decode(request.body)
        except msgspec.MsgspecError as error:
            raise bad_request(f"error decoding patch: {error}") from None

        def changed(old: Object) -> Object:
            result = apply(old, change)
            if not isinstance(result, dict):
                raise bad_request("the patch does not make an object")
            return result

        dry = _dry(request)
        if sub == "scale":
            return self._scaled(resource, namespace, name, changed, dry=dry)
        if kind == _APPLY and self.store.get(resource, namespace, name) is None:
            item = self.add(resource, changed({}), namespace, dry=dry)
            return get_and_list.render(form, item, request, 201)
        item = self.change(resource, namespace, name, changed, sub, dry=dry)
        return get_and_list.render(form, item, request)

    def change(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        changed: Callable[[Object], Object],
        sub: str = "",
        *,
        dry: bool = False,
    ) -> Item:
        """Replace an object by what `changed` makes of it; no new version if that is the same.

        Raises:
            Failure: 404, 409, and whatever `changed` raises.
        """
        old = self.store.get(resource, namespace, name)
        if old is None:
            raise not_found(resource.plural, name, resource.group)
        before = old.copy()
        new = changed({"kind": resource.kind, "apiVersion": resource.api_version, **old.copy()})
        metadata = new.setdefault("metadata", {})
        _check_version(resource, old, metadata)
        if sub == "status":
            # Only the status counts; and on the way to it, labels and annotations.
            new = {**before, "status": new.get("status", {})}
        else:
            for field in _FIXED:
                if before["metadata"].get(field) is None:
                    metadata.pop(field, None)
                else:
                    metadata[field] = before["metadata"][field]
            if "status" in before:
                new["status"] = before["status"]
            _validate(resource, new)
            defaults.complete(self.store, resource, new, self.identities)
            if new.get("spec") != before.get("spec") and "generation" in before["metadata"]:
                metadata["generation"] = before["metadata"]["generation"] + 1
        new["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        stripped = {k: v for k, v in new.items() if k not in ("kind", "apiVersion")}
        if stripped == before:
            return old
        if dry:
            return Item(resource, old.version, msgspec.json.encode(stripped))
        put = self.store.put(resource, stripped)
        ended = put.copy()["metadata"]
        if ended.get("deletionTimestamp") and not ended.get("finalizers") and not _graceful(put):
            return self.store.remove(resource, namespace, name) or put
        return put

    def _scaled(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        changed: Callable[[Object], Object],
        *,
        dry: bool,
    ) -> Response:
        old = self.store.get(resource, namespace, name)
        if old is None:
            raise not_found(resource.plural, name, resource.group)
        wanted = changed(scale_of(old))
        replicas = wanted.get("spec", {}).get("replicas", 0)
        if not isinstance(replicas, int) or replicas < 0:
            raise invalid(
                "Scale",
                name,
                "spec.replicas",
                f"Invalid value: {replicas}: must be greater than or equal to 0",
                "autoscaling",
            )
        _check_version(resource, old, wanted.get("metadata", {}))

        def scale(item: Object) -> Object:
            item["spec"]["replicas"] = replicas
            return item

        return Response.of(scale_of(self.change(resource, namespace, name, scale, dry=dry)))

    def bind(self, namespace: str, name: str, node: str) -> None:
        """Assign a pod to a node.

        Raises:
            Failure: 404, or 409 when it is assigned already.
        """
        old = self.store.get(resources.PODS, namespace, name)
        if old is None:
            raise not_found("pods", name)
        pod = old.copy()
        if pod["spec"].get("nodeName"):
            raise conflict(
                "pods/binding",
                name,
                f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"',
            )
        pod["spec"]["nodeName"] = node
        set_condition(pod["status"], "PodScheduled", "True")
        self.store.put(resources.PODS, pod)

    # -- delete ----------------------------------------------------------------------------

    def delete(self, request: Request, resource: Resource, namespace: str, name: str) -> Response:
        """DELETE an object.

        Raises:
            Failure: 400, 404, 409.
        """
        form = negotiate(request.header("accept"))
        options = _delete_options(request)
        item, gone = self.end(resource, namespace, name, options, dry=_dry(request))
        if gone and resource is not resources.PODS:
            details = {"name": name, "group": resource.group, "kind": resource.plural}
            details["uid"] = item.uid
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Success",
                "details": {key: value for key, value in details.items() if value},
            }
            return Response.of(status)
        return get_and_list.render(form, item, request)

    def delete_collection(self, request: Request, selection: Selection) -> Response:
        """DELETE a collection: everything the selectors match.

        Raises:
            Failure: 400.
        """
        options = _delete_options(request)
        resource = selection.resource
        chosen = [
            item
            for item in self.store.all(resource, selection.namespace)
            if selection.matches(item)
        ]
        for item in chosen:
            self.end(resource, item.namespace, item.name, options, dry=_dry(request))
        return Response(
            body=[
                b'{"kind":"%bList","apiVersion":"%b","metadata":{"resourceVersion":"%d"},"items":['
                % (resource.kind.encode(), resource.api_version.encode(), self.store.version),
                b",".join(item.raw for item in chosen),
                b"]}\n",
            ]
        )

    def end(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        options: Object | None = None,
        *,
        dry: bool = False,
    ) -> tuple[Item, bool]:
        """Delete an object, or begin to: a pod that runs is only asked to end.

        Gives:
            The object's last state, and whether it is gone.

        Raises:
            Failure: 404, or 409 when a precondition fails.
        """
        options = options or {}
        old = self.store.get(resource, namespace, name)
        if old is None:
            raise not_found(resource.plural, name, resource.group)
        _check_preconditions(resource, old, options.get("preconditions") or {})
        if dry:
            return old, False
        if options.get("propagationPolicy") == "Orphan" or options.get("orphanDependents") is True:
            self._orphan(old)
        if resource is resources.PODS:
            return self._end_pod(old, options.get("gracePeriodSeconds"))
        item = old.copy()
        metadata = item["metadata"]
        if resource is resources.NAMESPACES:
            if not metadata.get("deletionTimestamp"):
                metadata["deletionTimestamp"] = timestamps.now()
                item["status"] = {"phase": "Terminating"}
                return self.store.put(resource, item), False
            return old, False
        if metadata.get("finalizers"):
            if not metadata.get("deletionTimestamp"):
                metadata["deletionTimestamp"] = timestamps.now()
                metadata["deletionGracePeriodSeconds"] = 0
                return self.store.put(resource, item), False
            return old, False
        return self.store.remove(resource, namespace, name) or old, True

    def _end_pod(self, old: Item, grace: object) -> tuple[Item, bool]:
        pod = old.copy()
        metadata, spec = pod["metadata"], pod["spec"]
        period = grace if isinstance(grace, int) else spec.get("terminationGracePeriodSeconds", 30)
        if not spec.get("nodeName") or pod["status"].get("phase") in ("Succeeded", "Failed"):
            period = 0
        running = metadata.get("deletionGracePeriodSeconds")
        if period > 0:
            if running is not None and running <= period:
                return old, False  # a grace period can only be shortened
            metadata.setdefault("generation", 1)
            metadata["generation"] += running is None
            metadata["deletionTimestamp"] = timestamps.stamp(
                timestamps.seconds(timestamps.now()) + period
            )
            metadata["deletionGracePeriodSeconds"] = period
            return self.store.put(resources.PODS, pod), False
        if metadata.get("finalizers"):
            metadata.setdefault("deletionTimestamp", timestamps.now())
            metadata["deletionGracePeriodSeconds"] = 0
            return self.store.put(resources.PODS, pod), False
        if running != 0 and spec.get("nodeName"):
            # As the real one: one more MODIFIED that says "now", then the DELETED.
            metadata.setdefault("deletionTimestamp", timestamps.now())
            metadata["deletionGracePeriodSeconds"] = 0
            self.store.put(resources.PODS, pod)
        return self.store.remove(resources.PODS, old.namespace, old.name) or old, True

    def _orphan(self, owner: Item) -> None:
        for table in self.store.tables.values():
            for item in self.store.all(table.resource, owner.namespace):
                if owner.uid.encode() not in item.raw:
                    continue
                body = item.copy()
                references = body["metadata"].get("ownerReferences") or []
                kept = [each for each in references if each.get("uid") != owner.uid]
                if len(kept) != len(references):
                    body["metadata"]["ownerReferences"] = kept
                    self.store.put(table.resource, body)


_APPLY = "application/apply-patch+yaml"  # clients send JSON, which is YAML
_PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/json-patch+json": patch.json_patch,
    "application/merge-patch+json": patch.merge,
    "application/strategic-merge-patch+json": patch.strategic,
    _APPLY: patch.strategic,
}


def scale_of(item: Item) -> Object:
    """The Scale of a workload."""
    from tui_forward.minicluster.apiserver.tables import format_selector

    body = item.copy()
    metadata = {
        name: body["metadata"][name]
        for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": body["spec"].get("replicas", 1)},
        "status": {
            "replicas": body.get("status", {}).get("replicas", 0),
            "selector": format_selector(body["spec"].get("selector")),
        },
    }


def set_condition(
    status: Object, kind: str, value: str, reason: str = "", message: str = ""
) -> None:
    """Set a pod's condition, keeping the time of its last transition where it does not change."""
    conditions: list[Object] = status.setdefault("conditions", [])
    fresh: Object = {
        "type": kind,
        "status": value,
        "lastProbeTime": None,
        "lastTransitionTime": timestamps.now(),
    }
    if reason:
        fresh["reason"] = reason
    if message:
        fresh["message"] = message
    for index, each in enumerate(conditions):
        if each["type"] == kind:
            if each["status"] == value:
                fresh["lastTransitionTime"] = each["lastTransitionTime"]
            conditions[index] = fresh
            return
    conditions.append(fresh)


def _graceful(item: Item) -> bool:
    """Whether an object that is being deleted still waits for somebody else's word."""
    return item.resource is resources.PODS or item.resource is resources.NAMESPACES


def _dry(request: Request) -> bool:
    return request.param("dryRun") == "All"


def _object(body: dict[str, object]) -> Object:
    return dict(body)


def _body(request: Request, resource: Resource) -> Object:
    body = _object(request.json())
    kind, version = body.get("kind"), body.get("apiVersion")
    if kind not in (None, resource.kind) or version not in (None, resource.api_version):
        raise bad_request(
            f"{kind} in version {version!r} cannot be handled as a {resource.kind}: the API "
            f"version in the data ({version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    return body


def _delete_options(request: Request) -> Object:
    options: Object = _object(request.json()) if request.body else {}
    if "gracePeriodSeconds" in request.query:
        options["gracePeriodSeconds"] = request.number("gracePeriodSeconds")
    if request.param("propagationPolicy"):
        options["propagationPolicy"] = request.param("propagationPolicy")
    return options


def _check_version(resource: Resource, old: Item, metadata: Object) -> None:
    wanted = metadata.get("resourceVersion")
    if wanted and str(wanted) != str(old.version):
        raise conflict(
            resource.plural,
            old.name,
            "the object has been modified; please apply your changes to the latest version and "
            "try again",
            resource.group,
        )
    uid = metadata.get("uid")
    if uid and uid != old.uid:
        raise conflict(
            resource.plural,
            old.name,
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old.uid}",
            resource.group,
        )


def _check_preconditions(resource: Resource, old: Item, wanted: Object) -> None:
    uid, version = wanted.get("uid"), wanted.get("resourceVersion")
    if uid and uid != old.uid:
        cause = f"the UID in the precondition ({uid}) does not match the UID in record ({old.uid})."
        cause += " The object might have been deleted and then recreated"
        raise conflict(resource.plural, old.name, cause, resource.group)
    if version and str(version) != str(old.version):
        cause = f"the ResourceVersion in the precondition ({version}) does not match the "
        cause += f"ResourceVersion in record ({old.version}). The object might have been modified"
        raise conflict(resource.plural, old.name, cause, resource.group)


def _validate(resource: Resource, item: Object) -> None:
    """The few rules without which the rest of the cluster could not work.

    Raises:
        Failure: 422.
    """
    name = str(item["metadata"].get("name") or "")

    def fail(field: str, cause: str) -> StatusError:
        return invalid(resource.kind, name, field, cause, resource.group)

    spec = item.get("spec") or {}
    template = spec
    path = "spec"
    if resource.group in ("apps", "batch"):
        template = (spec.get("template") or {}).get("spec") or {}
        path = "spec.template.spec"
    elif resource is not resources.PODS:
        return
    containers = template.get("containers") or ()
    if not containers:
        raise fail(f"{path}.containers", "Required value")
    for index, container in enumerate(containers):
        if not container.get("name"):
            raise fail(f"{path}.containers[{index}].name", "Required value")
        for number, port in enumerate(container.get("ports") or ()):
            if not 0 < port.get("containerPort", 0) < 65536:
                raise fail(
                    f"{path}.containers[{index}].ports[{number}].containerPort",
                    f"Invalid value: {port.get('containerPort', 0)}: must be between 1 and 65535, "
                    "inclusive",
                )
    if resource.group == "apps":
        from tui_forward.minicluster.apiserver.selectors import matches

        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        if not spec.get("selector"):
            raise fail("spec.selector", "Required value")
        if not matches(spec["selector"], labels):
            raise fail(
                "spec.template.metadata.labels",
                f"Invalid value: {labels}: `selector` does not match template `labels`",
            )
