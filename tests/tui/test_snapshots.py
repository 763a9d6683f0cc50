"""Text snapshots of the dashboard's design scene, and the roles of its colors.

`UPDATE_SNAPSHOTS=1 pytest tests/tui/test_snapshots.py` writes them; review the difference.

Each file has the screen and below it the roles, a letter per cell: see `ROLES`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.segment import Segment
from textual.color import Color

from tests.support.fleet_app import fleet_app, settled
from tests.tui.app_harness import shows
from tui_forward.tui.app import TuiForwardApp

FOLDER = Path(__file__).parent / "snapshots"
# Sizes, and rows between the first forward and the one under the cursor.
SIZES = (((80, 24), 3), ((100, 30), 6), ((120, 36), 6), ((160, 45), 6), ((200, 60), 3))
# Variables of the theme by letter; `.` is text in the usual color, capitals are bold.
ROLES: Final = {
    "e": "text-error", "w": "text-warning", "s": "text-success", "m": "text-muted",
    "p": "protected", "d": "primary", "u": "secondary", "k": "accent", "l": "surface-lighten-2",
}  # fmt: skip
CURSOR: Final = "#"  # the cursor's row, where it replaces the color of the text


def screen(app: TuiForwardApp) -> str:
    """Return the text of the screen, and the roles of its cells."""
    strips = app.screen._compositor.render_strips()
    letters = _letters(app)
    lines = ["".join(segment.text for segment in strip).rstrip() for strip in strips]
    roles = ["".join(_roles(strip, letters)).rstrip() for strip in strips]
    return "\n".join([*lines, "", *roles]) + "\n"


def _letters(app: TuiForwardApp) -> dict[str, str]:
    variables = app.get_css_variables()
    found: dict[str, str] = {}
    for letter, name in ROLES.items():
        found.setdefault(_rgb(Color.parse(variables[name])), letter)
    found[_rgb(Color.parse(variables["block-cursor-foreground"]))] = CURSOR
    return found


def _rgb(color: Color) -> str:
    return f"{color.r},{color.g},{color.b}"


def _roles(segments: object, letters: dict[str, str]) -> Iterator[str]:
    for segment in segments:  # type: ignore[attr-defined]
        yield _role(segment, letters) * segment.cell_length


def _role(segment: Segment, letters: dict[str, str]) -> str:
    style = segment.style
    if not segment.text.strip() or style is None or style.color is None:
        return " "
    triplet = style.color.get_truecolor()
    letter = letters.get(f"{triplet.red},{triplet.green},{triplet.blue}", ".")
    if style.bold:
        return letter.upper() if letter != "." else "B"
    return letter


def check(name: str, shown: str) -> None:
    path = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(shown)
    assert path.exists(), f"{name} is new:\n{shown}"
    assert shown == path.read_text(), f"{name} has changed:\n{shown}"


async def test_screens_of_the_fleet_match_their_snapshots(tmp_path: Path) -> None:
    app = fleet_app(tmp_path)
    found: dict[str, str] = {}
    async with app.run_test(size=SIZES[0][0]) as pilot:
        await shows(app, "deploy/api-gateway", "billing-worker", "prod-eu!")
        await pilot.press("tab", "tab")
        for size, row in SIZES:
            await pilot.resize_terminal(*size)
            await pilot.press("g", *["down"] * row)
            found[f"main_{size[0]}x{size[1]}"] = await settled(app, pilot, screen)
        await pilot.resize_terminal(120, 36)
        await pilot.press("g", "down", "z")
        found["zoom"] = await settled(app, pilot, screen)
        await pilot.press("z", *["down"] * 5, "T", "z")
        found["connections"] = await settled(app, pilot, screen)
    for name, shown in found.items():
        check(name, shown)
