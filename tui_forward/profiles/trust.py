"""Which profiles of working trees were agreed to: by path, and by what is in them.

A profile that somebody else can change starts nothing before the person has seen it and said
yes; a changed one is another one, and is asked about again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from tui_forward.common import atomic_file as atomic_file
from tui_forward.errors import ConfigError

_MOST = 500


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1] = 1
    profiles: dict[str, str] = {}  # path: SHA-256 of what is in it


class TrustStore:
    """What was agreed to; kept in a file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_trusted(self, file: Path, text: str) -> bool:
        """Whether exactly this was agreed to. What cannot be read was not."""
        return self._read().profiles.get(str(file)) == _digest(text)

    def trust(self, file: Path, text: str) -> None:
        """The person has seen it and said yes.

        Raises:
            ConfigError: That cannot be written down.
        """
        known = self._read()
        known.profiles.pop(str(file), None)
        known.profiles[str(file)] = _digest(text)
        while len(known.profiles) > _MOST:
            del known.profiles[next(iter(known.profiles))]
        try:
            atomic_file.write_atomically(self._path, msgspec.json.encode(known))
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise ConfigError(f"cannot write {self._path}: {why}") from error

    def _read(self) -> _File:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_File)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _File()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
