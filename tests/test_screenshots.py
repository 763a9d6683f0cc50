"""The pictures of the dashboard are up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from screenshots.svg_text import describe_difference

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.any_python
@pytest.mark.timeout(240)
def test_screenshots_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "screenshots", "--check"],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _svg(*lines: str) -> str:
    return "\n".join(
        f'<text class="r" x="0" y="{20 * place}">{line}</text>' for place, line in enumerate(lines)
    )


def test_a_difference_names_the_lines_that_differ() -> None:
    before, after = _svg("a", "7&#160;conns", "c"), _svg("a", "8&#160;conns", "c")
    assert describe_difference(before, after) == ["-7 conns", "+8 conns"]
    styled = before.replace('"r"', '"s"')
    assert describe_difference(before, styled)[0] == "the text is the same, the style is not:"
