"""Importers of forwards: kubectl commands, and files of kftray, kportal and k9s. Pure.

Entries that cannot be forwarded (UDP, proxies) are skipped with a note.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace

from tui_forward.common.arguments import (
    parse_addresses,
    parse_port,
    parse_target,
    validate_selector,
)
from tui_forward.common.bounded_yaml import documents
from tui_forward.common.kubectl_command import parse_commands
from tui_forward.errors import UsageError
from tui_forward.model import ForwardSpec, Target, TargetKind
from tui_forward.profiles import k9s_annotations
from tui_forward.profiles.profile import env_prefix

MAX_FILE_BYTES: Final = 16 * 1024 * 1024  # shell histories and lists of pods may be long
_MAX_FORWARDS = 500
# Different forwards, and commands, that are looked at.
_MAX_FOUND: Final = 5_000
_MAX_COMMANDS: Final = 5_000
_MAX_NOTES: Final = 1_000
_MAX_NOTE_LENGTH: Final = 300
# Program of a command after what shells print before it (numbers, times, prompts) and its folder.
# Nothing before it is matched, so that the search takes linear time.
_COMMAND = re.compile(r"(?<![^\s;&|(/])(?:kubectl|kubecolor|oc|k|tui-forward)\s")
_FORWARDS = re.compile(r"\s(?:port-forward|forward)\s")
_NON_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME_LENGTH = 63


@dataclass(slots=True)
class ImportResult:
    """Result of an import."""

    specs: list[ForwardSpec] = field(default_factory=list)  # the forwards, each with a unique name
    # Skipped entries with the reason, and differences to check.
    notes: list[str] = field(default_factory=list)

    def add_note(self, text: str) -> None:
        """Add a note; shortened, and dropped after the first thousand."""
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(text[:_MAX_NOTE_LENGTH])
        elif len(self.notes) == _MAX_NOTES:
            self.notes.append("further notes are left out")


def import_forwards(text: str) -> ImportResult:
    """Import forwards from a shell script, a history, kftray JSON, kportal YAML or objects.

    Raise UsageError if the format is not supported, or there is no forward in it.
    """
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(
            f"the file is larger than {MAX_FILE_BYTES >> 20} MiB",
            hint="import a part of it, for example the pods of one namespace",
        )
    read = _reader(text)
    found = ImportResult()
    seen: set[ForwardSpec] = set()  # a history repeats commands
    try:
        for name, spec in read(text, found):
            if spec not in seen and len(seen) < _MAX_FORWARDS:
                _add(found, name, spec)
            seen.add(spec)
            if len(seen) == _MAX_FOUND:
                break
    except RecursionError as error:
        raise UsageError("cannot read the file: it is nested too deeply") from error
    except ValueError as error:
        raise UsageError(f"cannot read the file: {str(error).splitlines()[0]}") from error
    if len(seen) > _MAX_FORWARDS:
        more = "more than " if len(seen) == _MAX_FOUND else ""
        found.notes.append(
            f"only the first {_MAX_FORWARDS} of {more}{len(seen)} forwards are imported"
        )
    if not found.specs:
        formats = (
            "Supported: kubectl commands, kftray JSON, kportal YAML, objects with k9s annotations"
        )
        raise UsageError("no forward found", hint=found.notes[0] if found.notes else formats)
    return found


_Entries = Iterator[tuple[str, ForwardSpec]]
# First line of Kubernetes objects; a script may contain one, but does not start with it.
_OBJECT = re.compile(r"(?:\s|#[^\n]*\n|---)*(?:apiVersion|kind|metadata|spec|items)\s*:\s")


def _reader(text: str) -> Callable[[str, ImportResult], _Entries]:
    stripped = text.lstrip()
    if stripped[:1] in "[{" and stripped:
        return _json
    if _OBJECT.match(text):
        return lambda text, found: k9s_annotations.read_annotations(documents(text), found.notes)
    if re.search(r"^contexts\s*:", text, re.MULTILINE):
        return _kportal
    return _commands


def _add(found: ImportResult, name: str, spec: ForwardSpec) -> None:
    """Add a forward with a unique name, environment prefix and local port."""
    taken = {env_prefix(one.name) for one in found.specs}
    base = _NON_NAME.sub("-", name).strip("._-")[:_MAX_NAME_LENGTH].strip("._-") or "forward"
    unique, number = base, 2
    if env_prefix(unique) in taken:
        base = unique = f"{base}-{_NON_NAME.sub('-', spec.target.port)}"
    while env_prefix(unique) in taken:
        unique, number = f"{base}-{number}", number + 1
    owner = next((one for one in found.specs if one.local_port == spec.local_port), None)
    if spec.local_port and owner is not None:
        found.notes.append(
            f"{unique}: local port {spec.local_port} is used by {owner.name};"
            " any free port is used instead"
        )
        spec = replace(spec, local_port=0)
    found.specs.append(replace(spec, name=unique))


# Commands ---------------------------------------------------------------------------------


def _commands(text: str, found: ImportResult) -> _Entries:
    seen: set[int] = set()  # a history repeats commands
    for number, line in _logical_lines(text):
        match = _COMMAND.search(line)
        if match is None or not _FORWARDS.search(line, match.start()):
            continue
        if line.lstrip().startswith("#"):
            continue
        command = line[match.start() :]
        if hash(command) in seen:
            continue
        seen.add(hash(command))
        if len(seen) > _MAX_COMMANDS:
            found.add_note(f"line {number} and what follows skipped: too many commands")
            return
        try:
            for spec in parse_commands(command, context="", namespace=""):
                yield spec.target.name.partition("=")[2] or spec.target.name, spec
        except UsageError as error:
            found.add_note(f"line {number} skipped: {error.message}")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with continuation lines joined, numbered from 1 by the first line."""
    parts: list[str] = []
    first = 1
    for number, line in enumerate(text.splitlines(), 1):
        if not parts:
            first = number
        if line.endswith("\\"):
            parts.append(f"{line[:-1]} ")
            continue
        yield first, "".join((*parts, line))
        parts.clear()
    if parts:
        yield first, "".join(parts)


# JSON: Kubernetes objects, or kftray ----------------------------------------------------


def _json(text: str, found: ImportResult) -> _Entries:
    values: list[Any] = []
    for value in _values(text):
        values += value if isinstance(value, list) else [value]
    if any(map(k9s_annotations.is_object, values)):
        return k9s_annotations.read_annotations(values, found.notes)
    return _kftray(values, found)


def _values(text: str) -> Iterator[Any]:
    """Yield concatenated JSON values, as `jq '.items[]'` prints them."""
    decoder, text = json.JSONDecoder(), text.strip()
    at = 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        yield value
        while text[at : at + 1].isspace():
            at += 1


def _kftray(entries: Iterable[Any], found: ImportResult) -> _Entries:
    for number, entry in enumerate(entries, 1):
        name = f"entry {number}"
        if not isinstance(entry, dict):
            found.add_note(f"{name} skipped: not an object")
            continue
        name = str(entry.get("alias") or entry.get("service") or name)
        kind = str(entry.get("workload_type") or "service")
        if str(entry.get("protocol") or "tcp").lower() != "tcp":
            found.add_note(f"{name} skipped: UDP cannot be forwarded")
        elif kind not in ("service", "pod"):
            found.add_note(f"{name} skipped: {kind} is not a forward to a pod")
        else:
            try:
                yield name, _kftray_spec(entry, kind)
            except UsageError as error:
                found.add_note(f"{name} skipped: {error.message}")
                continue
            if kind == "service":
                found.add_note(
                    f"{name}: in kftray this is the container port, here it is the service port"
                )


def _kftray_spec(entry: Mapping[str, Any], kind: str) -> ForwardSpec:
    address = str(entry.get("local_address") or "")
    if kind == "pod":
        target_kind, target = TargetKind.SELECTOR, validate_selector(str(entry.get("target") or ""))
    else:
        target_kind, target = parse_target(f"svc/{entry.get('service') or ''}")
    return ForwardSpec(
        target=Target(
            context=str(entry.get("context") or ""),
            namespace=str(entry.get("namespace") or "default"),
            kind=target_kind,
            name=target,
            port=_remote(entry.get("remote_port")),
        ),
        local_port=_local(entry.get("local_port")),
        addresses=parse_addresses([address]) if address else ("localhost",),
    )


# kportal ----------------------------------------------------------------------------------


def _kportal(text: str, found: ImportResult) -> _Entries:
    content = next(documents(text), None)
    for context in _list(content, "contexts"):
        for namespace in _list(context, "namespaces"):
            for entry in _list(namespace, "forwards"):
                if not isinstance(entry, dict):
                    continue
                resource = str(entry.get("resource") or "")
                name = str(entry.get("alias") or resource.partition("/")[2] or "forward")
                if str(entry.get("protocol") or "tcp").lower() != "tcp":
                    found.add_note(f"{name} skipped: only TCP can be forwarded")
                    continue
                try:
                    spec = _kportal_spec(
                        entry, resource, str(context.get("name") or ""),
                        str(namespace.get("name") or "default"),
                    )  # fmt: skip
                except UsageError as error:
                    found.add_note(f"{name} skipped: {error.message}")
                    continue
                if spec.target.kind is TargetKind.POD:
                    found.add_note(
                        f"{name}: in kportal pod/{spec.target.name} is the prefix of a name, "
                        "here it is the full name"
                    )
                yield name, spec


def _kportal_spec(
    entry: Mapping[str, Any], resource: str, context: str, namespace: str
) -> ForwardSpec:
    selector = str(entry.get("selector") or "")
    if selector:
        kind, name = TargetKind.SELECTOR, validate_selector(selector)
    else:
        kind, name = parse_target(resource)
    return ForwardSpec(
        target=Target(
            context=context, namespace=namespace, kind=kind, name=name,
            port=_remote(entry.get("port")),
        ),
        local_port=_local(entry.get("localPort")),
    )  # fmt: skip


def _list(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _remote(value: Any) -> str:
    pair = parse_port(str(value if value is not None else ""))
    if pair.local is not None:
        raise UsageError(f'"{value}" is not a port')
    return pair.remote


def _local(value: Any) -> int | None:
    if value in (None, "", 0):
        return None
    pair = parse_port(f"{value}:1")
    return pair.local
