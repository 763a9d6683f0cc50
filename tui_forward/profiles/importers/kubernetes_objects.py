"""Kubernetes objects in a text: `kubectl get … -o json` and `-o yaml`, manifests, lists. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from tui_forward.catalog.target_resolution import KINDS
from tui_forward.common.arguments import parse_target
from tui_forward.errors import UsageError
from tui_forward.kube.api import api_types, decoding
from tui_forward.model import Pod, TargetKind
from tui_forward.profiles.importers.located_values import Node
from tui_forward.profiles.parser import NAMESPACE


class _Owner(api_types.Owner, gc=False, rename="camel"):
    api_version: str = ""


class _Metadata(api_types.Metadata, gc=False, rename="camel"):
    annotations: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None  # type: ignore[assignment]


class _Pod(msgspec.Struct):
    """A pod or pod template, with the fields used here."""

    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: api_types.PodSpec = msgspec.field(default_factory=api_types.PodSpec)


@dataclass(frozen=True, slots=True)
class ObjectNode:
    """An object and where it stands."""

    fields: dict[str, Node]
    kind: str
    api_version: str
    line: int
    last_line: int

    @property
    def label(self) -> str:
        """Kind and name, for messages."""
        metadata = self.fields.get("metadata")
        name = metadata.text("name") if metadata is not None else ""
        return f"{self.kind} {name or 'without a name'}"


@dataclass(frozen=True, slots=True)
class DecodedPod:
    """The pod or pod template of an object, and what a forward to it targets."""

    pod: Pod
    annotations: dict[str, str]
    containers: tuple[str, ...]
    kind: TargetKind  # the owner of a pod, which outlives it
    name: str

    @property
    def label(self) -> str:
        """The target, for messages."""
        return f"{self.pod.namespace}/{self.kind}/{self.name}".removeprefix("/")


def is_object(node: Node) -> bool:
    """Return whether this is a Kubernetes object or list."""
    return all(key in node.fields and node.fields[key].text_value()
               for key in ("apiVersion", "kind"))  # fmt: skip


def find_objects(values: Iterable[Node]) -> Iterator[ObjectNode]:
    """Yield objects, and those of lists, whose items may have no kind of their own."""
    for value in values:
        for one in value.items or [value]:
            if is_object(one):
                yield from _objects(one)


def _objects(node: Node) -> Iterator[ObjectNode]:
    kind, version = node.fields["kind"].text_value(), node.fields["apiVersion"].text_value()
    items = node.fields.get("items")
    if not kind.endswith("List") or items is None:
        yield ObjectNode(node.fields, kind, version, node.line, node.last_line)
        return
    for item in items.items:
        if item.fields:
            own_kind = item.fields.get("kind")
            own_version = item.fields.get("apiVersion")
            yield ObjectNode(
                item.fields,
                (own_kind.text_value() if own_kind is not None else "")
                or kind.removesuffix("List"),
                (own_version.text_value() if own_version is not None else "") or version,
                item.line, item.last_line,
            )  # fmt: skip


def annotation_nodes(found: ObjectNode) -> Iterator[dict[str, Node]]:
    """Yield the annotations of an object and of its pod template."""
    for fields in (found.fields, _template(found)):
        metadata = fields.get("metadata")
        annotations = metadata.fields.get("annotations") if metadata is not None else None
        if annotations is not None:
            yield annotations.fields


def _template(found: ObjectNode) -> dict[str, Node]:
    """Return the pod, or the pod template of the object."""
    if found.kind == "Pod":
        return found.fields
    spec = _fields(found.fields, "spec")
    job = _fields(_fields(spec, "jobTemplate"), "spec")
    return _fields(spec, "template") or _fields(job, "template")


def _fields(fields: dict[str, Node], key: str) -> dict[str, Node]:
    found = fields.get(key)
    return found.fields if found is not None else {}


def decode(found: ObjectNode) -> DecodedPod:
    """Return the pod or pod template of an object; UsageError if it cannot be a target."""
    try:
        metadata = msgspec.convert(_plain(found.fields, "metadata"), _Metadata)
        template = msgspec.convert(
            {key: _plain(_template(found), key) for key in ("metadata", "spec")}, _Pod
        )
    except msgspec.ValidationError as error:
        raise UsageError(str(error)) from error
    pod = decoding.decode_pod(api_types.Pod(metadata=metadata, spec=template.spec))
    kind, name = _target(found, metadata, pod)
    if pod.namespace and not NAMESPACE.fullmatch(pod.namespace):
        raise UsageError(f'"{pod.namespace}" is not a valid namespace name')
    containers = [*(template.spec.containers or ()), *(template.spec.init_containers or ())]
    names = tuple(one.name for one in containers)
    return DecodedPod(pod, template.metadata.annotations or {}, names, kind, name)


def _plain(fields: dict[str, Node], key: str) -> Any:
    found = fields.get(key)
    value = found.plain() if found is not None else None
    return value if isinstance(value, dict) else {}


def _target(found: ObjectNode, metadata: _Metadata, pod: Pod) -> tuple[TargetKind, str]:
    """Return the owner if it can be a target, else the object itself; UsageError if neither can."""
    owner, kind = pod.owner, found.kind
    if owner is not None and kind in ("Pod", "ReplicaSet") and owner.kind in KINDS:
        references = metadata.owner_references or ()
        version = next((one.api_version for one in references if one.controller), "")
        try:
            return parse_target(f"{owner.kind}.{_group(version)}/{owner.name}")
        except UsageError:
            pass  # a Job of another kind of cluster, for example; the pod is there nevertheless
    return parse_target(f"{kind}.{_group(found.api_version)}/{metadata.name}")


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]
