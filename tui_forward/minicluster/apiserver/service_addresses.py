"""Addresses, node ports and IP families of services, as in a single-stack IPv4 cluster."""

from __future__ import annotations

import ipaddress

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.status_errors import StatusError, invalid
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.apiserver.uid_generator import UidGenerator

SERVICE_RANGE = ipaddress.ip_network("10.96.0.0/16")
# Address of the service `default/kubernetes`.
API_SERVER_ADDRESS = str(SERVICE_RANGE[1])
NODE_PORTS = range(30000, 32768)
# How long clients stay with a pod if a service with `sessionAffinity: ClientIP` does not say so.
DEFAULT_AFFINITY_S = 10800


def complete_service(
    store: Store, item: Object, before: Object | None, uid_generator: UidGenerator
) -> None:
    """Set the defaults of a new or changed service in place, and allocate its addresses.

    Args:
        store: Has the services whose addresses are in use.
        item: The service.
        before: The version that it replaces: what was allocated for it stays. None for a new one.
        uid_generator: Selects addresses and node ports.

    Raises:
        StatusError: 422: an address is in use, out of range, or was changed.
    """
    spec = item.setdefault("spec", {})
    kind = spec.setdefault("type", "ClusterIP")
    old: Object = (before or {}).get("spec") or {}
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", DEFAULT_AFFINITY_S)
    else:
        spec.pop("sessionAffinityConfig", None)
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])
    if kind == "ExternalName":
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            spec.pop(name, None)
        return
    _set_cluster_address(store, item, old, uid_generator)
    _set_families(item, old)
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
        _set_node_ports(store, spec, old, uid_generator)
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _set_cluster_address(
    store: Store, item: Object, old: Object, uid_generator: UidGenerator
) -> None:
    spec = item["spec"]
    wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
    allocated = old.get("clusterIP")
    if allocated:
        if wanted not in ("", allocated):
            raise _error(
                item, "clusterIPs[0]", f'Invalid value: ["{wanted}"]: may not change once set'
            )
        wanted = allocated
    elif wanted != "None":
        wanted = _allocate(store, item, wanted, uid_generator)
    spec["clusterIP"] = wanted
    spec["clusterIPs"] = [wanted]


def _allocate(store: Store, item: Object, wanted: str, uid_generator: UidGenerator) -> str:
    """Return the wanted address if it is free; any free one if it is empty."""
    used = {other.fields["spec.clusterIP"] for other in store.all(resources.SERVICES)}
    if not wanted:
        while True:
            octets = uid_generator.octet() * 256 + uid_generator.octet()
            address = str(SERVICE_RANGE[octets])
            if address not in used:
                return address
    cause = ""
    try:
        if ipaddress.ip_address(wanted) not in SERVICE_RANGE:
            cause = (
                f"the provided IP ({wanted}) is not in the valid range. The range of valid IPs is "
                f"{SERVICE_RANGE}"
            )
    except ValueError:
        cause = "must be a valid IP address"
    if wanted in used:
        cause = "provided IP is already allocated"
    if cause:
        cause = f'Invalid value: ["{wanted}"]: failed to allocate IP {wanted}: {cause}'
        raise _error(item, "clusterIPs", cause)
    return wanted


def _set_families(item: Object, old: Object) -> None:
    spec = item["spec"]
    # A headless service without a selector may have addresses of both families.
    is_free = spec["clusterIP"] == "None" and not spec.get("selector")
    families = ["IPv4", "IPv6"] if is_free else ["IPv4"]
    spec.setdefault("ipFamilies", old.get("ipFamilies") or families)
    policy = "RequireDualStack" if is_free else "SingleStack"
    spec.setdefault("ipFamilyPolicy", old.get("ipFamilyPolicy") or policy)
    if is_free:
        return
    for index, family in enumerate(spec["ipFamilies"]):
        if family != "IPv4":
            cause = f'Invalid value: "{family}": not configured on this cluster'
            raise _error(item, f"ipFamilies[{index}]", cause)
    if spec["ipFamilyPolicy"] == "RequireDualStack":
        cause = (
            'Invalid value: "RequireDualStack": this cluster is not configured for dual-stack '
            "services"
        )
        raise _error(item, "ipFamilyPolicy", cause)


def _set_node_ports(store: Store, spec: Object, old: Object, uid_generator: UidGenerator) -> None:
    kept = {port["port"]: port.get("nodePort") for port in old.get("ports") or ()}
    used = {
        port.get("nodePort")
        for other in store.all(resources.SERVICES)
        if other.fields["spec.type"] in ("NodePort", "LoadBalancer")
        for port in other.copy()["spec"].get("ports") or ()
    }
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            continue
        number = kept.get(port["port"])
        while number is None or (number in used and number not in kept.values()):
            octets = uid_generator.octet() * 256 + uid_generator.octet()
            number = NODE_PORTS[octets % len(NODE_PORTS)]
        port["nodePort"] = number
        used.add(number)


def _error(item: Object, field: str, cause: str) -> StatusError:
    return invalid("Service", str(item["metadata"].get("name") or ""), f"spec.{field}", cause)
