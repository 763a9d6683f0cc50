"""What becomes of findings: the forwards to import, and what is left out. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from tui_forward.common.arguments import share_address
from tui_forward.model import ForwardSpec
from tui_forward.profiles.importers.findings import (
    Findings,
    FoundForward,
    Place,
    Remark,
    RemarkCode,
    Variable,
)
from tui_forward.profiles.profile import env_prefix

_MAX_FORWARDS: Final = 500
_MAX_REMARKS: Final = 1_000
_NON_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME_LENGTH: Final = 63


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


def unread(found: Findings, lines: set[int]) -> Findings:
    """Return what does not stand in lines that another reader has read."""
    if not lines:
        return found
    return Findings(
        [one for one in found.forwards if one.line not in lines],
        [one for one in found.remarks if one.line not in lines],
        found.lines,
    )


def select_forwards(findings: Findings, *, name: bool = True) -> ImportResult:
    """Return the forwards to import: those of the first place that has any, each once.

    `name` gives each a unique name and local port, as a profile needs them.
    """
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
            _add(result, one, name=name)
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


def _add(result: ImportResult, found: FoundForward, *, name: bool) -> None:
    """Add a forward; with a unique name, environment prefix and local port if requested."""
    spec = found.spec
    if not name:
        result.notes += found.remarks
        result.specs.append(spec)
        result.lines.append(found.line)
        return
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
