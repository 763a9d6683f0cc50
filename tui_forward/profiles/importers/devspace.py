"""Forwards of DevSpace's configuration: `dev.NAME.ports`, before version 6 `dev.ports`. Pure.

As of schema v2beta1, and v1beta1 to v1beta11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tui_forward.common.arguments import parse_addresses, parse_port, validate_selector
from tui_forward.errors import UsageError
from tui_forward.model import ForwardSpec, Target, TargetKind
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

_VERSION: Final = re.compile(r"v[12](?:alpha|beta)\d+")
_NOTHING: Final = Node(None, 0, 0)
# Ways to choose pods other than by labels.
_OTHER_SELECTORS: Final = ("imageSelector", "imageName", "selector", "containerName")
_REVERSE: Final = ("reversePorts", "reverseForward")


def read_devspace(source: SourceText, options: ReadOptions) -> Findings:
    """Return the forwards of DevSpace's configuration; NotThisFormatError if there are none."""
    configs = [
        one
        for one in source.values_with("orts")  # ports, reversePorts
        if _VERSION.fullmatch(one.text("version")) and one.fields.get("dev", _NOTHING).fields
    ]
    if not configs:
        raise NotThisFormatError("no `version: v2beta1` (or another one of DevSpace) with `dev`")
    findings = Findings()
    for config in configs:
        dev = config.fields["dev"]
        for name, pod in _pods(dev):
            for mapping in (*_list(pod, "ports"), *_list(pod, "forward")):
                _read_mapping(mapping, pod, name, options, findings)
            containers = pod.fields.get("containers", _NOTHING).fields.values()
            for one in (pod, *containers):
                _leave_out_reverse(one, name, findings)
        for profile in _list(config, "profiles"):
            _leave_out_profile(profile, findings)
    return findings


def _pods(dev: Node) -> Iterator[tuple[str, Node]]:
    """Yield name and entry of each selection of pods, in both forms of `dev`."""
    for name, value in dev.fields.items():
        if name == "ports":  # before version 6: a list, with the ports in `forward`
            for entry in value.items:
                yield entry.text("name"), entry
        elif value.fields:
            yield name, value


def _list(node: Node, key: str) -> list[Node]:
    return node.fields.get(key, _NOTHING).items


def _mark_read(node: Node, findings: Findings) -> None:
    findings.lines.update(range(node.line, node.last_line + 1))


def _read_mapping(
    mapping: Node, pod: Node, name: str, options: ReadOptions, findings: Findings
) -> None:
    _mark_read(mapping, findings)
    if not mapping.fields:
        findings.leave_out(RemarkCode.NOT_AN_ENTRY, mapping.line, name)
        return
    labels = pod.fields.get("labelSelector", _NOTHING).fields
    if not labels:
        by = next((one for one in _OTHER_SELECTORS if pod.text(one)), "no `labelSelector`")
        value = f"{by} {pod.text(by)}".strip()
        findings.leave_out(RemarkCode.NO_LABELS, mapping.line, name, value=value)
        return
    values = FilledValues(mapping, options.values)
    try:
        pairs = (f"{key}={values.fill_in(labels[key].plain_text())}" for key in labels)
        selector = validate_selector(",".join(pairs))
        address = values.text("bindAddress")
        if "remotePort" in mapping.fields:
            local, remote = local_port(mapping.get("port")), remote_port(mapping.get("remotePort"))
        else:
            pair = parse_port(values.text("port"))
            local, remote = pair.local, pair.remote
        spec = ForwardSpec(
            target=Target(
                context=options.context,
                namespace=values.fill_in(pod.text("namespace")) or options.namespace,
                kind=TargetKind.SELECTOR, name=selector, port=remote,
            ),
            local_port=local,
            addresses=parse_addresses([address]) if address else options.defaults.addresses,
        )  # fmt: skip
    except MissingValueError as error:
        leave_out_variable(findings, error, mapping.line, name)
    except UsageError as error:
        findings.leave_out(RemarkCode.INVALID, mapping.line, name, detail=error.message)
    else:
        label = name or next(iter(labels.values())).plain_text()
        findings.forwards.append(FoundForward(line=mapping.line, name=label, spec=spec))


def _leave_out_reverse(node: Node, name: str, findings: Findings) -> None:
    for key in _REVERSE:
        for mapping in _list(node, key):
            _mark_read(mapping, findings)
            value = str(mapping.get("port") or "")
            findings.leave_out(RemarkCode.REVERSE, mapping.line, name, value=value)


def _leave_out_profile(profile: Node, findings: Findings) -> None:
    """Name the forwards that only exist while a profile of DevSpace is active."""
    for part in ("replace", "merge"):
        dev = profile.fields.get(part, _NOTHING).fields.get("dev", _NOTHING)
        for name, pod in _pods(dev):
            for mapping in (*_list(pod, "ports"), *_list(pod, "forward")):
                _mark_read(mapping, findings)
                findings.leave_out(
                    RemarkCode.PROFILE, mapping.line, name, value=profile.text("name")
                )
    for patch in _list(profile, "patches"):
        path = patch.text("path")
        if re.match(r"/?dev\b.*\bports\b", path.replace(".", "/")):
            _mark_read(patch, findings)
            findings.leave_out(RemarkCode.PROFILE, patch.line, path, value=profile.text("name"))
