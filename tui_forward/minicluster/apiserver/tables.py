"""Tables: lists for kubectl's output (`Accept: application/json;as=Table`).

Columns and cells follow the printers of a real API server. kubectl shows columns of priority 1
with `-o wide` only. Ages are computed at the time of the response.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from tui_forward.minicluster.apiserver import resources, timestamps
from tui_forward.minicluster.apiserver.pod_columns import decode_pod, pod_cells
from tui_forward.minicluster.apiserver.resources import Object, Resource
from tui_forward.minicluster.apiserver.store import Item, decode, encode

Cells = list[Any]

_NONE = "<none>"

NAME_FORMAT = "name"
_NAME_HELP = "Name must be unique within a namespace."
_AGE_HELP = "CreationTimestamp is a timestamp representing the server time of creation."


class Columns:
    """The columns of a resource: names in the syntax of `_parse_definition`.

    `cells` returns a row for the parts of an object that `decode` decodes and the current time.
    """

    def __init__(
        self,
        cells: Callable[[Any, float], Cells],
        *names: str,
        decode: Callable[[bytes], Any] = decode,
    ) -> None:
        self.cells = cells
        self.decode = decode
        self.definitions = encode([_parse_definition(name) for name in names])


def _parse_definition(spec: str) -> Object:
    """Parse a column name; a trailing `+` marks a wide column, a leading `#` a number."""
    name = spec.strip("#+")
    return {
        "name": name,
        "type": "integer" if spec.startswith("#") else "string",
        "format": NAME_FORMAT if name == "Name" else "",
        "description": {"Name": _NAME_HELP, "Age": _AGE_HELP}.get(name, name),
        "priority": 1 if spec.endswith("+") else 0,
    }


def _age(item: Object, now: float) -> str:
    return timestamps.format_age(item["metadata"].get("creationTimestamp"), now)


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _containers(item: Object) -> tuple[str, str]:
    containers = item["spec"]["template"]["spec"].get("containers", ())
    return (
        ",".join(c["name"] for c in containers),
        ",".join(c.get("image", "") for c in containers),
    )


def format_selector(selector: Object | None) -> str:
    """Format a `LabelSelector` in the syntax of `labelSelector`."""
    if not selector:
        return _NONE
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(sorted(expression.get("values") or ()))
        formats = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})"}
        formats["DoesNotExist"] = f"!{key}"
        terms.append(formats.get(expression["operator"], key))
    return ",".join(terms) or _NONE


def _default(item: Object, now: float) -> Cells:
    return [_name(item), _age(item, now)]


def _namespace(item: Object, now: float) -> Cells:
    return [_name(item), item.get("status", {}).get("phase", "Active"), _age(item, now)]


def _service(item: Object, now: float) -> Cells:
    spec = item["spec"]
    kind = spec.get("type", "ClusterIP")
    external = ",".join(spec.get("externalIPs") or ())
    if kind == "LoadBalancer":
        ingress = item.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
        external = ",".join(i.get("ip") or i.get("hostname", "") for i in ingress) or "<pending>"
    elif kind == "ExternalName":
        external = spec.get("externalName", "")
    ports = ",".join(
        f"{port['port']}{':' + str(port['nodePort']) if port.get('nodePort') else ''}"
        f"/{port.get('protocol', 'TCP')}"
        for port in spec.get("ports") or ()
    )
    selector = ",".join(f"{k}={v}" for k, v in sorted((spec.get("selector") or {}).items()))
    return [
        _name(item),
        kind,
        spec.get("clusterIP") or _NONE,
        external or _NONE,
        ports or _NONE,
        _age(item, now),
        selector or _NONE,
    ]


def _deployment(item: Object, now: float) -> Cells:
    status = item.get("status", {})
    ready = f"{status.get('readyReplicas', 0)}/{item['spec'].get('replicas', 1)}"
    return [
        _name(item),
        ready,
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _age(item, now),
        *_containers(item),
        format_selector(item["spec"].get("selector")),
    ]


def _replicaset(item: Object, now: float) -> Cells:
    status = item.get("status", {})
    return [
        _name(item),
        item["spec"].get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _age(item, now),
        *_containers(item),
        format_selector(item["spec"].get("selector")),
    ]


def _statefulset(item: Object, now: float) -> Cells:
    status = item.get("status", {})
    ready = f"{status.get('readyReplicas', 0)}/{item['spec'].get('replicas', 1)}"
    return [_name(item), ready, _age(item, now), *_containers(item)]


def _daemonset(item: Object, now: float) -> Cells:
    status = item.get("status", {})
    nodes = item["spec"]["template"]["spec"].get("nodeSelector") or {}
    return [
        _name(item),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        ",".join(f"{k}={v}" for k, v in nodes.items()) or _NONE,
        _age(item, now),
        *_containers(item),
        format_selector(item["spec"].get("selector")),
    ]


def _job(item: Object, now: float) -> Cells:
    spec, status = item["spec"], item.get("status", {})
    succeeded = status.get("succeeded", 0)
    conditions = {c["type"] for c in status.get("conditions") or () if c["status"] == "True"}
    ends = ("Complete", "Failed", "Suspended")
    state = next((kind for kind in ends if kind in conditions), "Running")
    duration = ""
    if status.get("startTime"):
        end = timestamps.parse_rfc3339(status.get("completionTime")) or now
        start = timestamps.parse_rfc3339(status["startTime"])
        duration = timestamps.format_duration(end - start)
    return [
        _name(item),
        state,
        f"{succeeded}/{spec.get('completions', 1)}",
        duration,
        _age(item, now),
        *_containers(item),
        format_selector(spec.get("selector")),
    ]


def _node(item: Object, now: float) -> Cells:
    status = item.get("status", {})
    ready = {c["type"]: c["status"] for c in status.get("conditions") or ()}.get("Ready")
    state = {"True": "Ready", "False": "NotReady"}.get(str(ready), "Unknown")
    if item.get("spec", {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    labels = item["metadata"].get("labels") or {}
    roles = sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))
    info = status.get("nodeInfo") or {}
    addresses = {a["type"]: a["address"] for a in status.get("addresses") or ()}
    return [
        _name(item),
        state,
        ",".join(roles) or _NONE,
        _age(item, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", _NONE),
        addresses.get("ExternalIP", _NONE),
        info.get("osImage", "<unknown>"),
        info.get("kernelVersion", "<unknown>"),
        info.get("containerRuntimeVersion", "<unknown>"),
    ]


def _event(item: Object, now: float) -> Cells:
    involved = item.get("involvedObject") or {}
    source = item.get("source") or {}
    last = item.get("lastTimestamp") or item.get("eventTime")
    first = item.get("firstTimestamp") or last
    return [
        timestamps.format_age(last, now),
        item.get("type", ""),
        item.get("reason", ""),
        f"{involved.get('kind', '').lower()}/{involved.get('name', '')}",
        involved.get("fieldPath", ""),
        ", ".join(filter(None, (source.get("component"), source.get("host")))),
        str(item.get("message", "")).strip(),
        timestamps.format_age(first, now),
        item.get("count", 1),
        _name(item),
    ]


def _configmap(item: Object, now: float) -> Cells:
    size = len(item.get("data") or ()) + len(item.get("binaryData") or ())
    return [_name(item), size, _age(item, now)]


def _endpoint_slice(item: Object, now: float) -> Cells:
    ports = [str(port.get("port", "*")) for port in item.get("ports") or ()]
    addresses = [
        address for one in item.get("endpoints") or () for address in one.get("addresses") or ()
    ]
    return [
        _name(item),
        item.get("addressType", ""),
        _first_three(ports),
        _first_three(addresses),
        _age(item, now),
    ]


def _endpoints(item: Object, now: float) -> Cells:
    addresses = [
        f"{address['ip']}:{port['port']}"
        for subset in item.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    ]
    shown = _first_three(addresses) if addresses else _NONE
    return [_name(item), shown, _age(item, now)]


def _first_three(values: list[str]) -> str:
    rest = f" + {len(values) - 3} more..." if len(values) > 3 else ""
    return (",".join(values[:3]) or "<unset>") + rest


def _role(item: Object, now: float) -> Cells:  # noqa: ARG001 - all rows have the same arguments
    return [_name(item), item["metadata"].get("creationTimestamp", "")]


def _binding(item: Object, now: float) -> Cells:
    ref = item.get("roleRef") or {}
    names: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in item.get("subjects") or ():
        prefix = f"{subject.get('namespace', '')}/" if subject["kind"] == "ServiceAccount" else ""
        names.setdefault(subject["kind"], []).append(prefix + subject["name"])
    subjects = [", ".join(names[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [_name(item), f"{ref.get('kind')}/{ref.get('name')}", _age(item, now), *subjects]


_WORKLOAD = ("Containers+", "Images+", "Selector+")

_ROLE_COLUMNS = Columns(_role, "Name", "Created At")
_BINDING_COLUMNS = Columns(_binding, "Name", "Role", "Age", "Users+", "Groups+", "ServiceAccounts+")

_COLUMNS: dict[Resource, Columns] = {
    resources.NAMESPACES: Columns(_namespace, "Name", "Status", "Age"),
    resources.PODS: Columns(
        pod_cells,
        *("Name", "Ready", "Status", "Restarts", "Age"),
        *("IP+", "Node+", "Nominated Node+", "Readiness Gates+"),
        decode=decode_pod,
    ),
    resources.SERVICES: Columns(
        _service, "Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector+"
    ),
    resources.DEPLOYMENTS: Columns(
        _deployment, "Name", "Ready", "Up-to-date", "Available", "Age", *_WORKLOAD
    ),
    resources.REPLICASETS: Columns(
        _replicaset, "Name", "#Desired", "#Current", "#Ready", "Age", *_WORKLOAD
    ),
    resources.STATEFULSETS: Columns(_statefulset, "Name", "Ready", "Age", "Containers+", "Images+"),
    resources.DAEMONSETS: Columns(
        _daemonset,
        *("Name", "#Desired", "#Current", "#Ready", "#Up-to-date", "#Available"),
        *("Node Selector", "Age", *_WORKLOAD),
    ),
    resources.JOBS: Columns(_job, "Name", "Status", "Completions", "Duration", "Age", *_WORKLOAD),
    resources.NODES: Columns(
        _node,
        *("Name", "Status", "Roles", "Age", "Version", "Internal-IP+", "External-IP+"),
        *("OS-Image+", "Kernel-Version+", "Container-Runtime+"),
    ),
    resources.EVENTS: Columns(
        _event,
        *("Last Seen", "Type", "Reason", "Object", "Subobject+", "Source+", "Message"),
        *("First Seen+", "#Count+", "Name+"),
    ),
    resources.CONFIGMAPS: Columns(_configmap, "Name", "#Data", "Age"),
    resources.ENDPOINTS: Columns(_endpoints, "Name", "Endpoints", "Age"),
    resources.ENDPOINTSLICES: Columns(
        _endpoint_slice, "Name", "AddressType", "Ports", "Endpoints", "Age"
    ),
    **dict.fromkeys((resources.ROLES, resources.CLUSTERROLES), _ROLE_COLUMNS),
    **dict.fromkeys((resources.ROLEBINDINGS, resources.CLUSTERROLEBINDINGS), _BINDING_COLUMNS),
}
_DEFAULT_COLUMNS = Columns(_default, "Name", "Age")


def _encode_row(columns: Columns, item: Item, now: float, include: str) -> bytes:
    cells = encode(columns.cells(columns.decode(item.raw), now))
    if include == "None":
        return b'{"cells":%b,"object":null}' % cells
    obj = item.encode_with_kind() if include == "Object" else encode_metadata(item)
    return b'{"cells":%b,"object":%b}' % (cells, obj)


def encode_metadata(item: Item) -> bytes:
    """Return an object's metadata as `PartialObjectMetadata`."""
    head = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":%b}'
    return head % item.raw_metadata


def encode_table(
    resource: Resource,
    items: Iterable[Item],
    metadata: Object,
    *,
    version: str = "v1",
    include: str = "Metadata",
    with_columns: bool = True,
) -> list[bytes]:
    """Return a Table in pieces.

    `include` is the object in each row: "Metadata", "Object" or "None". A watch defines the columns
    once only.
    """
    now = time.time()
    columns = _COLUMNS.get(resource, _DEFAULT_COLUMNS)
    head = (
        b'{"kind":"Table","apiVersion":"meta.k8s.io/%b","metadata":%b,"columnDefinitions":%b,'
        % (version.encode(), encode(metadata), columns.definitions if with_columns else b"null")
    )
    rows = [_encode_row(columns, item, now, include) for item in items]
    return [head, b'"rows":[', b",".join(rows), b"]}\n"]
