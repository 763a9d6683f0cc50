"""Style sheets of a checkout; `tests/packaging` has the other ways to install."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_forward.errors import ConfigError
from tui_forward.tui.stylesheets import stylesheet

ROOT = Path(__file__).resolve().parents[2]


def test_checkout_has_style_sheets() -> None:
    assert stylesheet("dashboard.tcss") == ROOT / "styles" / "dashboard.tcss"


def test_missing_style_sheet_is_an_error_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"nothing\.tcss") as caught:
        stylesheet("nothing.tcss")
    assert caught.value.hint
