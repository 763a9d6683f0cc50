"""Pods behind a service without a selector: those that its EndpointSlices name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from tui_forward.catalog.shared_reflectors import ReflectorHandle, SharedReflectors
from tui_forward.catalog.target_resolution import Trusted, resolve_selected
from tui_forward.errors import TuiForwardError
from tui_forward.kube.api.resources import ENDPOINT_SLICES, PODS
from tui_forward.model import (
    Endpoint,
    EndpointSlice,
    Pod,
    PortProtocol,
    Reason,
    ReasonCode,
    Resolution,
    Service,
    Target,
    Unresolved,
)

# Each is followed by a watch of its own.
MAX_ENDPOINT_PODS = 8
_SERVICE_LABEL = "kubernetes.io/service-name"
# Name and address of a pod; one of the two.
_PodQuery = tuple[str, str]


class EndpointPods:
    """The slices of one service, and a watch for each pod that they name. `release` it."""

    def __init__(
        self,
        reflectors: SharedReflectors,
        namespace: str,
        service: str,
        listener: Callable[[], None],
    ) -> None:
        self._reflectors = reflectors
        self._namespace = namespace
        self._listener = listener
        self._slices = reflectors.acquire(
            ENDPOINT_SLICES, namespace, listener, label_selector=f"{_SERVICE_LABEL}={service}"
        )
        self._pods: dict[_PodQuery, ReflectorHandle[Pod]] = {}

    @property
    def handles(self) -> tuple[ReflectorHandle[Pod], ...]:
        """Return the watches of the pods."""
        return tuple(self._pods.values())

    def release(self) -> None:
        """Stop following. Idempotent."""
        self._slices.release()
        self._follow(())

    def resolve(
        self, target: Target, service: Service, *, current: str, trusted: Trusted, now: float
    ) -> Resolution | None:
        """Resolve the service to the best of its pods; None while that is not known yet.

        For `current`, `trusted` and `now` see `resolve_selected`.
        """
        if not self._slices.synced:
            return _failed(self._slices.error)
        slices = list(self._slices)
        endpoints = sorted(
            {one for each in slices for one in each.endpoints},
            key=lambda one: (not one.ready, one.pod, one.address),
        )
        self._follow(dict.fromkeys(map(_query, endpoints)))
        if not endpoints:
            reason = Reason(
                code=ReasonCode.TARGET_NO_ENDPOINTS,
                object=f"{target.kind}/{target.name}",
                name=target.name,
                namespace=target.namespace,
            )
            return Unresolved(reason=reason)
        pods = {pod.uid: pod for handle in self.handles for pod in handle}
        if not pods:
            unknown = [handle for handle in self.handles if not handle.synced]
            if unknown:
                return _failed(next((one.error for one in unknown if one.error), None))
            return Unresolved(reason=_no_pods_reason(target, endpoints))
        return resolve_selected(
            target,
            _with_endpoint_ports(service, slices),
            list(pods.values()),
            current=current,
            trusted=trusted,
            now=now,
        )

    def _follow(self, queries: Iterable[_PodQuery]) -> None:
        """Follow the first of these pods, and no others."""
        wanted = list(queries)[:MAX_ENDPOINT_PODS]
        for name, address in wanted:
            if (name, address) not in self._pods:
                self._pods[name, address] = self._reflectors.acquire(
                    PODS,
                    self._namespace,
                    self._listener,
                    name=name,
                    field_selector=f"status.podIP={address}" if address else "",
                )
        for query in [*self._pods]:
            if query not in wanted:
                self._pods.pop(query).release()


def _query(endpoint: Endpoint) -> _PodQuery:
    """Return the pod to follow; a slice that was written by hand may have addresses only."""
    return (endpoint.pod, "") if endpoint.pod else ("", endpoint.address)


def _failed(error: TuiForwardError | None) -> Unresolved | None:
    return None if error is None else Unresolved(reason=error.reason)


def _no_pods_reason(target: Target, endpoints: list[Endpoint]) -> Reason:
    named = [one.pod for one in endpoints if one.pod]
    if named:
        return Reason(code=ReasonCode.POD_NOT_FOUND, pod=named[0], namespace=target.namespace)
    addresses = [one.address for one in endpoints]
    detail = ", ".join(addresses[:3]) + (", …" if len(addresses) > 3 else "")
    return Reason(
        code=ReasonCode.TARGET_ENDPOINTS_NOT_PODS,
        object=f"{target.kind}/{target.name}",
        detail=detail,
    )


def _with_endpoint_ports(service: Service, slices: list[EndpointSlice]) -> Service:
    """Return the service with the ports of its slices as target ports, as kube-proxy maps them."""
    numbers = {
        port.name: port.number
        for each in slices
        for port in each.ports
        if port.protocol is PortProtocol.TCP
    }
    ports = tuple(
        replace(port, target=str(numbers[port.name]))
        if port.name in numbers and port.protocol is PortProtocol.TCP
        else port
        for port in service.ports
    )
    return replace(service, ports=ports, cluster_ip="")
