"""Where the style sheets are: a folder of their own at the top level of the project.

In a wheel that folder lies inside the package; in a checkout, an editable install and an
unpacked sdist it lies beside it.
"""

from __future__ import annotations

from pathlib import Path

from tui_forward.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent.parent


def stylesheet(name: str) -> Path:
    """The path of a style sheet.

    Raises:
        ConfigError: The installation is incomplete.
    """
    for folder in (_PACKAGE / "styles", _PACKAGE.parent / "styles"):
        path = folder / name
        if path.is_file():
            return path
    raise ConfigError(
        f"the style sheet {name} is missing from this installation",
        hint="install tui-forward again",
    )
