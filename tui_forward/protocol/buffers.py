"""The type of binary data in all codecs."""

from __future__ import annotations

from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes passed by a caller. Codecs do not change them and avoid copying them."""
