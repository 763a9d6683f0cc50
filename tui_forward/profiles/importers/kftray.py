"""Entries as kftray exports them: JSON with one object for each forward. Pure."""

from __future__ import annotations

from typing import Final

from tui_forward.common.arguments import parse_addresses, parse_target, validate_selector
from tui_forward.errors import UsageError
from tui_forward.model import ForwardSpec, Target, TargetKind
from tui_forward.profiles.importers.command_reader import ReadOptions, spell_kubeconfig
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

_PORT: Final = "remote_port"
_TARGETS: Final = ("service", "target", "remote_address", "workload_type")


def read_kftray(source: SourceText, options: ReadOptions) -> Findings:
    """Return the forwards of kftray's entries; NotThisFormatError if there are none."""
    entries: list[Node] = []
    for value in source.values_with(_PORT):
        if "configs" in value.fields:
            value = value.fields["configs"]
        entries += value.items or [value]
    if not any(_is_entry(one) for one in entries):
        raise NotThisFormatError(
            f"no object has `{_PORT}` and one of {', '.join(f'`{one}`' for one in _TARGETS)}"
        )
    findings = Findings()
    for entry in entries:
        _read_entry(entry, options, findings)
    return findings


def _is_entry(node: Node) -> bool:
    return _PORT in node.fields and any(one in node.fields for one in _TARGETS)


def _read_entry(entry: Node, options: ReadOptions, findings: Findings) -> None:
    findings.lines.update(range(entry.line, entry.last_line + 1))
    if not entry.fields:
        findings.leave_out(RemarkCode.NOT_AN_ENTRY, entry.line)
        return
    name = entry.text("alias") or entry.text("service") or entry.text("target")
    kind = entry.text("workload_type") or "service"
    protocol = entry.text("protocol") or "tcp"
    kubeconfig = entry.text("kubeconfig")
    if protocol.lower() != "tcp":
        findings.leave_out(RemarkCode.NOT_TCP, entry.line, name, value=protocol.upper())
    elif kind not in ("service", "pod"):
        findings.leave_out(RemarkCode.NOT_A_POD, entry.line, name, value=kind)
    elif kubeconfig and not options.is_own_kubeconfig(spell_kubeconfig(kubeconfig)):
        findings.leave_out(RemarkCode.KUBECONFIG, entry.line, name, value=kubeconfig)
    else:
        try:
            spec = _spec(entry, kind)
        except UsageError as error:
            findings.leave_out(RemarkCode.INVALID, entry.line, name, detail=error.message)
            return
        port = Remark(code=RemarkCode.CONTAINER_PORT, line=entry.line, label=name)
        findings.forwards.append(
            FoundForward(line=entry.line, name=name or spec.target.name, spec=spec,
                         remarks=(port,) if kind == "service" else ())
        )  # fmt: skip


def _spec(entry: Node, kind: str) -> ForwardSpec:
    address = entry.text("local_address")
    if kind == "pod":
        target_kind, target = TargetKind.SELECTOR, validate_selector(entry.text("target"))
    else:
        target_kind, target = parse_target(f"svc/{entry.text('service')}")
    return ForwardSpec(
        target=Target(
            context=entry.text("context"),
            namespace=entry.text("namespace") or "default",
            kind=target_kind,
            name=target,
            port=remote_port(entry.get(_PORT)),
        ),
        local_port=local_port(entry.get("local_port")),
        addresses=parse_addresses([address]) if address else ("localhost",),
    )
