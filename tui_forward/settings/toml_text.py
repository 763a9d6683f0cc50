"""Bounded parser of TOML."""

from __future__ import annotations

import tomllib
from typing import Any, Final

# tomllib takes quadratic time and memory for the parts of a dotted key.
MAX_DOTS: Final = 200


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    ValueError: it is not TOML (TOMLDecodeError, with the position at the end of its text), or a
    number is too long. RecursionError: it is nested too deep.
    """
    for line in text.splitlines():
        if line.count(".") > MAX_DOTS and not line.lstrip().startswith("#"):
            raise RecursionError("a line has too many dots")
    return tomllib.loads(text)
