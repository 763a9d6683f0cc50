"""Patches: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386), strategic merge.

Strategic merge is merge patch where some lists are merged by a key, and `$patch`,
`$deleteFromPrimitiveList`, `$setElementOrder` and `$retainKeys` direct it. The keys are those of
the Kubernetes API types this cluster serves.
"""

from __future__ import annotations

import copy
from typing import Any

from tui_forward.minicluster.apiserver.status_errors import StatusError, bad_request

Object = dict[str, Any]

# Which lists are merged, and by what: the name of the list → the key of its elements.
_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
    "addresses": ("type",),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
    "taints": ("key",),
    # A container's ports and a service's ports share a name, not a key.
    "ports": ("containerPort", "port"),
}
# Lists of plain values that are merged as sets.
_SETS = frozenset({"finalizers"})


def merge(target: Any, patch: Any) -> Any:
    """JSON Merge Patch."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def strategic(target: Any, patch: Any) -> Any:
    """Strategic merge patch."""
    if not isinstance(patch, dict):
        return patch
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    merged = dict(target) if isinstance(target, dict) else {}
    if (retained := patch.get("$retainKeys")) is not None:
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [each for each in merged.get(name) or () if each not in value]
        elif key.startswith("$"):
            continue  # $setElementOrder is handled below, with the list it orders
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, list):
            order = patch.get(f"$setElementOrder/{key}")
            merged[key] = _merge_list(key, merged.get(key) or [], value, order)
        else:
            merged[key] = strategic(merged.get(key), value)
    return merged


def _merge_list(name: str, old: list[Any], new: list[Any], order: list[Any] | None) -> list[Any]:
    if name in _SETS:
        return [*old, *(each for each in new if each not in old)]
    elements = [*old, *new]
    key = next(
        (
            key
            for key in _MERGE_KEYS.get(name, ())
            if all(
                isinstance(each, dict) and (key in each or "$patch" in each) for each in elements
            )
        ),
        None,
    )
    if key is None:
        return copy.deepcopy(new)
    if any(each.get("$patch") == "replace" for each in new):
        return [each for each in new if "$patch" not in each]
    merged = {each[key]: each for each in old if key in each}
    for each in new:
        if each.get("$patch") == "delete":
            merged.pop(each.get(key), None)
        else:
            merged[each[key]] = strategic(merged.get(each[key]), each)
    if order:
        wanted = [each[key] for each in order if isinstance(each, dict) and key in each]
        rank = {value: index for index, value in enumerate(wanted)}
        return sorted(merged.values(), key=lambda each: rank.get(each[key], len(rank)))
    return list(merged.values())


def json_patch(target: Any, operations: Any) -> Any:
    """JSON Patch.

    Raises:
        Failure: 400 for an operation that makes no sense, 422 for one that cannot be done.
    """
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    document = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _operate(document, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise StatusError(
                422,
                "Invalid",
                f"the server rejected our request due to an error in our request: "
                f"{operation}: {error!r}",
                details={},
            ) from None
    return document


def _operate(document: Any, operation: Object) -> Any:
    kind, path = operation["op"], _pointer(operation["path"])
    if kind == "test":
        if _at(document, path) != operation["value"]:
            raise ValueError("test failed")
        return document
    if kind == "remove":
        _remove(document, path)
        return document
    if kind in ("move", "copy"):
        source = _pointer(operation["from"])
        value = copy.deepcopy(_at(document, source))
        if kind == "move":
            _remove(document, source)
    elif kind in ("add", "replace"):
        value = operation["value"]
        if kind == "replace":
            _at(document, path)
    else:
        raise ValueError(f"unexpected kind: {kind}")
    if not path:
        return value
    parent = _at(document, path[:-1])
    last = path[-1]
    if isinstance(parent, list):
        if kind == "replace":
            parent[int(last)] = value
        else:
            parent.insert(len(parent) if last == "-" else int(last), value)
    else:
        parent[last] = value
    return document


def _pointer(text: str) -> list[str]:
    if not text:
        return []
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _at(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _remove(document: Any, path: list[str]) -> None:
    parent = _at(document, path[:-1])
    if isinstance(parent, list):
        del parent[int(path[-1])]
    else:
        del parent[path[-1]]
