"""Themes are complete and readable: contrasts of WCAG 2.2 (1.4.3, 1.4.11)."""

from __future__ import annotations

import itertools

import pytest
from textual.app import ComposeResult
from textual.color import Color
from textual.theme import Theme
from textual.widgets import Footer, Label

from tui_forward.tui import themes
from tui_forward.tui.themes import DEFAULT, THEMES, ThemedApp

GROUNDS = ("background", "surface", "panel")
TEXT = 4.5
GRAPHIC = 3.0
STATES = ("success", "warning", "error")


def luminance(color: Color) -> float:
    def linear(channel: int) -> float:
        part = channel / 255
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    return 0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)


def contrast(one: Color, other: Color) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


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


each = pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)


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
    assert (luminance(Color.parse(theme.background or "")) < 0.1) is theme.dark


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
        for theme in THEMES:
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


async def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Bare()
    async with app.run_test():
        assert app.no_color
        assert "words" in "".join(
            segment.text for strip in app.screen._compositor.render_strips() for segment in strip
        )
