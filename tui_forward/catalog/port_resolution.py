"""Resolution of a port name or number to the port number to dial in a pod. Pure.

Follows kubectl: `translateServicePortToTargetPort`, `convertPodNamedPortToNumber` and the UDP
checks of `pkg/cmd/portforward/portforward.go`, and `pkg/util/service_port.go`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.model import DeclaredPort, Pod, PortProtocol, Reason, ReasonCode, Service
from tui_forward.reasons import reason_text


class PortResolutionError(Exception):
    """The port cannot be forwarded, whatever happens to the pods."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason_text(reason))
        self.reason = reason


def resolve_pod_port(pod: Pod, port: str) -> int:
    """Return the number of a port of a pod, given by number or name.

    A number need not be declared: a container may listen on undeclared ports.
    """
    number = _number(port)
    if number is None:
        named = next((p for p in pod.ports if p.name == port), None)
        if named is None:
            raise _unknown_name(f"pod {pod.name}", port, pod.ports)
        number = named.number
    _refuse_udp(pod.ports, number, port, f"pod {pod.name}")
    return number


def resolve_service_port(service: Service, pod: Pod, port: str) -> int:
    """Return the number to dial in `pod` for a port of `service` (number or name)."""
    declared = find_service_port(service, port)
    if service.headless:
        # Without a virtual address no port is mapped: clients use the container port.
        return declared.number
    if not declared.target:
        return declared.number
    number = _number(declared.target)
    if number is not None:
        return number
    named = next((p for p in pod.ports if p.name == declared.target), None)
    if named is None:
        raise PortResolutionError(
            Reason(
                code=ReasonCode.PORT_TARGET_NAME_MISSING,
                object=f"svc/{service.name}",
                port=port,
                name=declared.target,
                pod=pod.name,
                available=_available(pod.ports),
            )
        )
    return named.number


def why_port_doubtful(service: Service, pod: Pod, port: str) -> Reason | None:
    """Return why a service port that can be dialed may be another one than the user expects."""
    declared = find_service_port(service, port)
    if not service.headless or not declared.target:
        return None
    number = _number(declared.target)
    if number is None:
        named = (p.number for p in pod.ports if p.name == declared.target)
        number = next(named, None)
    if number in (None, declared.number):
        return None
    return Reason(
        code=ReasonCode.PORT_HEADLESS,
        object=f"svc/{service.name}",
        port=str(declared.number),
        name=declared.target,
        pod=pod.name,
    )


def find_service_port(service: Service, port: str) -> DeclaredPort:
    """Return the service port with a number or name; one that has only UDP is an error, too."""
    number = _number(port)
    where = f"svc/{service.name}"
    if number is None:
        found = next((p for p in service.ports if p.name == port), None)
        if found is None:
            raise _unknown_name(where, port, service.ports)
        number = found.number
    matching = [p for p in service.ports if p.number == number]
    if not matching:
        raise PortResolutionError(
            Reason(
                code=ReasonCode.PORT_UNKNOWN_NUMBER,
                object=where,
                port=str(number),
                available=_available(service.ports),
            )
        )
    _refuse_udp(service.ports, number, port, where)
    # Two entries may share a number, one TCP and one UDP.
    return next((p for p in matching if p.protocol is not PortProtocol.UDP), matching[0])


def _number(port: str) -> int | None:
    if not (port.isascii() and port.isdigit()):
        return None
    number = int(port)
    if not 1 <= number <= 65535:
        raise PortResolutionError(Reason(code=ReasonCode.PORT_INVALID, port=port))
    return number


def _refuse_udp(ports: Iterable[DeclaredPort], number: int, port: str, where: str) -> None:
    protocols = {p.protocol for p in ports if p.number == number}
    if protocols and PortProtocol.TCP not in protocols:
        raise PortResolutionError(
            Reason(
                code=ReasonCode.PORT_PROTOCOL,
                object=where,
                port=port,
                protocol=sorted(protocols)[0],
            )
        )


def _unknown_name(where: str, port: str, ports: Iterable[DeclaredPort]) -> PortResolutionError:
    return PortResolutionError(
        Reason(
            code=ReasonCode.PORT_UNKNOWN_NAME, object=where, port=port, available=_available(ports)
        )
    )


def _available(ports: Iterable[DeclaredPort]) -> tuple[str, ...]:
    names = [
        f"{p.name} ({p.number})" if p.name else str(p.number)
        for p in ports
        if p.protocol is PortProtocol.TCP
    ]
    return tuple(dict.fromkeys(names))
