"""The pictures of the dashboard are up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from screenshots.animation import animate
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


def _frame(number: int, *lines: str, height: int = 100) -> str:
    """Return a picture as Textual writes it, as far as it matters."""
    texts = "".join(
        f'<text class="terminal-{number}-r{place + 1}" y="{place}">{line}</text>'
        for place, line in enumerate(lines)
    )
    rules = "\n".join(
        f".terminal-{number}-r{place + 1} {{ fill: #{line} }}" for place, line in enumerate(lines)
    )
    return (
        f'<svg viewBox="0 0 9 {height}"><style>{rules}</style><g transform="translate(9, 41)" '
        f'clip-path="url(#terminal-{number}-clip-terminal)">'
        f'<rect x="0" width="0"/><rect x="0" width="9"/>{texts}</g></svg>'
    )


def test_frames_share_what_they_have_in_common() -> None:
    svg = animate([_frame(7, "aaa", "bbb"), _frame(8, "aaa", "ccc")], [1.0, 3.0])
    assert svg.count(">aaa<") == 1
    assert svg.count('width="9"') == 1
    assert 'width="0"' not in svg
    assert '<g class="f0"><text class="s1" y="1">bbb</text></g>' in svg
    assert '<g class="f1"><text class="s2" y="1">ccc</text></g>' in svg
    # Without animations, the last frame is shown.
    assert ".f0 { visibility: hidden }" in svg
    assert ".f1 { visibility: visible }" in svg
    assert "@keyframes f0 { 0% { visibility: visible } 25% { visibility: hidden } }" in svg
    assert ".f1 { animation: f1 4s step-end infinite }" in svg
    assert svg.endswith("</svg>\n")


def test_frames_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        animate([_frame(7, "a"), _frame(8, "a", height=200)], [1.0, 1.0])
