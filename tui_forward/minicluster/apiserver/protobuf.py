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
from tui_forward.minicluster.apiserver.status_errors import StatusError, bad_request

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


def _texts(**numbers: int) -> _Schema:
    return {number: (name, TEXT) for name, number in numbers.items()}


def _counts(**numbers: int) -> _Schema:
    return {number: (name, COUNT) for name, number in numbers.items()}


def _object(spec: _Schema) -> _Schema:
    return {1: ("metadata", _META), 2: ("spec", spec)}


_META: _Schema = {
    **_texts(name=1, generateName=2, namespace=3, uid=5, resourceVersion=6),
    11: ("labels", _MAP),
    12: ("annotations", _MAP),
    14: ("finalizers", _Repeated(TEXT)),
}
_EXPRESSION: _Schema = {**_texts(key=1, operator=2), 3: ("values", _Repeated(TEXT))}
_SELECTOR: _Schema = {1: ("matchLabels", _MAP), 2: ("matchExpressions", _Repeated(_EXPRESSION))}
_CONTAINER_PORT: _Schema = {
    **_texts(name=1, protocol=4),
    2: ("hostPort", NUMBER),
    3: ("containerPort", NUMBER),
}
_CONTAINER: _Schema = {
    **_texts(name=1, image=2, imagePullPolicy=14),
    3: ("command", _Repeated(TEXT)),
    4: ("args", _Repeated(TEXT)),
    6: ("ports", _Repeated(_CONTAINER_PORT)),
    7: ("env", _Repeated(_texts(name=1, value=2))),
}
_POD_SPEC: _Schema = {
    **_texts(restartPolicy=3, dnsPolicy=6, serviceAccountName=8, nodeName=10),
    2: ("containers", _Repeated(_CONTAINER)),
    4: ("terminationGracePeriodSeconds", COUNT),
    7: ("nodeSelector", _MAP),
    20: ("initContainers", _Repeated(_CONTAINER)),
}
_TEMPLATE = _object(_POD_SPEC)
_SERVICE_PORT: _Schema = {
    **_texts(name=1, protocol=2),
    3: ("port", NUMBER),
    4: ("targetPort", _OneOf({1: ("type", NUMBER), 2: ("int", COUNT), 3: ("text", TEXT)})),
    5: ("nodePort", NUMBER),
}
_SERVICE: _Schema = {
    **_texts(clusterIP=3, type=4, sessionAffinity=7, externalName=10, ipFamilyPolicy=17),
    1: ("ports", _Repeated(_SERVICE_PORT)),
    2: ("selector", _MAP),
    13: ("publishNotReadyAddresses", FLAG),
    14: ("sessionAffinityConfig", {1: ("clientIP", _counts(timeoutSeconds=1))}),
    18: ("clusterIPs", _Repeated(TEXT)),
    19: ("ipFamilies", _Repeated(TEXT)),
}
_WORKLOAD: _Schema = {
    1: ("replicas", COUNT),
    2: ("selector", _SELECTOR),
    3: ("template", _TEMPLATE),
}
_JOB = {**_counts(parallelism=1, completions=2, backoffLimit=7), 6: ("template", _TEMPLATE)}
_ACCESS: _Schema = {
    1: (
        "resourceAttributes",
        _texts(namespace=1, verb=2, group=3, version=4, resource=5, subresource=6, name=7),
    ),
    2: ("nonResourceAttributes", _texts(path=1, verb=2)),
}
_NAMED: _Schema = {1: ("metadata", _META)}
_RULE: _Schema = {
    number: (name, _Repeated(TEXT))
    for number, name in enumerate(
        ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"), 1
    )
}
_ROLE: _Schema = {**_NAMED, 2: ("rules", _Repeated(_RULE))}
_BINDING: _Schema = {
    **_NAMED,
    2: ("subjects", _Repeated(_texts(kind=1, apiGroup=2, name=3, namespace=4))),
    3: ("roleRef", _texts(apiGroup=1, kind=2, name=3)),
}
_SUBJECT_ACCESS: _Schema = {**_ACCESS, 3: ("user", TEXT), 4: ("groups", _Repeated(TEXT))}
_KINDS: dict[str, _Schema] = {
    **dict.fromkeys(("Namespace", "ServiceAccount", "SelfSubjectReview"), _NAMED),
    "ConfigMap": {1: ("metadata", _META), 2: ("data", _MAP)},
    "Pod": _object(_POD_SPEC),
    "Service": _object(_SERVICE),
    **dict.fromkeys(("Deployment", "ReplicaSet"), _object(_WORKLOAD)),
    "StatefulSet": _object({**_WORKLOAD, 5: ("serviceName", TEXT)}),
    "DaemonSet": _object({1: ("selector", _SELECTOR), 2: ("template", _TEMPLATE)}),
    "Job": _object(_JOB),
    "Scale": _object(_counts(replicas=1)),
    "DeleteOptions": {
        1: ("gracePeriodSeconds", COUNT),
        2: ("preconditions", _texts(uid=1, resourceVersion=2)),
        3: ("orphanDependents", FLAG),
        4: ("propagationPolicy", TEXT),
    },
    **dict.fromkeys(("Role", "ClusterRole"), _ROLE),
    **dict.fromkeys(("RoleBinding", "ClusterRoleBinding"), _BINDING),
    **dict.fromkeys(("SubjectAccessReview", "LocalSubjectAccessReview"), _object(_SUBJECT_ACCESS)),
    "SelfSubjectAccessReview": _object(_ACCESS),
    "SelfSubjectRulesReview": _object(_texts(namespace=1)),
}
_ENVELOPE: _Schema = {1: ("type", _texts(apiVersion=1, kind=2)), 2: ("raw", "bytes")}


def decode(body: bytes) -> Object:
    """Return the object of a protobuf body."""
    try:
        envelope = _decode_message(memoryview(body)[len(MAGIC) :], _ENVELOPE)
        kind = envelope.get("type", {}).get("kind", "")
        schema = _KINDS.get(kind)
        if schema is None:
            message = "the body of the request was in an unknown format - accepted media types "
            message += "include: application/json"
            raise StatusError(415, "UnsupportedMediaType", message, details={})
        return {**envelope["type"], **_decode_message(envelope.get("raw", memoryview(b"")), schema)}
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from None


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
