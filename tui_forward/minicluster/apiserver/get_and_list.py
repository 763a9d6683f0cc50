"""Handlers of GET requests for objects and collections, in the media type of `Accept`.

All pages of a list with a `limit` show one version of the collection: the `continue` token holds
the version and the next key, and the store undoes later changes. If that version is compacted, the
response is 410 with a token for an inconsistent continuation.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import msgspec

from tui_forward.minicluster.apiserver import tables
from tui_forward.minicluster.apiserver.http import Request, Response
from tui_forward.minicluster.apiserver.object_writer import to_scale
from tui_forward.minicluster.apiserver.resources import Object, Resource
from tui_forward.minicluster.apiserver.selectors import (
    FieldTest,
    LabelTest,
    parse_fields,
    parse_labels,
)
from tui_forward.minicluster.apiserver.status_errors import (
    StatusError,
    bad_request,
    expired_continue,
    not_found,
)
from tui_forward.minicluster.apiserver.store import Item, Store


@dataclass(frozen=True, slots=True)
class MediaType:
    """The media type of a response."""

    # Empty for plain objects, else "Table", "PartialObjectMetadata" or
    # "PartialObjectMetadataList".
    kind: str = ""
    version: str = "v1"  # version of `meta.k8s.io`
    drops_managed_fields: bool = False  # KEP-5958; of plain objects only

    def convert(self, item: Item) -> Item:
        """Return the object to send in place of a plain one."""
        return item.without_managed_fields() if self.drops_managed_fields else item


_PLAIN = MediaType()
# The only part that can be dropped; a server ignores the names of others.
_MANAGED_FIELDS = "metadata.managedFields"


def negotiate(accept: str) -> MediaType:
    """Return the first supported media type of an `Accept` header."""
    if not accept:
        return _PLAIN
    for entry in accept.split(","):
        media, *parameters = (part.strip() for part in entry.split(";"))
        if media not in ("application/json", "*/*", "application/*"):
            continue
        options = dict(part.partition("=")[::2] for part in parameters)
        kind = options.get("as", "")
        if not kind:
            return MediaType(drops_managed_fields=options.get("drop") == _MANAGED_FIELDS)
        if (
            kind in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
            and options.get("g") == "meta.k8s.io"
            and options.get("v") in ("v1", "v1beta1")
        ):
            return MediaType(kind, options["v"])
    message = "only the following media types are accepted: application/json"
    raise StatusError(406, "NotAcceptable", message, details={})


class _Token(msgspec.Struct, omit_defaults=True):
    v: str = ""
    rv: int = 0
    start: str = ""


_TOKEN_VERSION = "meta.k8s.io/v1"


def _encode_token(version: int, start: str) -> str:
    # As in a real token, a zero byte after the key refers to the next key.
    token = msgspec.json.encode({"v": _TOKEN_VERSION, "rv": version, "start": start + "\0"})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _decode_token(text: str) -> tuple[int, str]:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        token = msgspec.json.decode(raw, type=_Token)
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from None
    if token.v != _TOKEN_VERSION:
        raise bad_request(
            "invalid continue token: continue key is not valid: server does not recognize this "
            f'encoded version "{token.v}"'
        )
    if not token.rv:
        raise bad_request(
            "invalid continue token: continue key is not valid: incorrect encoded start "
            f"resourceVersion (version {_TOKEN_VERSION})"
        )
    if not token.start.strip("\0") or not token.start.endswith("\0"):
        raise bad_request(
            "invalid continue token: continue key is not valid: encoded start key empty "
            f"(version {_TOKEN_VERSION})"
        )
    return token.rv, token.start


@dataclass(frozen=True, slots=True)
class Selection:
    """The objects of a collection that a request selects."""

    resource: Resource
    namespace: str = ""  # their namespace; empty for all
    labels: LabelTest | None = None  # label selector; None for all
    fields: FieldTest | None = None  # field selector; None for all

    @classmethod
    def from_request(
        cls, request: Request, resource: Resource, namespace: str, name: str = ""
    ) -> Selection:
        """Return the selection of a request. Raises `StatusError`: 400 for invalid selectors."""
        fields = request.param("fieldSelector")
        if name:
            fields = ",".join(filter(None, (fields, f"metadata.name={name}")))
        return cls(
            resource,
            namespace,
            parse_labels(request.param("labelSelector")),
            parse_fields(fields, resource.is_selectable),
        )

    @property
    def has_no_selectors(self) -> bool:
        """Whether it has neither a label nor a field selector."""
        return self.labels is None and self.fields is None

    def matches(self, item: Item) -> bool:
        """Return whether an object of the resource is selected."""
        return (
            (not self.namespace or item.namespace == self.namespace)
            and (self.labels is None or self.labels(item.labels))
            and (self.fields is None or self.fields(item.fields))
        )


def get(store: Store, request: Request, resource: Resource, namespace: str, name: str) -> Response:
    """Handle GET of one object. Raises `StatusError`: 404, 406."""
    media_type = negotiate(request.header("accept"))
    item = store.get(resource, namespace, name)
    if item is None:
        raise not_found(resource.plural, name, resource.group)
    return render(media_type, item, request)


def get_scale(store: Store, resource: Resource, namespace: str, name: str) -> Response:
    """Handle GET of a workload's scale. Raises `StatusError`: 404."""
    item = store.get(resource, namespace, name)
    if item is None:
        raise not_found(resource.plural, name, resource.group)
    return Response.json(to_scale(item))


def render(media_type: MediaType, item: Item, request: Request, status: int = 200) -> Response:
    """Return a response with one object in the negotiated media type."""
    if media_type.kind == "Table":
        body: bytes | list[bytes] = tables.encode_table(
            item.resource,
            (item,),
            {"resourceVersion": str(item.version)},
            version=media_type.version,
            include=request.param("includeObject", "Metadata"),
        )
    elif media_type.kind:
        body = tables.encode_metadata(item) + b"\n"
    else:
        body = media_type.convert(item).encode_with_kind() + b"\n"
    return Response(status, body)


def list_objects(store: Store, request: Request, selection: Selection) -> Response:
    """Handle GET of a collection or a page of it."""
    media_type = negotiate(request.header("accept"))
    items, metadata = _page(store, request, selection)
    resource = selection.resource
    if media_type.kind == "Table":
        include = request.param("includeObject", "Metadata")
        table = tables.encode_table(
            resource, items, metadata, version=media_type.version, include=include
        )
        return Response(body=table)
    encoded = msgspec.json.encode(metadata)
    if media_type.kind:
        head = (
            b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/%b","metadata":%b,'
            % (media_type.version.encode(), encoded)
        )
        bodies = [tables.encode_metadata(item) for item in items]
    else:
        kind, version = resource.kind.encode(), resource.api_version.encode()
        head = b'{"kind":"%bList","apiVersion":"%b","metadata":%b,' % (kind, version, encoded)
        bodies = [media_type.convert(item).raw for item in items]
    return Response(body=_list_body(head, bodies))


_ITEMS_PER_PIECE = 64


def _list_body(head: bytes, bodies: list[bytes]) -> list[bytes]:
    """Return the body of a list in pieces of moderate size."""
    pieces = [head + b'"items":[']
    for start in range(0, len(bodies), _ITEMS_PER_PIECE):
        joined = b",".join(bodies[start : start + _ITEMS_PER_PIECE])
        pieces.append(b"," + joined if start else joined)
    pieces.append(b"]}\n")
    return pieces


def _page(store: Store, request: Request, selection: Selection) -> tuple[list[Item], Object]:
    """Return the items of a page and the metadata of the list."""
    resource, namespace = selection.resource, selection.namespace
    limit = request.number("limit")
    requested = request.param("resourceVersion")
    match = request.param("resourceVersionMatch")
    prefix = f"{namespace}/" if namespace else ""
    version, start = store.version, ""
    if token := request.param("continue"):
        if requested and requested != "0":
            raise bad_request("specifying resource version is not allowed when using continue")
        token_version, relative_key = _decode_token(token)
        start = prefix + relative_key
        if token_version > 0:
            version = token_version
    elif requested:
        version = _parse_version(store, requested, match)
        if requested == "0":
            limit = 0  # the watch cache of a real API server has no pages
    elif match:
        raise bad_request("resourceVersionMatch is forbidden unless resourceVersion is provided")

    found = store.at(resource, version, namespace, start)
    if found is None:
        if token:
            raise expired_continue(_encode_token(-1, start.removeprefix(prefix).rstrip("\0")))
        raise StatusError(410, "Expired", "The resourceVersion for the provided list is too old.")

    metadata: Object = {"resourceVersion": str(version)}
    if selection.has_no_selectors:
        items = found[:limit] if limit else found
        if len(found) > len(items):
            metadata["continue"] = _encode_token(version, items[-1].key.removeprefix(prefix))
            metadata["remainingItemCount"] = len(found) - len(items)
        return items, metadata
    items = []
    for index, item in enumerate(found):
        if selection.matches(item):
            items.append(item)
            if limit and len(items) == limit and index + 1 < len(found):
                metadata["continue"] = _encode_token(version, item.key.removeprefix(prefix))
                break
    return items, metadata


def _parse_version(store: Store, text: str, match: str) -> int:
    try:
        version = int(text)
    except ValueError:
        raise bad_request(f"invalid resource version: {text}") from None
    if version > store.version:
        message = f"Timeout: Too large resource version: {version}, current: {store.version}"
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        details = {"causes": [cause], "retryAfterSeconds": 1}
        raise StatusError(504, "Timeout", message, details=details)
    if match == "Exact":
        if version == 0:
            raise bad_request("resourceVersionMatch Exact is forbidden for resourceVersion 0")
        return version
    if match not in ("", "NotOlderThan"):
        raise bad_request(f'resourceVersionMatch: Unsupported value: "{match}"')
    return store.version
