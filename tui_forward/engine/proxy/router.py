"""Which target a host and a port are."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from typing import Final

from tui_forward.engine.context import ClusterDirectory
from tui_forward.engine.proxy.names import (
    ClusterName,
    PodName,
    ServiceName,
    is_own_machine,
    normalize_host,
    parse_cluster_name,
)
from tui_forward.engine.proxy.requests import Destination
from tui_forward.errors import ForwardError
from tui_forward.model import (
    Balance,
    DeclaredPort,
    PodRef,
    PortProtocol,
    ProxySpec,
    Reason,
    ReasonCode,
    Service,
    Target,
    TargetKind,
)

_HTTP_PORT: Final = 80
# Names that stand for another one, in a row: two of them may name each other.
_MAX_ALIASES: Final = 8
# What comes from the list of services is valid until that changes; the others for so long.
_MAX_KNOWN_AGE_S: Final = 10.0
_MAX_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class DirectAddress:
    """A host outside the cluster."""

    host: str
    port: int


class TargetRouter:
    """Finds targets in a directory; `spec` has context and namespace filled in.

    `route` raises `ForwardError` for what cannot be connected, and what the directory raises.
    """

    def __init__(self, spec: ProxySpec, directory: ClusterDirectory) -> None:
        self._spec = spec
        self._directory = directory
        self._known: dict[Destination, tuple[Target, float]] = {}  # with when they were found
        self._known_version = -1  # of the directory

    def find_known(self, destination: Destination) -> Target | None:
        """Return the target of a destination that was found before, if it is still the same."""
        if self._directory.version != self._known_version:
            self._known.clear()
            self._known_version = self._directory.version
            return None
        known = self._known.get(destination)
        if known is None or time.monotonic() - known[1] > _MAX_KNOWN_AGE_S:
            return None
        return known[0]

    async def find(self, destination: Destination) -> Target | DirectAddress:
        """Return where a destination is; raises as `route`."""
        if destination.is_localhost:
            route: Target | DirectAddress = await self.route_localhost(
                destination.host, destination.port
            )
        else:
            route = await self.route(destination.host, int(destination.port))
        if isinstance(route, Target) and len(self._known) < _MAX_KNOWN:
            self._known[destination] = route, time.monotonic()
        return route

    async def route(self, host: str, port: int) -> Target | DirectAddress:
        """Return where a connection to a port of a host goes."""
        host = normalize_host(host)
        for _ in range(_MAX_ALIASES):
            found = await self._find(host)
            if not isinstance(found, Service):
                break
            if not found.external_name:
                return self._service_target(found, str(port))
            host = self._resolve_alias(found)
        else:
            raise _unknown_name(ServiceName("", host), ())
        if isinstance(found, PodRef):
            return self._pod_target(found, str(port))
        return DirectAddress(host, port)

    async def route_localhost(self, name: str, port: str) -> Target:
        """Return the target of `NAME.PORT.localhost`; without a port, that of HTTP."""
        name = normalize_host(name)
        candidates, _ = self._parse(name)
        found = await self._first(candidates)
        if isinstance(found, Service) and found.external_name:
            if not port:
                raise _external_name(found)
            number = port if port.isdecimal() else _number_of(found, port)
            target = await self.route(name, int(number))
            if isinstance(target, Target):
                return target
            raise _external_name(found)
        if isinstance(found, Service):
            return self._service_target(found, port or _http_port(found, name))
        if found is None:
            raise _unknown_name(_first_name(candidates, name), self._similar(candidates))
        return self._pod_target(found, port or str(_HTTP_PORT))

    # Names ----------------------------------------------------------------------------

    def _parse(self, host: str) -> tuple[tuple[ClusterName, ...], bool]:
        return parse_cluster_name(host, namespace=self._spec.namespace, domain=self._spec.domain)

    async def _find(self, host: str) -> Service | PodRef | None:
        """Return the service or the pod of a host; None if it is outside, and that is allowed."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            pass
        else:
            return await self._find_at(address)
        if is_own_machine(host):
            self._check_direct(host)
            return None
        candidates, is_explicit = self._parse(host)
        found = await self._first(candidates)
        if found is not None:
            return found
        if is_explicit or (candidates and not self._spec.direct and self._is_near(candidates)):
            raise _unknown_name(_first_name(candidates, host), self._similar(candidates))
        self._check_direct(host)
        return None

    def _check_direct(self, host: str) -> None:
        """Check that a host may be connected to without the cluster; ForwardError if not."""
        if not self._spec.direct:
            raise ForwardError(Reason(code=ReasonCode.PROXY_OUTSIDE_CLUSTER, name=host))

    async def _find_at(
        self, address: ipaddress.IPv4Address | ipaddress.IPv6Address
    ) -> Service | PodRef | None:
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address  # sent by clients with one kind of socket
        text = str(address)
        if not (address.is_loopback or address.is_unspecified or address.is_link_local):
            found = await self._directory.find_service_at(text)
            pod = found or await self._directory.find_pod_at(text)
            if pod is not None:
                return _refuse_api_server(pod)
        self._check_direct(text)
        return None

    async def _first(self, candidates: tuple[ClusterName, ...]) -> Service | PodRef | None:
        for name in candidates:
            found = await self._look_up(name)
            if found is not None:
                return found
        return None

    async def _look_up(self, name: ClusterName) -> Service | PodRef | None:
        if isinstance(name, PodName):
            if name.address:
                pod = await self._directory.find_pod_at(name.address)
                if pod is not None and pod.namespace == name.namespace:
                    return pod
                if ":" not in name.address:
                    return None
                # `cafe--db` is an address, and as likely the name of a pod.
            # Its forward finds out whether it exists.
            return PodRef(namespace=name.namespace, name=name.pod, uid="")
        service = await self._directory.find_service(name.namespace, name.service)
        if service is None:
            return None
        if not name.pod:
            return _refuse_api_server(service)
        pod_name = await self._directory.find_endpoint(service, name.pod)
        if not pod_name:
            return None
        return PodRef(namespace=service.namespace, name=pod_name, uid="")

    def _is_near(self, candidates: tuple[ClusterName, ...]) -> bool:
        """Whether a name with dots, which may be one of the internet, was meant for the cluster."""
        known = self._directory.namespaces
        first = candidates[0]
        return first.namespace in known or bool(self._similar(candidates))

    def _similar(self, candidates: tuple[ClusterName, ...]) -> tuple[str, ...]:
        for name in candidates:
            if isinstance(name, ServiceName):
                return self._directory.similar_names(name.namespace, name.service)
        return ()

    def _resolve_alias(self, service: Service) -> str:
        """Return the host that an ExternalName stands for, if it may be connected to."""
        host = normalize_host(service.external_name)
        candidates, is_explicit = self._parse(host)
        if is_own_machine(host) or not (self._spec.direct or (is_explicit and candidates)):
            # Who may write a service must not reach what listens on this machine.
            raise _external_name(service)
        return host

    # Targets --------------------------------------------------------------------------

    def _service_target(self, service: Service, port: str) -> Target:
        """Return the target of a port of a service: one it declares, or one of its pods."""
        is_declared = any(port in (str(one.number), one.name) for one in service.ports)
        if is_declared or not port.isdecimal() or not service.selector:
            # A port that does not exist becomes the reason of the forward.
            return self._target(TargetKind.SERVICE, service.namespace, service.name, port)
        return self._target(TargetKind.SELECTOR, service.namespace, service.selector, port)

    def _pod_target(self, pod: PodRef, port: str) -> Target:
        return self._target(TargetKind.POD, pod.namespace, pod.name, port, pin=True)

    def _target(
        self, kind: TargetKind, namespace: str, name: str, port: str, *, pin: bool = False
    ) -> Target:
        is_spread = self._spec.spread and kind is not TargetKind.POD
        return Target(
            balance=Balance.SPREAD if is_spread else Balance.ONE,
            context=self._spec.context,
            options=self._spec.options,
            namespace=namespace,
            kind=kind,
            name=name,
            port=port,
            pin=pin,
        )


def _tcp_ports(service: Service) -> list[DeclaredPort]:
    return [one for one in service.ports if one.protocol is PortProtocol.TCP]


def _http_port(service: Service, name: str) -> str:
    """Return the port that answers a browser: the one called http, or 80, or the only one."""
    ports = _tcp_ports(service)
    for port in ports:
        if port.name == "http":
            return str(port.number)
    if any(port.number == _HTTP_PORT for port in ports):
        return str(_HTTP_PORT)
    if len(ports) == 1:
        return str(ports[0].number)
    raise ForwardError(
        Reason(
            code=ReasonCode.PROXY_PORT_MISSING,
            object=f"svc/{service.name}",
            available=tuple(f"{name}.{one.name or one.number}.localhost" for one in ports),
        )
    )


def _number_of(service: Service, port: str) -> str:
    found = next((one for one in _tcp_ports(service) if one.name == port), None)
    if found is None:
        raise ForwardError(
            Reason(
                code=ReasonCode.PORT_UNKNOWN_NAME,
                object=f"svc/{service.name}",
                port=port,
                available=tuple(one.name or str(one.number) for one in _tcp_ports(service)),
            )
        )
    return str(found.number)


def _refuse_api_server(found: Service | PodRef) -> Service | PodRef:
    if isinstance(found, Service) and (found.namespace, found.name) == ("default", "kubernetes"):
        raise ForwardError(
            Reason(code=ReasonCode.PROXY_API_SERVER, object="svc/kubernetes", namespace="default")
        )
    return found


def _external_name(service: Service) -> ForwardError:
    return ForwardError(
        Reason(
            code=ReasonCode.TARGET_EXTERNAL_NAME,
            object=f"svc/{service.name}",
            name=service.external_name,
        )
    )


def _first_name(candidates: tuple[ClusterName, ...], host: str) -> ClusterName:
    return candidates[0] if candidates else ServiceName("", host)


def _unknown_name(name: ClusterName, similar: tuple[str, ...]) -> ForwardError:
    is_pod = isinstance(name, PodName) or bool(name.pod)
    return ForwardError(
        Reason(
            code=ReasonCode.PROXY_NAME_UNKNOWN,
            kind="pod" if is_pod else "service",
            name=name.pod if isinstance(name, PodName) or name.pod else name.service,
            namespace=name.namespace,
            available=similar,
        )
    )
