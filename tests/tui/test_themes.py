"""Themes are complete and readable: contrasts of WCAG 2.2 (1.4.3, 1.4.11)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from rich.color import Color as RichColor
from rich.color import ColorType
from rich.segment import Segment
from textual.app import ComposeResult
from textual.color import Color
from textual.theme import Theme
from textual.widgets import Footer, Label

from tui_forward.tui import themes
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals.terminal import has_few_colors
from tui_forward.tui.themes import ANSI, DEFAULT, THEMES, ThemedApp, contrast
from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.viewmodel.rows import Cell, Row
from tui_forward.tui.widgets.row_table import RowTable

GROUNDS = ("background", "surface", "panel")
TEXT = 4.5
GRAPHIC = 3.0
STATES = ("success", "warning", "error")


def variables(theme: Theme) -> dict[str, str]:
    """Return variables like `App.get_css_variables`."""
    return {**theme.to_color_system().generate(), **theme.variables}


def on(theme: Theme, text: str, ground: str) -> float:
    """Return the contrast of one variable on another, both over the background."""
    known = variables(theme)
    base = Color.parse(known["background"])
    under = base + Color.parse(known[ground])
    value = known[text]
    if value.startswith("auto"):
        alpha = float(value.removeprefix("auto").strip(" %") or 100) / 100
        over = under + under.get_contrast_text(alpha)
    else:
        over = under + Color.parse(value)
    return contrast(over, under)


COLORED = [theme for theme in THEMES if not theme.ansi]
each = pytest.mark.parametrize("theme", COLORED, ids=lambda theme: theme.name)


def test_contrast_follows_wcag() -> None:
    assert contrast(Color.parse("#000"), Color.parse("#fff")) == pytest.approx(21)
    assert contrast(Color.parse("#777"), Color.parse("#fff")) == pytest.approx(4.48, abs=0.01)


def test_low_contrast_is_detected() -> None:
    bad = Theme(name="bad", primary="#333333", background="#222222", foreground="#555555")
    assert on(bad, "foreground", "background") < TEXT


@each
@pytest.mark.parametrize("ground", [*GROUNDS, "block-hover-background"])
@pytest.mark.parametrize("text", ["foreground", "text", "text-muted"])
def test_text_is_readable(theme: Theme, text: str, ground: str) -> None:
    assert on(theme, text, ground) >= TEXT


@each
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("state", STATES)
def test_states_stand_out(theme: Theme, state: str, ground: str) -> None:
    assert on(theme, state, ground) >= GRAPHIC
    assert on(theme, f"text-{state}", ground) >= TEXT  # states are also words


@each
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("name", ["primary", "secondary", "accent"])
def test_accents_have_graphic_contrast(theme: Theme, name: str, ground: str) -> None:
    assert on(theme, name, ground) >= GRAPHIC
    assert on(theme, f"text-{name}", ground) >= TEXT


@each
def test_cursor_is_visible_and_readable(theme: Theme) -> None:
    assert on(theme, "block-cursor-foreground", "block-cursor-background") >= TEXT
    blurred = "block-cursor-blurred-background"
    assert on(theme, "block-cursor-blurred-foreground", blurred) >= TEXT
    assert on(theme, "text-muted", blurred) >= TEXT  # the palette shows its help there
    assert on(theme, "block-cursor-background", "background") >= GRAPHIC
    assert on(theme, "input-selection-foreground", "input-selection-background") >= TEXT
    assert on(theme, "input-cursor-foreground", "input-cursor-background") >= TEXT


@each
def test_footer_is_readable(theme: Theme) -> None:
    for text in (
        "footer-foreground", "footer-key-foreground", "footer-description-foreground",
    ):  # fmt: skip
        assert on(theme, text, "footer-background") >= TEXT


@each
def test_text_on_colors_is_readable(theme: Theme) -> None:
    for ground in ("primary", *STATES):
        assert on(theme, "text", ground) >= TEXT
        assert on(theme, "button-color-foreground", ground) >= TEXT


@each
def test_borders_are_visible(theme: Theme) -> None:
    assert on(theme, "border", "background") >= GRAPHIC
    # Unfocused panes keep a faint line.
    assert on(theme, "border-blurred", "background") >= 1.5
    assert on(theme, "surface-lighten-2", "background") >= 1.5
    assert on(theme, "scrollbar", "scrollbar-background") >= 1.5


def test_high_contrast_theme_reaches_aaa() -> None:
    for text, ground in itertools.product(
        ("foreground", "text", "text-muted", *(f"text-{state}" for state in STATES)), GROUNDS
    ):
        assert on(themes.CONTRAST, text, ground) >= 7
    assert on(themes.CONTRAST, "block-cursor-foreground", "block-cursor-background") >= 7
    assert on(themes.CONTRAST, "border-blurred", "background") >= GRAPHIC


@each
def test_every_color_is_set(theme: Theme) -> None:
    for name in (
        "primary", "secondary", "accent", "success", "warning", "error",
        "foreground", "background", "surface", "panel",
    ):  # fmt: skip
        assert getattr(theme, name), name
    for name in (
        "block-cursor-background", "block-cursor-foreground", "block-cursor-text-style",
        "footer-background", "footer-key-foreground", "footer-description-foreground",
    ):  # fmt: skip
        assert name in theme.variables


@each
def test_dark_flag_matches_the_background(theme: Theme) -> None:
    background = Color.parse(theme.background or "")
    white, black = Color.parse("#fff"), Color.parse("#000")
    assert (contrast(background, white) > contrast(background, black)) is theme.dark


@each
@pytest.mark.parametrize("ground", GROUNDS)
def test_protected_contexts_stand_out(theme: Theme, ground: str) -> None:
    assert on(theme, "protected", ground) >= TEXT
    others = ("success", "warning", "error", "primary", "secondary", "text-muted")
    assert theme.variables["protected"] not in {variables(theme)[one] for one in others}


class Bare(ThemedApp[None]):
    def compose(self) -> ComposeResult:
        yield Label("words")
        yield Footer()


@each
async def test_theme_applies_from_the_first_frame(theme: Theme) -> None:
    app = Bare(theme.name)
    async with app.run_test():
        assert app.current_theme is theme
        assert app.screen.styles.background == Color.parse(theme.background or "")


async def test_theme_can_be_changed() -> None:
    app = Bare()
    async with app.run_test() as pilot:
        for theme in COLORED:
            app.theme = theme.name
            await pilot.pause()
            assert app.current_theme is theme
            assert app.screen.styles.background == Color.parse(theme.background or "")


def test_own_themes_come_first() -> None:
    app = Bare()
    known = app.theme_names
    assert known[: len(THEMES)] == tuple(theme.name for theme in THEMES)
    assert "textual-dark" in known
    assert len(set(known)) == len(known) == len(app.available_themes)


def test_unknown_theme_is_reported_and_replaced() -> None:
    app = Bare("nope")
    assert app.theme == DEFAULT
    assert "there is no theme 'nope'" in app.theme_error("nope")
    assert not app.theme_error("textual-light")
    assert Bare("textual-light").theme == "textual-light"


STYLES = ("ok", "warn", "bad", "dim", "strong", "protected", "broken", "match")


class Table(ThemedApp[None]):
    """A table of a row in each style, with the cursor on the first."""

    CSS_PATH = stylesheet("app.tcss")

    def compose(self) -> ComposeResult:
        table = RowTable((Column("name", 20), Column("state", 20)), empty="", id="table")
        table.styles.height = 12
        yield table

    def on_mount(self) -> None:
        table = self.query_one(RowTable)
        table.show(STYLES, lambda key: Row((Cell(key, key), Cell("plain"))))
        table.focus()

    def segments(self) -> list[Segment]:
        """Return what is written to the terminal, after Textual's filters."""
        return [segment for strip in self.screen._compositor.render_strips() for segment in strip]


@each
async def test_text_on_the_cursor_is_readable_in_every_state(theme: Theme) -> None:
    app = Table(theme.name)
    async with app.run_test(size=(60, 16)) as pilot:
        cursor = Color.parse(variables(theme)["block-cursor-background"])
        for name in STYLES:
            await pilot.pause()
            shown = [
                segment
                for segment in app.segments()
                if segment.style is not None
                and segment.style.bgcolor is not None
                and Color.from_rich_color(segment.style.bgcolor) == cursor
            ]
            assert any(name in segment.text for segment in shown)
            for segment in shown:
                assert segment.style is not None
                assert segment.style.color is not None
                assert contrast(Color.from_rich_color(segment.style.color), cursor) >= TEXT
            await pilot.press("down")


def is_without_rgb(color: RichColor | None) -> bool:
    return color is None or color.type in (ColorType.DEFAULT, ColorType.STANDARD)


async def shown(**options: Any) -> tuple[str, list[Segment]]:
    app = Table(**options)
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        segments = app.segments()
        return "".join(segment.text for segment in segments), segments


@pytest.mark.parametrize("no_color", [False, True])
async def test_few_colors_show_the_same_text_without_rgb(
    monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    colored, _ = await shown()
    if no_color:
        monkeypatch.setenv("NO_COLOR", "")
    text, segments = await shown(few_colors=not no_color)
    assert text == colored
    styles = {segment.text.strip(): segment.style for segment in segments if segment.style}
    for style in styles.values():
        assert is_without_rgb(style.color)
        assert is_without_rgb(style.bgcolor)
        if no_color:
            assert style.color is None or style.color.is_default
            assert style.bgcolor is None or style.bgcolor.is_default
    assert styles["ok"].reverse, "the cursor"
    assert styles["bad"].bold
    assert styles["dim"].dim
    assert styles["broken"].reverse
    assert styles["match"].underline


@pytest.mark.parametrize(
    ("environ", "few"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "linux"}, True),
        ({"TERM": "screen"}, True),
        ({"TERM": "dumb"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True),
        ({"TERM": "xterm-256color"}, False),
        ({"TERM": "tmux-256color", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, False),
        ({"TERM": "xterm-kitty"}, False),
    ],
)
def test_terminals_with_few_colors(environ: dict[str, str], few: bool) -> None:
    assert has_few_colors(environ) is few


async def test_a_theme_of_many_colors_is_not_used_with_few() -> None:
    app = Bare("forward-light", few_colors=True)
    async with app.run_test():
        assert app.current_theme is ANSI
        app.use_theme("forward-ember")
        assert app.current_theme is ANSI
        assert app.chosen_theme() is None
        app.use_theme("no-such")
        app.use_theme("ansi-light")
        assert app.theme == "ansi-light"
        # Unless the user chooses it here.
        app.theme = "forward-ember"
        assert app.chosen_theme() == "forward-ember"
        assert app.chosen_theme() is None
