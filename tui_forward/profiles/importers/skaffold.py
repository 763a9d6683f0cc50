"""Forwards of Skaffold's configuration: `portForward` of `skaffold.yaml`. Pure.

As of schema skaffold/v4beta13; the fields are the same since skaffold/v1beta12.
"""

from __future__ import annotations

from typing import Final

from tui_forward.common.arguments import parse_addresses, parse_target
from tui_forward.errors import UsageError
from tui_forward.model import ForwardSpec, Target
from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.entry_ports import local_port, remote_port
from tui_forward.profiles.importers.filled_values import (
    FilledValues,
    MissingValueError,
    leave_out_variable,
)
from tui_forward.profiles.importers.findings import (
    Findings,
    FoundForward,
    NotThisFormatError,
    RemarkCode,
)
from tui_forward.profiles.importers.located_values import Node
from tui_forward.profiles.importers.source_text import SourceText

_KEY: Final = "portForward"
_LOCAL_CONTAINER: Final = "container"  # of Docker


def read_skaffold(source: SourceText, options: ReadOptions) -> Findings:
    """Return the forwards of Skaffold's configurations; NotThisFormatError if there are none."""
    configs = [
        one for one in source.values_with(_KEY) if one.text("apiVersion").startswith("skaffold/")
    ]
    if not configs:
        raise NotThisFormatError(f"no `apiVersion: skaffold/…` with `{_KEY}`")
    findings = Findings()
    for config in configs:
        deploy = config.fields.get("deploy", _NOTHING)
        context = options.context or deploy.text("kubeContext")
        namespace = deploy.fields.get("kubectl", _NOTHING).text("defaultNamespace")
        for entry in _entries(config):
            _read_entry(entry, context, namespace or options.namespace, options, findings)
        for profile in config.fields.get("profiles", _NOTHING).items:
            _leave_out_profile(profile, findings)
    return findings


_NOTHING: Final = Node(None, 0, 0)


def _entries(node: Node) -> list[Node]:
    return node.fields.get(_KEY, _NOTHING).items


def _read_entry(
    entry: Node, context: str, namespace: str, options: ReadOptions, findings: Findings
) -> None:
    findings.lines.update(range(entry.line, entry.last_line + 1))
    if not entry.fields:
        findings.leave_out(RemarkCode.NOT_AN_ENTRY, entry.line)
        return
    name = entry.text("resourceName")
    kind = entry.text("resourceType")
    if kind.lower() == _LOCAL_CONTAINER:
        findings.leave_out(RemarkCode.NOT_A_POD, entry.line, name, value="a container of Docker")
        return
    values = FilledValues(entry, options.values)
    try:
        target_kind, target = parse_target(f"{kind.lower()}/{values.text('resourceName')}")
        address = values.text("address")
        spec = ForwardSpec(
            target=Target(
                context=values.fill_in(context),
                namespace=values.text("namespace") or values.fill_in(namespace),
                kind=target_kind, name=target, port=remote_port(entry.get("port")),
            ),
            local_port=local_port(entry.get("localPort")),
            addresses=parse_addresses([address]) if address else options.defaults.addresses,
        )  # fmt: skip
    except MissingValueError as error:
        leave_out_variable(findings, error, entry.line, name)
    except UsageError as error:
        findings.leave_out(RemarkCode.INVALID, entry.line, name, detail=error.message)
    else:
        findings.forwards.append(FoundForward(line=entry.line, name=target, spec=spec))


def _leave_out_profile(profile: Node, findings: Findings) -> None:
    """Name the forwards that only exist while a profile of Skaffold is active."""
    patches = profile.fields.get("patches", _NOTHING).items
    patches = [one for one in patches if one.text("path").startswith(f"/{_KEY}")]
    for entry in (*_entries(profile), *patches):
        findings.lines.update(range(entry.line, entry.last_line + 1))
        label = entry.text("resourceName") or entry.text("path")
        findings.leave_out(RemarkCode.PROFILE, entry.line, label, value=profile.text("name"))
