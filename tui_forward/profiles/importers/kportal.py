"""Forwards of kportal's YAML: contexts with namespaces with forwards. Pure."""

from __future__ import annotations

from tui_forward.common.arguments import parse_target, validate_selector
from tui_forward.errors import UsageError
from tui_forward.model import ForwardSpec, Target, TargetKind
from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.entry_ports import local_port, remote_port
from tui_forward.profiles.importers.findings import (
    Findings,
    FoundForward,
    NotThisFormatError,
    Remark,
    RemarkCode,
)
from tui_forward.profiles.importers.located_values import Node
from tui_forward.profiles.importers.source_text import SourceText


def read_kportal(source: SourceText, options: ReadOptions) -> Findings:
    """Return the forwards of kportal's file; NotThisFormatError if it is none."""
    del options  # it names contexts, and no kubeconfig
    contexts = [
        one for value in source.values_with("namespaces") for one in _list(value, "contexts")
    ]
    if not any("namespaces" in one.fields for one in contexts):
        raise NotThisFormatError("no `contexts` with `namespaces` and `forwards`")
    findings = Findings()
    for context in contexts:
        for namespace in _list(context, "namespaces"):
            for entry in _list(namespace, "forwards"):
                _read_entry(entry, context.text("name"), namespace.text("name"), findings)
    return findings


def _read_entry(entry: Node, context: str, namespace: str, findings: Findings) -> None:
    findings.lines.update(range(entry.line, entry.last_line + 1))
    if not entry.fields:
        findings.leave_out(RemarkCode.NOT_AN_ENTRY, entry.line)
        return
    resource = entry.text("resource")
    name = entry.text("alias") or resource.partition("/")[2] or "forward"
    protocol = entry.text("protocol") or "tcp"
    if protocol.lower() != "tcp":
        findings.leave_out(RemarkCode.NOT_TCP, entry.line, name, value=protocol.upper())
        return
    try:
        spec = _spec(entry, resource, context, namespace or "default")
    except UsageError as error:
        findings.leave_out(RemarkCode.INVALID, entry.line, name, detail=error.message)
        return
    remarks: tuple[Remark, ...] = ()
    if spec.target.kind is TargetKind.POD:
        value = f"pod/{spec.target.name}"
        prefix = Remark(code=RemarkCode.NAME_PREFIX, line=entry.line, label=name, value=value)
        remarks = (prefix,)
    findings.forwards.append(FoundForward(line=entry.line, name=name, spec=spec, remarks=remarks))


def _spec(entry: Node, resource: str, context: str, namespace: str) -> ForwardSpec:
    selector = entry.text("selector")
    if selector:
        kind, name = TargetKind.SELECTOR, validate_selector(selector)
    else:
        kind, name = parse_target(resource)
    return ForwardSpec(
        target=Target(
            context=context, namespace=namespace, kind=kind, name=name,
            port=remote_port(entry.get("port")),
        ),
        local_port=local_port(entry.get("localPort")),
    )  # fmt: skip


def _list(node: Node, key: str) -> list[Node]:
    field = node.fields.get(key)
    return [] if field is None else field.items
