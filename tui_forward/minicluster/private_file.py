"""Files that only this user can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


def write_private_file(path: Path, content: bytes) -> None:
    """Write a file atomically, readable by this user only."""
    new_path = path.with_name(path.name + ".new")
    new_path.touch(mode=0o600)
    new_path.write_bytes(content)
    new_path.replace(path)


def write_private_json(path: Path, value: Any) -> None:
    """Write a value as formatted JSON, readable by this user only."""
    write_private_file(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n")
