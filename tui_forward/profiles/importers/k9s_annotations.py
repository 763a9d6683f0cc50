"""Annotations that k9s uses for port-forwards of a pod. Pure.

`k9scli.io/auto-port-forwards` and `k9scli.io/port-forwards` hold `CONTAINER::[LOCAL:]PORT`,
several with commas between them; PORT is a number or a name, without CONTAINER it is that of
any container. They are on pods and in pod templates. The forward goes to the owner of a pod,
which outlives it.
"""

from __future__ import annotations

import re
from typing import Final

from tui_forward.common.arguments import parse_port
from tui_forward.errors import UsageError
from tui_forward.model import DeclaredPort, ForwardSpec, Pod, PortProtocol, Target
from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.findings import (
    Findings,
    FoundForward,
    NotThisFormatError,
    RemarkCode,
)
from tui_forward.profiles.importers.kubernetes_objects import (
    DecodedPod,
    ObjectNode,
    annotation_nodes,
    decode,
    find_objects,
)
from tui_forward.profiles.importers.source_text import SourceText

# Where both exist k9s uses only the first; here both are imported.
_KEYS: Final = ("k9scli.io/auto-port-forwards", "k9scli.io/port-forwards")
# `/NUMBER` after a name is redundant data of k9s.
_FORM = re.compile(r"(?:([\w-]+)::)?(?:(\d*):)?([\w-]*)(?:/\d+)?", re.ASCII)
_MAX_REMARKS: Final = 500
_MAX_PORTS: Final = 500  # of one object


def read_k9s_annotations(source: SourceText, options: ReadOptions) -> Findings:
    """Return the forwards of annotations; NotThisFormatError if there are none."""
    del options
    reader = _Reader()
    for one in find_objects(source.values_with("k9scli.io/")):
        if any(key in annotations for annotations in annotation_nodes(one) for key in _KEYS):
            reader.read(one)
    if not (reader.findings.forwards or reader.findings.remarks):
        raise NotThisFormatError("no Kubernetes object has an annotation of k9s")
    return reader.findings


class _Reader:
    """Reader of annotated objects; every pod of a workload repeats what is wrong with it."""

    def __init__(self) -> None:
        self.findings = Findings()
        self._noted: set[tuple[str, str]] = set()

    def _leave_out(self, found: ObjectNode, label: str, detail: str) -> None:
        if (label, detail) not in self._noted and len(self._noted) < _MAX_REMARKS:
            self._noted.add((label, detail))
            self.findings.leave_out(RemarkCode.OBJECT, found.line, label, detail=detail)

    def read(self, found: ObjectNode) -> None:
        """Read an object that has an annotation."""
        try:
            decoded = decode(found)
        except UsageError as error:
            self._leave_out(found, found.label, error.message)
            return
        texts = [decoded.annotations.get(key, "") for key in _KEYS]
        if not any(texts):
            detail = "the annotation belongs in its pod template"
            self._leave_out(found, decoded.label, detail)
        parts = [part.strip() for text in texts for part in text.split(",") if part.strip()]
        if max(len(parts), len(decoded.pod.ports)) > _MAX_PORTS:
            self._leave_out(found, decoded.label, f"it has more than {_MAX_PORTS} ports")
            return
        for part in dict.fromkeys(parts):
            self._read_part(found, decoded, part, is_only=len(parts) == 1)

    def _read_part(
        self, found: ObjectNode, decoded: DecodedPod, part: str, *, is_only: bool
    ) -> None:
        try:
            local, port, port_name = _parse_annotation(part, decoded.pod, decoded.containers)
        except UsageError as error:
            self._leave_out(found, decoded.label, f'"{part}": {error.message}')
            return
        target = Target(context="", namespace=decoded.pod.namespace, kind=decoded.kind,
                        name=decoded.name, port=port)  # fmt: skip
        self.findings.forwards.append(
            FoundForward(
                line=found.line,
                name=decoded.name if is_only else f"{decoded.name}-{port_name}",
                spec=ForwardSpec(target=target, local_port=local),
            )
        )


def _parse_annotation(
    part: str, pod: Pod, containers: tuple[str, ...]
) -> tuple[int | None, str, str]:
    """Return the local port, the port of the target, and a name for it."""
    form = _FORM.fullmatch(part)
    port = form and (form[3] or form[2])
    if form is None or not port:
        raise UsageError("not in the form CONTAINER::[LOCAL:]PORT")
    container, local = form[1], form[2] if form[3] else ""
    pair = parse_port(f"{local}:{port}" if local else port)
    if container and container not in containers:
        raise UsageError(f'there is no container "{container}"', hint=", ".join(containers))
    declared = [one for one in pod.ports if container in (None, one.container)]
    if pair.remote.isdecimal():
        number = int(pair.remote)
        port_name = next((one.name for one in declared if one.number == number and one.name), "")
    else:
        number, port_name = _port_number(pair.remote, declared), pair.remote
    protocols = {one.protocol for one in pod.ports if one.number == number}
    if protocols and PortProtocol.TCP not in protocols:
        raise UsageError(f"it is {min(protocols)}, only TCP can be forwarded")
    # Two containers may have ports of the same name; resolution would use the first.
    numbers = [one.number for one in pod.ports if one.name == port_name]
    if len(numbers) > 1 and container:
        port_name = container
    remote = pair.remote if pair.remote.isdecimal() or numbers[0] == number else str(number)
    return pair.local, remote, port_name or container or pair.remote


def _port_number(name: str, declared: list[DeclaredPort]) -> int:
    for one in declared:
        if one.name == name:
            return one.number
    known = ", ".join(one.name for one in declared if one.name) or "no named port"
    raise UsageError(f'there is no port "{name}"; available: {known}')
