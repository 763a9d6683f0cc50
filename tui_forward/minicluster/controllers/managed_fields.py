"""The `managedFields` of synthetic pods; they make up half the bytes of a real pod."""

from __future__ import annotations

from tui_forward.minicluster.apiserver import timestamps
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.store import encode

# Lists that server-side apply merges by key: the field, and the keys of its elements.
_LIST_KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("containers", "env", "volumes"), ("name",)),
    **dict.fromkeys(("podIPs", "hostIPs"), ("ip",)),
    "ports": ("containerPort", "protocol"),
    "volumeMounts": ("mountPath",),
    "conditions": ("type",),
}


def managed_fields(pod: Object) -> list[Object]:
    """Return the `managedFields` of a pod: which manager set which field."""
    metadata, spec = pod["metadata"], pod["spec"]
    now = timestamps.now()
    pod_fields = {
        "f:metadata": _field_set(
            {k: metadata[k] for k in ("generateName", "labels") if k in metadata}
        ),
        "f:spec": _field_set(
            {k: v for k, v in spec.items() if k not in ("nodeName", "tolerations", "priority")}
        ),
    }
    status = {key: value for key, value in pod["status"].items() if key != "qosClass"}
    status_fields = {"f:status": _field_set(status)}
    shared: Object = {"operation": "Update", "apiVersion": "v1", "time": now}
    shared["fieldsType"] = "FieldsV1"
    return [
        {"manager": "kube-controller-manager", **shared, "fieldsV1": pod_fields},
        {"manager": "kubelet", **shared, "fieldsV1": status_fields, "subresource": "status"},
    ]


def _field_set(obj: Object) -> Object:
    """Return the FieldsV1 form of an object's fields."""
    fields: Object = {}
    for name, value in obj.items():
        if isinstance(value, dict):
            fields[f"f:{name}"] = {".": {}, **_field_set(value)} if value else {}
        elif isinstance(value, list) and name in _LIST_KEYS:
            elements: Object = {".": {}}
            for element in value:
                if isinstance(element, dict):
                    key = {part: element.get(part) for part in _LIST_KEYS[name]}
                    elements[f"k:{encode(key).decode()}"] = {".": {}, **_field_set(element)}
            fields[f"f:{name}"] = elements
        else:
            fields[f"f:{name}"] = {}
    return fields
