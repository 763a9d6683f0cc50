"""Host names of services and pods, as the DNS of a cluster and this proxy's port write them. Pure.

The DNS names are those of the Kubernetes DNS specification; like a pod's resolver, names without
the domain of the cluster are looked up in the namespace that the proxy has, and in all.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass
from typing import Final

LOCALHOST: Final = "localhost"

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ServiceName:
    """A service, or one of the pods of a headless one by its host name."""

    namespace: str
    service: str
    pod: str = ""


@dataclass(frozen=True, slots=True)
class PodName:
    """A pod, by its name, or by its address with dashes."""

    namespace: str
    pod: str

    @property
    def address(self) -> str:
        """The address that the name is; empty if it is none.

        As DNS writes it: `10-1-2-3.shop.pod`, or `fd00--7.shop.pod` for fd00::7.
        """
        for separator in (".", ":"):
            with contextlib.suppress(ValueError):
                return str(ipaddress.ip_address(self.pod.replace("-", separator)))
        return ""


ClusterName = ServiceName | PodName


def normalize_host(host: str) -> str:
    """Return a host name as it is compared: in lower case, without a dot at the end."""
    return host.lower().removesuffix(".")


def is_own_machine(host: str) -> bool:
    """Return whether a normalized host is this machine's own: a name of localhost or loopback."""
    if host == LOCALHOST or host.endswith(f".{LOCALHOST}"):
        return True
    address = _parse_address(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def is_address(host: str) -> bool:
    """Return whether a host is an IP address in its usual form, with or without a scope."""
    return _parse_address(host) is not None


def is_local_address(host: str) -> bool:
    """Return whether an IP address is this machine's own, or one of its link only."""
    address = _parse_address(host)
    return address is not None and (
        address.is_loopback or address.is_unspecified or address.is_link_local
    )


def _parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, an IPv4 one that is mapped into IPv6 as itself; None if it is none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def parse_cluster_name(
    host: str, *, namespace: str, domain: str
) -> tuple[tuple[ClusterName, ...], bool]:
    """Return what a host name can mean in a cluster, the likeliest first; see also `is_explicit`.

    The second value is whether the name can be of this cluster only: it has no dot, or ends with
    `.svc`, `.pod` or the domain of the cluster.
    """
    in_domain = host.endswith(f".{domain}")
    labels = (host[: -len(domain) - 1] if in_domain else host).split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        return (), in_domain
    *names, last = labels
    if last == "svc" and len(names) in (2, 3):
        return (_of_service(names),), True
    if last == "pod" and len(names) == 2:
        return (PodName(names[1], names[0]),), True
    if in_domain:
        return (), True
    if len(labels) == 1:
        return (ServiceName(namespace, labels[0]),), True
    if len(labels) == 2:
        first, second = labels
        return (ServiceName(second, first), ServiceName(namespace, second, pod=first)), False
    if len(labels) == 3:
        return (_of_service(labels),), False
    # The domain of a cluster is not known to its API: `web.shop.svc.k8s.acme.test`.
    for at in (2, 3):
        if labels[at] == "svc":
            return (_of_service(labels[:at]),), False
    return (), False


def _of_service(names: list[str]) -> ServiceName:
    *pod, service, namespace = names
    return ServiceName(namespace, service, pod=pod[0] if pod else "")


def parse_localhost_name(host: str) -> tuple[str, str] | None:
    """Return name and port of a `NAME[.PORT].localhost`; the port is empty if it has none.

    The name is `SERVICE`, `SERVICE.NAMESPACE` or one that ends with `.svc` or `.pod`; the port a
    number, or the name of a port of the service. None: the host is no such name.
    """
    labels = host.split(".")
    if len(labels) < 2 or labels.pop() != LOCALHOST:
        return None
    if not all(_LABEL.fullmatch(label) for label in labels):
        return None
    for at, label in enumerate(labels):
        if at >= 2 and label in ("svc", "pod"):
            port = labels[at + 1 :]
            return (".".join(labels[: at + 1]), "".join(port)) if len(port) < 2 else None
    if len(labels) > 3:
        return None
    return ".".join(labels[:2]), labels[2] if len(labels) == 3 else ""
