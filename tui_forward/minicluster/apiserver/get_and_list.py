"""Getting and listing objects.

A list with a `limit` is one version of the collection, however many pages it takes: the
`continue` token names the version and the key to go on from, and the store undoes what changed
since. When that version is forgotten the answer is 410, with a token to go on inconsistently.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import msgspec

from tui_forward.minicluster.apiserver import tables
from tui_forward.minicluster.apiserver.content_negotiation import MediaType, negotiate
from tui_forward.minicluster.apiserver.http import Request, Response
from tui_forward.minicluster.apiserver.resources import Resource
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


class _Token(msgspec.Struct, omit_defaults=True):
    v: str = ""
    rv: int = 0
    start: str = ""


_TOKEN_VERSION = "meta.k8s.io/v1"


def _encode_token(version: int, start: str) -> str:
    # The real token ends the key with a zero byte: "the next key after this one".
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
    """What of a collection is wanted.

    Attributes:
        namespace: Empty for all.
    """

    resource: Resource
    namespace: str = ""
    labels: LabelTest | None = None
    fields: FieldTest | None = None

    @classmethod
    def of(cls, request: Request, resource: Resource, namespace: str, name: str = "") -> Selection:
        """The selection a request describes.

        Raises:
            Failure: 400 for selectors that cannot be understood.
        """
        fields = request.param("fieldSelector")
        if name:
            fields = ",".join(filter(None, (fields, f"metadata.name={name}")))
        return cls(
            resource,
            namespace,
            parse_labels(request.param("labelSelector")),
            parse_fields(fields, resource.selectable),
        )

    @property
    def everything(self) -> bool:
        """Whether no selector narrows it."""
        return self.labels is None and self.fields is None

    def matches(self, item: Item) -> bool:
        """Whether an object (of the right resource) is selected."""
        return (
            (not self.namespace or item.namespace == self.namespace)
            and (self.labels is None or self.labels(item.labels))
            and (self.fields is None or self.fields(item.fields))
        )


def get(store: Store, request: Request, resource: Resource, namespace: str, name: str) -> Response:
    """One object.

    Raises:
        Failure: 404, or 406.
    """
    form = negotiate(request.header("accept"))
    item = store.get(resource, namespace, name)
    if item is None:
        raise not_found(resource.plural, name, resource.group)
    return render(form, item, request)


def render(form: MediaType, item: Item, request: Request, status: int = 200) -> Response:
    """One object in the form the client wants."""
    if form.kind == "Table":
        body: bytes | list[bytes] = tables.table(
            item.resource,
            (item,),
            {"resourceVersion": str(item.version)},
            version=form.version,
            include=request.param("includeObject", "Metadata"),
        )
    elif form.kind:
        body = tables.partial(item) + b"\n"
    else:
        body = item.whole() + b"\n"
    return Response(status, body)


def list_objects(store: Store, request: Request, selection: Selection) -> Response:
    """A collection, or a page of it.

    Raises:
        Failure: 400, 406, 410, or 504 for a version from the future.
    """
    form = negotiate(request.header("accept"))
    items, metadata = _page(store, request, selection)
    resource = selection.resource
    if form.kind == "Table":
        include = request.param("includeObject", "Metadata")
        return Response(
            body=tables.table(resource, items, metadata, version=form.version, include=include)
        )
    encoded = msgspec.json.encode(metadata)
    if form.kind:
        head = (
            b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/%b","metadata":%b,'
            % (form.version.encode(), encoded)
        )
        bodies = [tables.partial(item) for item in items]
    else:
        head = b'{"kind":"%bList","apiVersion":"%b","metadata":%b,' % (
            resource.kind.encode(),
            resource.api_version.encode(),
            encoded,
        )
        bodies = [item.raw for item in items]
    return Response(body=_list_body(head, bodies))


def _list_body(head: bytes, bodies: list[bytes]) -> list[bytes]:
    """The pieces of a list, joined in runs so that no piece is tiny and none is huge."""
    pieces = [head + b'"items":[']
    run = 64
    for start in range(0, len(bodies), run):
        joined = b",".join(bodies[start : start + run])
        pieces.append(b"," + joined if start else joined)
    pieces.append(b"]}\n")
    return pieces


def _page(
    store: Store, request: Request, selection: Selection
) -> tuple[list[Item], dict[str, Any]]:
    resource, namespace = selection.resource, selection.namespace
    limit = request.number("limit")
    wanted = request.param("resourceVersion")
    match = request.param("resourceVersionMatch")
    prefix = f"{namespace}/" if namespace else ""
    version, start = store.version, ""
    if token := request.param("continue"):
        if wanted and wanted != "0":
            raise bad_request("specifying resource version is not allowed when using continue")
        asked, relative = _decode_token(token)
        start = prefix + relative
        if asked > 0:
            version = asked
    elif wanted:
        version = _version_of(store, wanted, match)
        if wanted == "0":
            limit = 0  # answered from the watch cache, which knows no pages
    elif match:
        raise bad_request("resourceVersionMatch is forbidden unless resourceVersion is provided")

    found = store.at(resource, version, namespace, start)
    if found is None:
        if token:
            raise expired_continue(_encode_token(-1, start.removeprefix(prefix).rstrip("\0")))
        raise StatusError(410, "Expired", "The resourceVersion for the provided list is too old.")

    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if selection.everything:
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


def _version_of(store: Store, wanted: str, match: str) -> int:
    try:
        version = int(wanted)
    except ValueError:
        raise bad_request(f"invalid resource version: {wanted}") from None
    if version > store.version:
        raise StatusError(
            504,
            "Timeout",
            f"Timeout: Too large resource version: {version}, current: {store.version}",
            details={
                "causes": [
                    {
                        "reason": "ResourceVersionTooLarge",
                        "message": "Too large resource version",
                    }
                ],
                "retryAfterSeconds": 1,
            },
        )
    if match == "Exact":
        if version == 0:
            raise bad_request("resourceVersionMatch Exact is forbidden for resourceVersion 0")
        return version
    if match not in ("", "NotOlderThan"):
        raise bad_request(f'resourceVersionMatch: Unsupported value: "{match}"')
    return store.version
