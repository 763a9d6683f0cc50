r"""Decoder of protobuf request bodies, which recent kubectl sends for built-in types.

It decodes the fields that kubectl's own commands (`create`, `expose`, `auth can-i`, …) write, by
the numbers of the `generated.proto` files of k8s.io/api. Other fields are skipped, as by an older
server. A body is four bytes `k8s\0`, then an `Unknown` with type and raw message. Responses are
always JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.status_errors import StatusError

MAGIC: Final = b"k8s\0"


@dataclass(frozen=True)
class _Repeated:
    """A repeated field."""

    of: Any


@dataclass(frozen=True)
class _Map:
    """A map of strings."""


@dataclass(frozen=True)
class _OneOf:
    """A message whose value is the field that its first field selects."""

    fields: dict[int, tuple[str, Any]] = field(default_factory=dict)


TEXT: Final = "text"
NUMBER: Final = "number"
# A number that is set even if it is 0.
COUNT: Final = "count"
FLAG: Final = "flag"
_Schema: TypeAlias = dict[int, tuple[str, Any]]

_MAP = _Map()
_META: _Schema = {
    1: ("name", TEXT),
    2: ("generateName", TEXT),
    3: ("namespace", TEXT),
    5: ("uid", TEXT),
    6: ("resourceVersion", TEXT),
    11: ("labels", _MAP),
    12: ("annotations", _MAP),
    14: ("finalizers", _Repeated(TEXT)),
}
_SELECTOR: _Schema = {
    1: ("matchLabels", _MAP),
    2: (
        "matchExpressions",
        _Repeated({1: ("key", TEXT), 2: ("operator", TEXT), 3: ("values", _Repeated(TEXT))}),
    ),
}
_CONTAINER: _Schema = {
    1: ("name", TEXT),
    2: ("image", TEXT),
    3: ("command", _Repeated(TEXT)),
    4: ("args", _Repeated(TEXT)),
    6: (
        "ports",
        _Repeated(
            {
                1: ("name", TEXT),
                2: ("hostPort", NUMBER),
                3: ("containerPort", NUMBER),
                4: ("protocol", TEXT),
            }
        ),
    ),
    7: ("env", _Repeated({1: ("name", TEXT), 2: ("value", TEXT)})),
    14: ("imagePullPolicy", TEXT),
}
_POD_SPEC: _Schema = {
    2: ("containers", _Repeated(_CONTAINER)),
    3: ("restartPolicy", TEXT),
    4: ("terminationGracePeriodSeconds", COUNT),
    6: ("dnsPolicy", TEXT),
    7: ("nodeSelector", _MAP),
    8: ("serviceAccountName", TEXT),
    10: ("nodeName", TEXT),
    20: ("initContainers", _Repeated(_CONTAINER)),
}
_TEMPLATE: _Schema = {1: ("metadata", _META), 2: ("spec", _POD_SPEC)}
_SERVICE_PORT: _Schema = {
    1: ("name", TEXT),
    2: ("protocol", TEXT),
    3: ("port", NUMBER),
    4: ("targetPort", _OneOf({1: ("type", NUMBER), 2: ("int", COUNT), 3: ("text", TEXT)})),
    5: ("nodePort", NUMBER),
}
_WORKLOAD: _Schema = {
    1: ("replicas", COUNT),
    2: ("selector", _SELECTOR),
    3: ("template", _TEMPLATE),
}


def _object(spec: _Schema) -> _Schema:
    return {1: ("metadata", _META), 2: ("spec", spec)}


_KINDS: dict[str, _Schema] = {
    "Namespace": {1: ("metadata", _META)},
    "ServiceAccount": {1: ("metadata", _META)},
    "ConfigMap": {1: ("metadata", _META), 2: ("data", _MAP)},
    "Pod": _object(_POD_SPEC),
    "Service": _object(
        {
            1: ("ports", _Repeated(_SERVICE_PORT)),
            2: ("selector", _MAP),
            3: ("clusterIP", TEXT),
            4: ("type", TEXT),
            10: ("externalName", TEXT),
        }
    ),
    "Deployment": _object(_WORKLOAD),
    "ReplicaSet": _object(
        {1: ("replicas", COUNT), 2: ("selector", _SELECTOR), 3: ("template", _TEMPLATE)}
    ),
    "StatefulSet": _object({**_WORKLOAD, 5: ("serviceName", TEXT)}),
    "DaemonSet": _object({1: ("selector", _SELECTOR), 2: ("template", _TEMPLATE)}),
    "Job": _object(
        {
            1: ("parallelism", COUNT),
            2: ("completions", COUNT),
            6: ("template", _TEMPLATE),
            7: ("backoffLimit", COUNT),
        }
    ),
    "Scale": _object({1: ("replicas", COUNT)}),
    "DeleteOptions": {
        1: ("gracePeriodSeconds", COUNT),
        2: ("preconditions", {1: ("uid", TEXT), 2: ("resourceVersion", TEXT)}),
        3: ("orphanDependents", FLAG),
        4: ("propagationPolicy", TEXT),
    },
    "SelfSubjectAccessReview": _object(
        {
            1: (
                "resourceAttributes",
                {
                    1: ("namespace", TEXT),
                    2: ("verb", TEXT),
                    3: ("group", TEXT),
                    4: ("version", TEXT),
                    5: ("resource", TEXT),
                    6: ("subresource", TEXT),
                    7: ("name", TEXT),
                },
            ),
            2: ("nonResourceAttributes", {1: ("path", TEXT), 2: ("verb", TEXT)}),
        }
    ),
    "SelfSubjectRulesReview": _object({1: ("namespace", TEXT)}),
    "SelfSubjectReview": {1: ("metadata", _META)},
}
_ENVELOPE: _Schema = {
    1: ("type", {1: ("apiVersion", TEXT), 2: ("kind", TEXT)}),
    2: ("raw", "bytes"),
}


def decode(body: bytes) -> Object:
    """Return the object of a protobuf body."""
    try:
        envelope = _decode_message(memoryview(body)[len(MAGIC) :], _ENVELOPE)
        kind = envelope.get("type", {}).get("kind", "")
        schema = _KINDS.get(kind)
        if schema is None:
            raise StatusError(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types "
                "include: application/json",
                details={},
            )
        return {**envelope["type"], **_decode_message(envelope.get("raw", memoryview(b"")), schema)}
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise StatusError(
            400, "BadRequest", f"the object provided is unrecognized: {error}"
        ) from None


def _decode_message(data: memoryview, schema: _Schema) -> Object:
    found: Object = {}
    offset = 0
    while offset < len(data):
        key, offset = _varint(data, offset)
        number, wire_type = key >> 3, key & 7
        value: int | memoryview
        if wire_type == 0:
            value, offset = _varint(data, offset)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
            value, offset = data[offset : offset + size], offset + size
        elif wire_type == 2:
            size, offset = _varint(data, offset)
            if offset + size > len(data):
                raise ValueError("unexpected EOF")
            value, offset = data[offset : offset + size], offset + size
        else:
            raise ValueError(f"proto: illegal wireType {wire_type}")
        if number in schema:
            name, kind = schema[number]
            _set_field(found, name, kind, value)
    return found


def _set_field(found: Object, name: str, kind: Any, value: int | memoryview) -> None:
    if isinstance(kind, _Repeated):
        holder: Object = {}
        _set_field(holder, name, kind.of, value)
        # Empty strings are omitted from objects, not from lists.
        found.setdefault(name, []).append(holder.get(name, "" if kind.of == TEXT else {}))
    elif isinstance(value, int):
        # 64 bits, two's complement.
        number = value - (1 << 64) if value >= 1 << 63 else value
        if kind == FLAG:
            found[name] = bool(number)
        elif kind == COUNT or (kind == NUMBER and number):
            found[name] = number
    elif kind == TEXT:
        if value:
            found[name] = bytes(value).decode()
    elif kind == "bytes":
        found[name] = value
    elif isinstance(kind, _Map):
        entry = _decode_message(value, {1: ("key", TEXT), 2: ("value", TEXT)})
        found.setdefault(name, {})[entry.get("key", "")] = entry.get("value", "")
    elif isinstance(kind, _OneOf):
        message = _decode_message(value, kind.fields)
        selected = message.get("text") if message.get("type") else message.get("int")
        if selected:
            found[name] = selected
    elif isinstance(kind, dict):
        found[name] = _decode_message(value, kind)


def _varint(data: memoryview, offset: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[offset]
        offset += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, offset
        shift += 7
        if shift > 63:
            raise ValueError("proto: integer overflow")
