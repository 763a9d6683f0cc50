"""The one type for bytes in any form, shared by every codec."""

from __future__ import annotations

from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes a caller hands over. Codecs neither change nor copy them where they can help it."""
