"""Finds the style sheets.

They are in the folder `styles`: inside the package in a wheel, beside it in a checkout, an
editable install and an unpacked sdist.
"""

from __future__ import annotations

from pathlib import Path

from tui_forward.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent.parent


def stylesheet(name: str) -> Path:
    """Return the path of a style sheet; raise ConfigError if the installation is incomplete."""
    for folder in (_PACKAGE / "styles", _PACKAGE.parent / "styles"):
        path = folder / name
        if path.is_file():
            return path
    raise ConfigError(
        f"the style sheet {name} is missing from this installation", hint="reinstall tui-forward"
    )
