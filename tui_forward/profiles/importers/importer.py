"""Import of forwards from texts of any supported format. Pure.

Every reader is tried on the whole text. What a reader of a format has read is not searched for
commands again; all other lines are. So a comment in a file of tasks, or a command in a manifest, is
not lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from tui_forward.common.arguments import share_address
from tui_forward.errors import ConfigError
from tui_forward.model import ForwardSpec
from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.command_text import read_command_text
from tui_forward.profiles.importers.declared_ports import read_declared_ports
from tui_forward.profiles.importers.findings import (
    Findings,
    FoundForward,
    NotThisFormatError,
    Place,
    Remark,
    RemarkCode,
    Variable,
)
from tui_forward.profiles.importers.k9s_annotations import read_k9s_annotations
from tui_forward.profiles.importers.kftray import read_kftray
from tui_forward.profiles.importers.kportal import read_kportal
from tui_forward.profiles.importers.kubefwd import read_kubefwd
from tui_forward.profiles.importers.script_values import read_script_values
from tui_forward.profiles.importers.source_text import SourceText, decode
from tui_forward.profiles.profile import env_prefix

MAX_FILE_BYTES: Final = 16 * 1024 * 1024  # shell histories and lists of pods may be long
_MAX_FORWARDS: Final = 500
_MAX_REMARKS: Final = 1_000
_NON_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME_LENGTH: Final = 63

Reader = Callable[[SourceText, ReadOptions], Findings]
# In the order in which they read; what one has read is not read by those behind it.
READERS: Final[tuple[tuple[str, Reader], ...]] = (
    ("kftray", read_kftray),
    ("kportal", read_kportal),
    ("annotations of k9s", read_k9s_annotations),
    ("commands in JSON or YAML", read_script_values),
    ("kubefwd", read_kubefwd),
    ("commands", read_command_text),
)
# Only for a text in which no other reader finds anything: most manifests declare ports.
FALLBACK: Final[tuple[str, Reader]] = ("Kubernetes objects", read_declared_ports)


@dataclass(slots=True)
class ImportResult:
    """Result of an import."""

    specs: list[ForwardSpec] = field(default_factory=list)  # the forwards, each with a unique name
    lines: list[int] = field(default_factory=list)  # of each of them
    left_out: list[Remark] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)  # differences to check
    repeated: int = 0  # commands that repeat another one
    dropped: int = 0  # of what is left out, beyond the bound of `left_out`

    @property
    def found(self) -> int:
        """Number of different forwards and of what is left out."""
        return len(self.specs) + len(self.left_out) + self.dropped

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Values that would let more be imported."""
        unique = {one.name: one for remark in self.left_out for one in remark.variables}
        return tuple(unique.values())

    @property
    def summary(self) -> str:
        """`3 found, 2 imported, 1 left out`."""
        left_out = len(self.left_out) + self.dropped
        text = f"{self.found} found, {len(self.specs)} imported, {left_out} left out"
        if self.repeated:
            text += f" ({self.repeated} {'repeats' if self.repeated == 1 else 'repeat'} another)"
        return text


class NothingToImportError(ConfigError):
    """No reader accepts the text."""


def import_forwards(content: bytes | str, options: ReadOptions | None = None) -> ImportResult:
    """Return the forwards of a text; what is left out is named in the result.

    Raise NothingToImportError if it is too large or no reader accepts it.
    """
    if len(content) > MAX_FILE_BYTES:
        raise NothingToImportError(
            f"the file is larger than {MAX_FILE_BYTES >> 20} MiB",
            hint="import a part of it, for example the pods of one namespace",
        )
    source = SourceText(content if isinstance(content, str) else decode(content))
    return _select(read_source(source, options or ReadOptions()))


def read_source(source: SourceText, options: ReadOptions) -> Findings:
    """Return what all readers found; NothingToImportError with each one's reason if none did."""
    findings = Findings()
    refusals: list[tuple[str, str]] = []
    for name, reader in READERS:
        try:
            found = reader(source, options)
        except NotThisFormatError as error:
            refusals.append((name, str(error)))
            continue
        findings.add(_unread(found, findings.lines))
    if not (findings.forwards or findings.remarks):
        try:
            return FALLBACK[1](source, options)
        except NotThisFormatError as error:
            refusals.append((FALLBACK[0], str(error)))
        reasons = "; ".join(f"{name}: {why}" for name, why in refusals)
        raise NothingToImportError("no forward found", hint=reasons)
    return findings


def _unread(found: Findings, lines: set[int]) -> Findings:
    """Return what does not stand in lines that another reader has read."""
    if not lines:
        return found
    return Findings(
        [one for one in found.forwards if one.line not in lines],
        [one for one in found.remarks if one.line not in lines],
        found.lines,
    )


def _select(findings: Findings) -> ImportResult:
    """Return the forwards to import: those of the first place that has any, each once."""
    result = ImportResult()
    places = [one.place for one in findings.forwards]
    places += [one.place for one in findings.remarks if one.is_left_out]
    place = min(places, default=Place.COMMAND)
    remarks = list(findings.remarks)
    seen: set[ForwardSpec] = set()  # a history repeats commands
    more = 0
    for one in sorted(findings.forwards, key=lambda one: one.line):
        if one.place is not place:
            remarks.append(Remark(code=RemarkCode.IN_COMMENT, line=one.line,
                                  label=str(one.spec.target)))  # fmt: skip
        elif one.spec in seen:
            result.repeated += 1
        elif len(result.specs) == _MAX_FORWARDS:
            seen.add(one.spec)
            more += 1
        else:
            seen.add(one.spec)
            _add(result, one)
    if more:
        detail = f"only the first {_MAX_FORWARDS} of {_MAX_FORWARDS + more} forwards are imported"
        result.notes.append(Remark(code=RemarkCode.LIMIT, line=result.lines[-1], detail=detail))
        result.dropped += more
    for remark in sorted(remarks, key=lambda one: one.line):
        kept = result.left_out if remark.is_left_out else result.notes
        if len(kept) < _MAX_REMARKS:
            kept.append(remark)
        elif remark.is_left_out:
            result.dropped += 1
    del result.notes[_MAX_REMARKS:]
    result.notes.sort(key=lambda one: one.line)
    return result


def _add(result: ImportResult, found: FoundForward) -> None:
    """Add a forward with a unique name, environment prefix and local port."""
    spec = found.spec
    taken = {env_prefix(one.name) for one in result.specs}
    base = _NON_NAME.sub("-", found.name).strip("._-")[:_MAX_NAME_LENGTH].strip("._-") or "forward"
    unique, number = base, 2
    if env_prefix(unique) in taken:
        base = unique = f"{base}-{_NON_NAME.sub('-', spec.target.port)}"
    while env_prefix(unique) in taken:
        unique, number = f"{base}-{number}", number + 1
    result.notes += [replace(one, label=one.label or unique) for one in found.remarks]
    owner = next((one for one in result.specs if _is_taken(one, spec)), None)
    if owner is not None:
        value = f"local port {spec.local_port} is used by {owner.name}"
        result.notes.append(Remark(code=RemarkCode.LOCAL_PORT_TAKEN, line=found.line, label=unique,
                                   value=value))  # fmt: skip
        spec = msgspec.structs.replace(spec, local_port=0)
    result.specs.append(msgspec.structs.replace(spec, name=unique))
    result.lines.append(found.line)


def _is_taken(one: ForwardSpec, other: ForwardSpec) -> bool:
    """Return whether two forwards would listen on the same address and port."""
    if not other.local_port or one.local_port != other.local_port:
        return False
    return share_address(one.addresses, other.addresses)
