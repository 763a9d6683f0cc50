"""Handlers of POST, PUT, PATCH and DELETE requests for objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tui_forward.minicluster.apiserver import get_and_list, patches, resources
from tui_forward.minicluster.apiserver.get_and_list import Selection, negotiate
from tui_forward.minicluster.apiserver.http import Request, Response
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter, to_scale
from tui_forward.minicluster.apiserver.resources import Object, Resource
from tui_forward.minicluster.apiserver.status_errors import StatusError, bad_request

_APPLY_PATCH = "application/apply-patch+yaml"  # clients send JSON, which is YAML
_PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/json-patch+json": patches.apply_json_patch,
    "application/merge-patch+json": patches.apply_merge_patch,
    "application/strategic-merge-patch+json": patches.apply_strategic_patch,
    _APPLY_PATCH: patches.apply_strategic_patch,
}
# Resources whose lists have no merge keys, so that strategic merge equals merge patch.
_ATOMIC_LISTS = (resources.ENDPOINTS, resources.ENDPOINTSLICES)
_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def create(writer: ObjectWriter, request: Request, resource: Resource, namespace: str) -> Response:
    """Handle POST to a collection."""
    media_type = negotiate(request.header("accept"))
    body = _decode_object(request, resource)
    item = writer.create(resource, body, namespace, dry_run=_is_dry_run(request))
    return get_and_list.render(media_type, item, request, 201)


def update(
    writer: ObjectWriter,
    request: Request,
    resource: Resource,
    namespace: str,
    name: str,
    subresource: str,
) -> Response:
    """Handle PUT to an object or its status or scale."""
    media_type = negotiate(request.header("accept"))
    body: Object = request.json()
    dry_run = _is_dry_run(request)
    if subresource == "scale":
        item = writer.scale(resource, namespace, name, lambda _: body, dry_run=dry_run)
        return Response.json(to_scale(item))
    item = writer.update(resource, namespace, name, lambda _: body, subresource, dry_run=dry_run)
    return get_and_list.render(media_type, item, request)


def patch(
    writer: ObjectWriter,
    request: Request,
    resource: Resource,
    namespace: str,
    name: str,
    subresource: str,
) -> Response:
    """Handle PATCH of an object or its status or scale."""
    media_type = negotiate(request.header("accept"))
    patch_type = request.header("content-type").partition(";")[0].strip()
    apply = _PATCHES.get(patch_type)
    if apply is None:
        message = (
            "the body of the request was in an unknown format - accepted media types include: "
        )
        raise StatusError(415, "UnsupportedMediaType", message + ", ".join(_PATCHES), details={})
    if resource in _ATOMIC_LISTS and apply is patches.apply_strategic_patch:
        apply = patches.apply_merge_patch
    try:
        content = msgspec.json.decode(request.body)
    except msgspec.MsgspecError as error:
        raise bad_request(f"error decoding patch: {error}") from None

    def mutate(current: Object) -> Object:
        patched = apply(current, content)
        if not isinstance(patched, dict):
            raise bad_request("the patch does not make an object")
        return patched

    dry_run = _is_dry_run(request)
    if subresource == "scale":
        item = writer.scale(resource, namespace, name, mutate, dry_run=dry_run)
        return Response.json(to_scale(item))
    if patch_type == _APPLY_PATCH and writer.store.get(resource, namespace, name) is None:
        item = writer.create(resource, mutate({}), namespace, dry_run=dry_run)
        return get_and_list.render(media_type, item, request, 201)
    item = writer.update(resource, namespace, name, mutate, subresource, dry_run=dry_run)
    return get_and_list.render(media_type, item, request)


def bind(writer: ObjectWriter, request: Request, namespace: str, name: str) -> Response:
    """Handle POST to a pod's `binding`. Raises `StatusError`: 400, 404, 409."""
    target = request.json().get("target")
    if not isinstance(target, dict) or not target.get("name"):
        raise bad_request("a binding names its target")
    writer.bind(namespace, name, str(target["name"]))
    return Response.json({**_SUCCESS, "code": 201}, 201)


def delete(
    writer: ObjectWriter, request: Request, resource: Resource, namespace: str, name: str
) -> Response:
    """Handle DELETE of an object. Raises `StatusError`: 400, 404, 406, 409."""
    media_type = negotiate(request.header("accept"))
    options = _delete_options(request)
    item, is_deleted = writer.delete(
        resource, namespace, name, options, dry_run=_is_dry_run(request)
    )
    if not is_deleted or resource is resources.PODS:
        return get_and_list.render(media_type, item, request)
    details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": item.uid}
    return Response.json(
        {**_SUCCESS, "details": {key: value for key, value in details.items() if value}}
    )


def delete_collection(writer: ObjectWriter, request: Request, selection: Selection) -> Response:
    """Handle DELETE of the objects that match the selectors. Raises `StatusError`: 400."""
    options = _delete_options(request)
    resource = selection.resource
    items = [
        item for item in writer.store.all(resource, selection.namespace) if selection.matches(item)
    ]
    dry_run = _is_dry_run(request)
    for item in items:
        writer.delete(resource, item.namespace, item.name, options, dry_run=dry_run)
    return Response(
        body=[
            b'{"kind":"%bList","apiVersion":"%b","metadata":{"resourceVersion":"%d"},"items":['
            % (resource.kind.encode(), resource.api_version.encode(), writer.store.version),
            b",".join(item.raw for item in items),
            b"]}\n",
        ]
    )


def _is_dry_run(request: Request) -> bool:
    return request.param("dryRun") == "All"


def _decode_object(request: Request, resource: Resource) -> Object:
    body: Object = request.json()
    kind, version = body.get("kind"), body.get("apiVersion")
    if kind not in (None, resource.kind) or version not in (None, resource.api_version):
        raise bad_request(
            f"{kind} in version {version!r} cannot be handled as a {resource.kind}: the API "
            f"version in the data ({version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    return body


def _delete_options(request: Request) -> Object:
    options: Object = request.json() if request.body else {}
    if "gracePeriodSeconds" in request.query:
        options["gracePeriodSeconds"] = request.number("gracePeriodSeconds")
    if request.param("propagationPolicy"):
        options["propagationPolicy"] = request.param("propagationPolicy")
    return options
