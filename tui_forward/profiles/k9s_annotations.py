"""Import of the annotations that k9s uses for port-forwards of a pod. Pure.

`k9scli.io/auto-port-forwards` and `k9scli.io/port-forwards` hold `CONTAINER::[LOCAL:]PORT`,
several with commas between them; PORT is a number or a name, without CONTAINER it is that of
any container. They are on pods and in pod templates. The forward goes to the owner of a pod,
which outlives it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from tui_forward.catalog.target_resolution import KINDS
from tui_forward.common.arguments import parse_port, parse_target
from tui_forward.errors import UsageError
from tui_forward.kube.api import api_types, decoding
from tui_forward.model import DeclaredPort, ForwardSpec, Pod, PortProtocol, Target, TargetKind
from tui_forward.profiles.parser import NAMESPACE

# Where both exist k9s uses only the first; here both are imported.
_KEYS: Final = ("k9scli.io/auto-port-forwards", "k9scli.io/port-forwards")
# `/NUMBER` after a name is redundant data of k9s.
_FORM = re.compile(r"(?:([\w-]+)::)?(?:(\d*):)?([\w-]*)(?:/\d+)?", re.ASCII)
_MAX_NOTES: Final = 500
_MAX_PORTS: Final = 500  # of one object
_MAX_NOTE_LENGTH: Final = 300


class _Owner(api_types.Owner, gc=False, rename="camel"):
    api_version: str = ""


class _Metadata(api_types.Metadata, gc=False, rename="camel"):
    annotations: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None  # type: ignore[assignment]


class _Pod(msgspec.Struct):
    """A pod or pod template, with the fields used here."""

    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: api_types.PodSpec = msgspec.field(default_factory=api_types.PodSpec)


def is_object(value: Any) -> bool:
    """Return whether this is a Kubernetes object or list."""
    return isinstance(value, dict) and all(
        isinstance(value.get(key), str) for key in ("apiVersion", "kind")
    )


def read_annotations(values: Iterable[Any], notes: list[str]) -> Iterator[tuple[str, ForwardSpec]]:
    """Yield name and forward of annotations of objects, repeated for every pod that has them.

    `values` are objects and lists of them, decoded from JSON or YAML. `notes` receives a line for
    each skipped entry.
    """
    for value in values:
        for one in _objects(value):
            if _has_annotation(one):
                yield from _of_object(one, notes)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if not is_object(value):
        return
    kind, items = value["kind"], value.get("items")
    if not kind.endswith("List") or not isinstance(items, list):
        yield value
        return
    for item in items:
        if isinstance(item, dict):  # items of a PodList have no kind
            one = {"apiVersion": value["apiVersion"], "kind": kind.removesuffix("List"), **item}
            if is_object(one):
                yield one


def _has_annotation(value: dict[str, Any]) -> bool:
    sources = (value, _template(value))
    return any(key in _dict(_dict(one, "metadata"), "annotations") for one in sources
               for key in _KEYS)  # fmt: skip


def _template(value: dict[str, Any]) -> dict[str, Any]:
    """Return the pod, or the pod template of the object."""
    if value["kind"] == "Pod":
        return value
    spec = _dict(value, "spec")
    return _dict(spec, "template") or _dict(_dict(_dict(spec, "jobTemplate"), "spec"), "template")


def _dict(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _of_object(value: dict[str, Any], notes: list[str]) -> Iterator[tuple[str, ForwardSpec]]:
    metadata = _dict(value, "metadata")
    label = f"{value['kind']} {metadata.get('name') or 'without a name'}"
    try:
        object_metadata = msgspec.convert(metadata, _Metadata)
        template = msgspec.convert(_template(value), _Pod)
        pod = decoding.decode_pod(api_types.Pod(metadata=object_metadata, spec=template.spec))
        kind, name = _target(value, object_metadata, pod)
        if pod.namespace and not NAMESPACE.fullmatch(pod.namespace):
            raise UsageError(f'"{pod.namespace}" is not a valid namespace name')
    except (UsageError, msgspec.ValidationError) as error:
        _note(notes, f"{label} skipped: {error}")
        return
    label = f"{pod.namespace}/{kind}/{name}".removeprefix("/")
    texts = [(template.metadata.annotations or {}).get(key, "") for key in _KEYS]
    if not any(texts):
        _note(notes, f"{label} skipped: the annotation belongs in its pod template")
    parts = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    containers = [*(template.spec.containers or ()), *(template.spec.init_containers or ())]
    names = [one.name for one in containers]
    if max(len(parts), len(pod.ports)) > _MAX_PORTS:
        _note(notes, f"{label} skipped: it has more than {_MAX_PORTS} ports")
        return
    for part in dict.fromkeys(parts):
        try:
            local, port, port_name = _parse_annotation(part, pod, names)
        except UsageError as error:
            _note(notes, f'{label}: "{part}" skipped: {error.message}')
            continue
        target = Target(context="", namespace=pod.namespace, kind=kind, name=name, port=port)
        spec = ForwardSpec(target=target, local_port=local)
        yield name if len(parts) == 1 else f"{name}-{port_name}", spec


def _note(notes: list[str], text: str) -> None:
    text = text[:_MAX_NOTE_LENGTH]
    if text not in notes and len(notes) < _MAX_NOTES:  # every pod of a workload repeats it
        notes.append(text)


def _target(value: dict[str, Any], metadata: _Metadata, pod: Pod) -> tuple[TargetKind, str]:
    """Return the owner if it can be a target, else the object itself; UsageError if neither can."""
    owner, kind = pod.owner, value["kind"]
    if owner is not None and kind in ("Pod", "ReplicaSet") and owner.kind in KINDS:
        references = metadata.owner_references or ()
        version = next((one.api_version for one in references if one.controller), "")
        try:
            return parse_target(f"{owner.kind}.{_group(version)}/{owner.name}")
        except UsageError:
            pass  # a Job of another kind of cluster, for example; the pod is there nevertheless
    return parse_target(f"{kind}.{_group(value['apiVersion'])}/{metadata.name}")


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _parse_annotation(part: str, pod: Pod, containers: list[str]) -> tuple[int | None, str, str]:
    """Return the local port, the port of the target, and a name for it."""
    form = _FORM.fullmatch(part)
    port = form and (form[3] or form[2])
    if form is None or not port:
        raise UsageError("not in the form CONTAINER::[LOCAL:]PORT")
    container, local = form[1], form[2] if form[3] else ""
    pair = parse_port(f"{local}:{port}" if local else port)
    if container and container not in containers:
        raise UsageError(f'there is no container "{container}"', hint=", ".join(containers))
    declared = [one for one in pod.ports if container in (None, one.container)]
    if pair.remote.isdecimal():
        number = int(pair.remote)
        port_name = next((one.name for one in declared if one.number == number and one.name), "")
    else:
        number, port_name = _port_number(pair.remote, declared), pair.remote
    protocols = {one.protocol for one in pod.ports if one.number == number}
    if protocols and PortProtocol.TCP not in protocols:
        raise UsageError(f"it is {min(protocols)}, only TCP can be forwarded")
    # Two containers may have ports of the same name; resolution would use the first.
    numbers = [one.number for one in pod.ports if one.name == port_name]
    if len(numbers) > 1 and container:
        port_name = container
    remote = pair.remote if pair.remote.isdecimal() or numbers[0] == number else str(number)
    return pair.local, remote, port_name or container or pair.remote


def _port_number(name: str, declared: list[DeclaredPort]) -> int:
    for one in declared:
        if one.name == name:
            return one.number
    known = ", ".join(one.name for one in declared if one.name) or "no named port"
    raise UsageError(f'there is no port "{name}"; available: {known}')
