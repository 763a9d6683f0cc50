"""Patches: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386), strategic merge.

Strategic merge is merge patch where some lists are merged by a key, and `$patch`,
`$deleteFromPrimitiveList`, `$setElementOrder` and `$retainKeys` are directives. The merge keys
are those of the Kubernetes API types that this cluster serves.
"""

from __future__ import annotations

import copy
from typing import Any

from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.status_errors import StatusError, bad_request

# Lists that are merged by the key of their elements.
_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("containers", "initContainers", "ephemeralContainers"), ("name",)),
    **dict.fromkeys(("env", "volumes", "imagePullSecrets"), ("name",)),
    **dict.fromkeys(("conditions", "addresses"), ("type",)),
    **dict.fromkeys(("hostAliases", "podIPs", "hostIPs"), ("ip",)),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "topologySpreadConstraints": ("topologyKey",),
    "ownerReferences": ("uid",),
    "taints": ("key",),
    # Ports of containers and ports of services.
    "ports": ("containerPort", "port"),
}
# Lists of primitive values that are merged as sets.
_SETS = frozenset({"finalizers"})


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """Return the result of a JSON Merge Patch."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = apply_merge_patch(merged.get(key), value)
    return merged


def apply_strategic_patch(target: Any, patch: Any) -> Any:
    """Return the result of a strategic merge patch."""
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
            continue  # $setElementOrder is handled with the list that it orders
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, list):
            order = patch.get(f"$setElementOrder/{key}")
            merged[key] = _merge_list(key, merged.get(key) or [], value, order)
        else:
            merged[key] = apply_strategic_patch(merged.get(key), value)
    return merged


def _merge_list(name: str, old: list[Any], new: list[Any], order: list[Any] | None) -> list[Any]:
    if name in _SETS:
        return [*old, *(each for each in new if each not in old)]
    elements = [*old, *new]
    for key in _MERGE_KEYS.get(name, ()):
        if all(isinstance(each, dict) and (key in each or "$patch" in each) for each in elements):
            break
    else:
        return copy.deepcopy(new)
    if any(each.get("$patch") == "replace" for each in new):
        return [each for each in new if "$patch" not in each]
    merged = {each[key]: each for each in old if key in each}
    for each in new:
        if each.get("$patch") == "delete":
            merged.pop(each.get(key), None)
        else:
            merged[each[key]] = apply_strategic_patch(merged.get(each[key]), each)
    if order:
        ordered = [each[key] for each in order if isinstance(each, dict) and key in each]
        rank = {value: index for index, value in enumerate(ordered)}
        return sorted(merged.values(), key=lambda each: rank.get(each[key], len(rank)))
    return list(merged.values())


def apply_json_patch(target: Any, operations: Any) -> Any:
    """Return the result of a JSON Patch."""
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    document = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _apply_operation(document, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            message = "the server rejected our request due to an error in our request: "
            message += f"{operation}: {error!r}"
            raise StatusError(422, "Invalid", message, details={}) from None
    return document


def _apply_operation(document: Any, operation: Object) -> Any:
    kind, path = operation["op"], _parse_pointer(operation["path"])
    if kind == "test":
        if _resolve(document, path) != operation["value"]:
            raise ValueError("test failed")
        return document
    if kind == "remove":
        _remove(document, path)
        return document
    if kind in ("move", "copy"):
        source = _parse_pointer(operation["from"])
        value = copy.deepcopy(_resolve(document, source))
        if kind == "move":
            _remove(document, source)
    elif kind in ("add", "replace"):
        value = operation["value"]
        if kind == "replace":
            _resolve(document, path)
    else:
        raise ValueError(f"unexpected kind: {kind}")
    if not path:
        return value
    parent = _resolve(document, path[:-1])
    last = path[-1]
    if isinstance(parent, list):
        if kind == "replace":
            parent[int(last)] = value
        else:
            parent.insert(len(parent) if last == "-" else int(last), value)
    else:
        parent[last] = value
    return document


def _parse_pointer(text: str) -> list[str]:
    if not text:
        return []
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _resolve(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _remove(document: Any, path: list[str]) -> None:
    parent = _resolve(document, path[:-1])
    if isinstance(parent, list):
        del parent[int(path[-1])]
    else:
        del parent[path[-1]]
