"""Resolution of a port name or number to the port number to dial in a pod. Pure.

Follows kubectl: `translateServicePortToTargetPort`, `convertPodNamedPortToNumber` and the UDP
checks of `pkg/cmd/portforward/portforward.go`, and `pkg/util/service_port.go`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.model import DeclaredPort, Pod, PortProtocol, Service


class PortResolutionError(Exception):
    """The port cannot be forwarded, whatever happens to the pods.

    Args:
        reason: Why, in words.
        hint: What would work.
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


def resolve_pod_port(pod: Pod, port: str) -> int:
    """Return the number of a port of a pod, given by number or name.

    A number need not be declared: a container may listen on undeclared ports.

    Raises:
        PortResolutionError: No such name, or only UDP.
    """
    number = _number(port)
    if number is None:
        named = next((p for p in pod.ports if p.name == port), None)
        if named is None:
            raise PortResolutionError(
                f'pod {pod.name} has no port named "{port}"', _choices(pod.ports)
            )
        number = named.number
    _refuse_udp(pod.ports, number, port, f"pod {pod.name}")
    return number


def resolve_service_port(service: Service, pod: Pod, port: str) -> int:
    """Return the number to dial in `pod` for a port of `service` (number or name).

    Raises:
        PortResolutionError: The service has no such port, has it only with UDP, or its
            `targetPort` is a name that the pod does not have.
    """
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
            f'port {port} of svc/{service.name} leads to a port named "{declared.target}", '
            f"which pod {pod.name} does not have",
            _choices(pod.ports),
        )
    return named.number


def find_service_port(service: Service, port: str) -> DeclaredPort:
    """Return the service port with a number or name.

    Raises:
        PortResolutionError: There is none, or only with UDP.
    """
    number = _number(port)
    where = f"svc/{service.name}"
    if number is None:
        found = next((p for p in service.ports if p.name == port), None)
        if found is None:
            raise PortResolutionError(
                f'{where} has no port named "{port}"', _choices(service.ports)
            )
        number = found.number
    matching = [p for p in service.ports if p.number == number]
    if not matching:
        raise PortResolutionError(f"{where} has no port {number}", _choices(service.ports))
    _refuse_udp(service.ports, number, port, where)
    # Two entries may share a number, one TCP and one UDP.
    return next((p for p in matching if p.protocol is not PortProtocol.UDP), matching[0])


def _number(port: str) -> int | None:
    if not (port.isascii() and port.isdigit()):
        return None
    number = int(port)
    if not 1 <= number <= 65535:
        raise PortResolutionError(f"{port} is no port number", "Ports go from 1 to 65535")
    return number


def _refuse_udp(ports: Iterable[DeclaredPort], number: int, port: str, where: str) -> None:
    protocols = {p.protocol for p in ports if p.number == number}
    if protocols and PortProtocol.TCP not in protocols:
        protocol = sorted(protocols)[0]
        raise PortResolutionError(
            f"port {port} of {where} is {protocol}, which Kubernetes cannot forward",
            "Only TCP ports can be forwarded",
        )


def _choices(ports: Iterable[DeclaredPort]) -> str:
    known = [
        f"{p.name} ({p.number})" if p.name else str(p.number)
        for p in ports
        if p.protocol is PortProtocol.TCP
    ]
    if not known:
        return "No TCP ports are declared there; a pod's port can be given by number"
    return "Ports there: " + ", ".join(dict.fromkeys(known))
