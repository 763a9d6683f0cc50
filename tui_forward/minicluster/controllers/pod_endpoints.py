"""Endpoints of a service: the addresses of its pods, and the ports that they have for it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.store import Item


class _ContainerPort(msgspec.Struct):
    number: int = msgspec.field(name="containerPort")
    name: str = ""
    protocol: str = "TCP"


class _Container(msgspec.Struct):
    ports: list[_ContainerPort] | None = None


class _Condition(msgspec.Struct):
    type: str = ""
    status: str = ""


class _Spec(msgspec.Struct):
    containers: list[_Container] = []
    hostname: str = ""
    subdomain: str = ""


class _Address(msgspec.Struct):
    ip: str = ""


class _Status(msgspec.Struct):
    phase: str = ""
    ip: str = msgspec.field(name="podIP", default="")
    ips: list[_Address] | None = msgspec.field(name="podIPs", default=None)
    conditions: list[_Condition] | None = None


class _PodView(msgspec.Struct):
    spec: _Spec
    status: _Status


# Decoding a whole pod takes ten times as long.
_decode_view = msgspec.json.Decoder(_PodView).decode


class EndpointPort(NamedTuple):
    """A port of a service, as the number that it has in a pod."""

    name: str
    number: int
    protocol: str
    app_protocol: str

    def encode(self) -> Object:
        """Return the port of an EndpointSlice or of a subset of Endpoints."""
        port: Object = {"name": self.name, "port": self.number, "protocol": self.protocol}
        if self.app_protocol:
            port["appProtocol"] = self.app_protocol
        return port


class PodEndpoint:
    """A pod as an endpoint of a service."""

    def __init__(self, pod: Item, service: Item, service_spec: Object) -> None:
        view = _decode_view(pod.raw)
        self._pod = pod
        self._phase = view.status.phase
        self._addresses = [each.ip for each in view.status.ips or () if each.ip]
        if not self._addresses and view.status.ip:
            self._addresses = [view.status.ip]
        conditions = view.status.conditions or ()
        self._serving = any(each.type == "Ready" and each.status == "True" for each in conditions)
        self._publishes_not_ready = bool(service_spec.get("publishNotReadyAddresses"))
        has_name = view.spec.subdomain == service.name
        self._hostname = view.spec.hostname if has_name else ""
        self.ports = _resolve_ports(view, service_spec)

    @property
    def exists(self) -> bool:
        """Return whether the pod has an address and has not ended."""
        return bool(self._addresses) and self._phase not in ("Succeeded", "Failed")

    @property
    def ready(self) -> bool:
        """Return whether connections may go there."""
        return self._publishes_not_ready or (self._serving and not self._pod.deleting)

    @property
    def is_listed(self) -> bool:
        """Return whether Endpoints have the pod: they have no terminating pods."""
        return self.exists and (self._publishes_not_ready or not self._pod.deleting)

    def address(self, family: str) -> str:
        """Return the address of the pod in a family, `IPv4` or `IPv6`; empty if it has none."""
        is_v6 = family == "IPv6"
        return next((each for each in self._addresses if (":" in each) is is_v6), "")

    def encode(self, address: str) -> Object:
        """Return the endpoint of an EndpointSlice."""
        endpoint: Object = {
            "addresses": [address],
            "conditions": {
                "ready": self.ready,
                "serving": self._serving,
                "terminating": self._pod.deleting,
            },
        }
        if self._hostname:
            endpoint["hostname"] = self._hostname
        return endpoint | self._place()

    def encode_address(self) -> Object:
        """Return the address of a subset of Endpoints."""
        address: Object = {"ip": self._addresses[0]}
        if self._hostname:
            address["hostname"] = self._hostname
        return address | self._place()

    def _place(self) -> Object:
        pod = self._pod
        reference = {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
        place: Object = {"nodeName": pod.node} if pod.node else {}
        return {**place, "targetRef": reference}


def _resolve_ports(view: _PodView, service_spec: Object) -> tuple[EndpointPort, ...]:
    """Return the ports of the service that the pod has; one by name may be missing there."""
    found = []
    for port in service_spec.get("ports") or ():
        target, protocol = port.get("targetPort", port["port"]), port.get("protocol", "TCP")
        number = target if isinstance(target, int) else _find_port(view, target, protocol)
        if number:
            name, app_protocol = port.get("name", ""), port.get("appProtocol", "")
            found.append(EndpointPort(name, number, protocol, app_protocol))
    return tuple(found)


def _find_port(view: _PodView, name: str, protocol: str) -> int:
    for container in view.spec.containers:
        for port in container.ports or ():
            if (port.name, port.protocol) == (name, protocol):
                return port.number
    return 0
