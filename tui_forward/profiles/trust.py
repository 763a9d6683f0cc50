"""Store of trusted profiles that others can write, by path and content.

A profile that others can change starts nothing before the user has seen and trusted it; a
changed one must be trusted again.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

import msgspec

from tui_forward.common import atomic_file
from tui_forward.common.bounded_file import MAX_BYTES
from tui_forward.common.printable import escape_json
from tui_forward.errors import ConfigError
from tui_forward.profiles.store import ProfileContent

_MAX_ENTRIES = 500


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1] = 1
    profiles: dict[str, str] = {}  # path: SHA-256 of the content


class TrustStore:
    """Trusted profiles, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def needs_question(self, file: Path, content: ProfileContent) -> bool:
        """Return whether others may have written this content, and the user has not trusted it."""
        return bool(content.foreign) and not self.is_trusted(file, content.text)

    def is_trusted(self, file: Path, text: str) -> bool:
        """Return whether this content is trusted; False if the store is unreadable."""
        return self._read().profiles.get(str(file)) == _digest(text)

    def trust(self, file: Path, text: str) -> None:
        """Trust this content; ConfigError if the store cannot be written."""
        known = self._read()
        known.profiles.pop(str(file), None)
        known.profiles[str(file)] = _digest(text)
        while len(known.profiles) > _MAX_ENTRIES:
            del known.profiles[next(iter(known.profiles))]
        try:
            atomic_file.write_atomically(self._path, escape_json(msgspec.json.encode(known)))
        except OSError as error:
            cause = (error.strerror or type(error).__name__).lower()
            raise ConfigError(f"cannot write {self._path}: {cause}") from error

    def _read(self) -> _File:
        try:
            with self._path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                    return _File()  # others may have written it
                return msgspec.json.decode(stream.read(MAX_BYTES), type=_File)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _File()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
