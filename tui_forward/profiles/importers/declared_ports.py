"""Forwards to the declared ports of objects, as of `kubectl get services -o json`. Pure."""

from __future__ import annotations

from tui_forward.common.arguments import parse_target
from tui_forward.errors import UsageError
from tui_forward.model import ForwardSpec, PortProtocol, Target
from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.findings import (
    Findings,
    FoundForward,
    NotThisFormatError,
    RemarkCode,
)
from tui_forward.profiles.importers.kubernetes_objects import ObjectNode, decode, find_objects
from tui_forward.profiles.importers.located_values import Node
from tui_forward.profiles.importers.source_text import SourceText
from tui_forward.profiles.parser import NAMESPACE

_WORKLOADS = frozenset(
    {"Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}
)  # fmt: skip


def read_declared_ports(source: SourceText, options: ReadOptions) -> Findings:
    """Return a forward for each declared port; NotThisFormatError if no object has one."""
    del options
    findings = Findings()
    for one in find_objects(source.values_with("apiVersion")):
        if one.kind not in _WORKLOADS and one.kind != "Service":
            continue
        try:
            if one.kind == "Service":
                _read_service(one, findings)
            else:
                _read_workload(one, findings)
        except UsageError as error:
            findings.leave_out(RemarkCode.OBJECT, one.line, one.label, detail=error.message)
    if not (findings.forwards or findings.remarks):
        raise NotThisFormatError("no Kubernetes object declares a port")
    return findings


def _read_service(found: ObjectNode, findings: Findings) -> None:
    metadata, spec = _node(found, "metadata"), _node(found, "spec")
    ports = spec.fields.get("ports")
    kind, name = parse_target(f"svc/{metadata.text('name')}")
    namespace = metadata.text("namespace")
    if namespace and not NAMESPACE.fullmatch(namespace):
        raise UsageError(f'"{namespace}" is not a valid namespace name')
    if spec.text("type") == "ExternalName" or "selector" not in spec.fields:
        why = spec.text("externalName") or "it has no selector"
        findings.leave_out(RemarkCode.NO_PODS, found.line, found.label, value=why)
        return
    entries = [] if ports is None else ports.items
    for port in entries:
        protocol = port.text("protocol") or "TCP"
        number = port.get("port")
        if protocol != "TCP":
            findings.leave_out(RemarkCode.NOT_TCP, port.line, found.label, value=protocol)
            continue
        if not isinstance(number, int) or not 1 <= number <= 65535:
            raise UsageError(f'"{number}" is not a port')
        port_name = port.text("name") or str(number)
        target = Target(context="", namespace=namespace, kind=kind, name=name, port=str(number))
        findings.forwards.append(
            FoundForward(line=port.line, name=name if len(entries) == 1 else f"{name}-{port_name}",
                         spec=ForwardSpec(target=target))
        )  # fmt: skip


def _read_workload(found: ObjectNode, findings: Findings) -> None:
    decoded = decode(found)
    numbers = {one.number for one in decoded.pod.ports if one.protocol is PortProtocol.TCP}
    for port in decoded.pod.ports:
        if port.protocol is not PortProtocol.TCP:
            if port.number not in numbers:
                findings.leave_out(
                    RemarkCode.NOT_TCP, found.line, f"{found.label}, port {port.number}",
                    value=port.protocol,
                )  # fmt: skip
            continue
        target = Target(context="", namespace=decoded.pod.namespace, kind=decoded.kind,
                        name=decoded.name, port=str(port.number))  # fmt: skip
        suffix = "" if len(decoded.pod.ports) == 1 else f"-{port.name or port.number}"
        findings.forwards.append(
            FoundForward(line=found.line, name=f"{decoded.name}{suffix}",
                         spec=ForwardSpec(target=target))
        )  # fmt: skip


def _node(found: ObjectNode, key: str) -> Node:
    return found.fields.get(key) or Node({}, found.line, found.line)
