"""Import of forwards from texts of any supported format. Pure.

Every reader is tried on the whole text. What a reader of a format has read is not searched for
commands again; all other lines are. So a comment in a file of tasks, or a command in a manifest, is
not lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tui_forward.errors import ConfigError
from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.command_text import read_command_text
from tui_forward.profiles.importers.declared_ports import read_declared_ports
from tui_forward.profiles.importers.devspace import read_devspace
from tui_forward.profiles.importers.findings import Findings, NotThisFormatError
from tui_forward.profiles.importers.import_result import ImportResult, select_forwards, unread
from tui_forward.profiles.importers.k9s_annotations import read_k9s_annotations
from tui_forward.profiles.importers.kftray import read_kftray
from tui_forward.profiles.importers.kportal import read_kportal
from tui_forward.profiles.importers.kubefwd import read_kubefwd
from tui_forward.profiles.importers.script_values import read_script_values
from tui_forward.profiles.importers.skaffold import read_skaffold
from tui_forward.profiles.importers.source_text import SourceText, decode

MAX_FILE_BYTES: Final = 16 * 1024 * 1024  # shell histories and lists of pods may be long

Reader = Callable[[SourceText, ReadOptions], Findings]
# In the order in which they read; what one has read is not read by those behind it.
READERS: Final[tuple[tuple[str, Reader], ...]] = (
    ("kftray", read_kftray),
    ("kportal", read_kportal),
    ("Skaffold", read_skaffold),
    ("DevSpace", read_devspace),
    ("annotations of k9s", read_k9s_annotations),
    ("commands in JSON or YAML", read_script_values),
    ("kubefwd", read_kubefwd),
    ("commands", read_command_text),
)
# Only for a text in which no other reader finds anything: most manifests declare ports.
FALLBACK: Final[tuple[str, Reader]] = ("Kubernetes objects", read_declared_ports)


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
    return select_forwards(read_source(source, options or ReadOptions()))


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
        findings.add(unread(found, findings.lines))
    if not (findings.forwards or findings.remarks):
        try:
            return FALLBACK[1](source, options)
        except NotThisFormatError as error:
            refusals.append((FALLBACK[0], str(error)))
        reasons = "; ".join(f"{name}: {why}" for name, why in refusals)
        raise NothingToImportError("no forward found", hint=reasons)
    return findings
