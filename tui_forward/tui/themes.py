"""Themes of the dashboard: dark, light, high contrast, warm dark, and one of 8 colors.

Every state also has a symbol and a word, so that nothing is lost with `NO_COLOR`.
`tests/tui/test_themes.py` checks the contrasts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, TypeVar

from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from tui_forward.settings.parser import DEFAULT_THEME
from tui_forward.tui.plain_text import PlainTextApp
from tui_forward.tui.textual_internals.apps import (
    FewNotificationsApp,
    ScreenStylesApp,
    preset_theme,
)
from tui_forward.tui.textual_internals.input_priority import InputFirstApp
from tui_forward.tui.textual_internals.terminal import CrashCapturingApp

T = TypeVar("T")

DEFAULT: Final = DEFAULT_THEME
# The light counterpart of the default theme.
TWIN: Final = "forward-light"


def _theme(
    name: str, *, primary: str, secondary: str, accent: str, success: str, warning: str, error: str,
    foreground: str, background: str, surface: str, panel: str, muted: str,
    cursor: tuple[str, str], blurred_cursor: tuple[str, str], hover: str, line: str,
    scrollbar_hover: str, footer: tuple[str, str], button: str, protected: str, dark: bool = True,
) -> Theme:  # fmt: skip
    """Return a theme; pairs are the background and the foreground."""
    return Theme(
        name, primary, secondary, warning, error, success, accent, foreground, background, surface,
        panel, dark=dark,
        variables={
            "text-muted": muted,
            "block-cursor-background": cursor[0],
            "block-cursor-foreground": cursor[1],
            "block-cursor-text-style": "bold",
            "block-cursor-blurred-background": blurred_cursor[0],
            "block-cursor-blurred-foreground": blurred_cursor[1],
            "block-hover-background": hover,
            "border": primary,
            "border-blurred": line,
            # Textual draws lines with it: "lighten" means away from the background.
            "surface-lighten-2": line,
            "scrollbar": line,
            "scrollbar-hover": scrollbar_hover,
            "scrollbar-active": primary,
            "scrollbar-background": background,
            "footer-background": footer[0],
            "footer-foreground": footer[1],
            "footer-key-foreground": accent,
            "footer-description-foreground": footer[1],
            "input-selection-background": cursor[0],
            "input-selection-foreground": cursor[1],
            "button-color-foreground": button,
            "protected": protected,
        },
    )  # fmt: skip


DARK: Final = _theme(
    DEFAULT,
    primary="#7ab3ef", secondary="#8fa8c9", accent="#e8bd74", success="#74c991",
    warning="#e9b55f", error="#ee7d7d", foreground="#d5dce6", background="#12161d",
    surface="#191f29", panel="#212936", muted="#98a5b8", cursor=("#3068a2", "#ffffff"),
    blurred_cursor=("#26344a", "#e6ecf4"), hover="#1f2835", line="#3c4a5f",
    scrollbar_hover="#52647f", footer=("#191f29", "#b8c3d3"), button="#0c1016",
    protected="#d787d7",
)  # fmt: skip
LIGHT: Final = _theme(
    TWIN, dark=False,
    primary="#1c62ad", secondary="#46648a", accent="#8a4a00", success="#17703a",
    warning="#8a5600", error="#b3262a", foreground="#1f2a37", background="#f8f9fb",
    surface="#eff2f6", panel="#e4e9f0", muted="#526073", cursor=("#1c62ad", "#ffffff"),
    blurred_cursor=("#d3e0f0", "#1f2a37"), hover="#e6ecf4", line="#b4bfce",
    scrollbar_hover="#8f9db1", footer=("#e4e9f0", "#334155"), button="#ffffff",
    protected="#8f1d8f",
)  # fmt: skip
CONTRAST: Final = _theme(
    "forward-contrast",
    primary="#66ccff", secondary="#c2dcff", accent="#ffe14d", success="#5cff8f",
    warning="#ffd24d", error="#ff9090", foreground="#ffffff", background="#000000",
    surface="#0b0b0b", panel="#1a1a1a", muted="#d4d4d4", cursor=("#ffe14d", "#000000"),
    blurred_cursor=("#3d3d3d", "#ffffff"), hover="#2a2a2a", line="#9a9a9a",
    scrollbar_hover="#ffffff", footer=("#1a1a1a", "#ffffff"), button="#000000",
    protected="#ff9dff",
)  # fmt: skip
CONTRAST.text_alpha = 1.0
CONTRAST.variables |= {
    "text": "auto 100%", "text-disabled": "#a8a8a8", "scrollbar-active": "#ffe14d",
    "block-cursor-blurred-text-style": "bold",
}  # fmt: skip
EMBER: Final = _theme(
    "forward-ember",
    primary="#eda268", secondary="#c99a7c", accent="#e6c26a", success="#a9c77a",
    warning="#f0c35f", error="#f08672", foreground="#eaded2", background="#1a1411",
    surface="#231b17", panel="#2e241e", muted="#b5a294", cursor=("#94572a", "#fffaf4"),
    blurred_cursor=("#43301f", "#f5ebe0"), hover="#2b211b", line="#56453a",
    scrollbar_hover="#735d4f", footer=("#231b17", "#d0c0b2"), button="#1a1411",
    protected="#e09adf",
)  # fmt: skip

# Only colors by name, as the terminal has set them: for 8 or 16 colors, and without color. Muted
# text is dim, a cursor reversed. Bright names would be other colors on a terminal with 8.
ANSI: Final = Theme(
    "forward-ansi", ansi=True,
    primary="ansi_blue", secondary="ansi_cyan", accent="ansi_yellow", success="ansi_green",
    warning="ansi_yellow", error="ansi_red", foreground="ansi_default",
    background="ansi_default", surface="ansi_default", panel="ansi_default",
    boost="ansi_default", dark=True,
    variables={
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "text-muted": "ansi_default",
        "text-disabled": "ansi_default",
        "protected": "ansi_magenta",
        "muted-style": "dim",
        "bad-style": "bold",
        "broken-style": "reverse",
        "cursor-away-style": "bold",
        "block-cursor-background": "ansi_default",
        "block-cursor-foreground": "ansi_default",
        "block-cursor-text-style": "reverse",
        "block-cursor-blurred-background": "ansi_default",
        "block-cursor-blurred-foreground": "ansi_default",
        "block-cursor-blurred-text-style": "bold",
        "block-hover-background": "ansi_default",
        "border": "ansi_blue",
        "border-blurred": "ansi_default",
        "surface-lighten-2": "ansi_default",
        "scrollbar": "ansi_blue",
        "scrollbar-hover": "ansi_blue",
        "scrollbar-active": "ansi_cyan",
        "scrollbar-background": "ansi_default",
        "footer-background": "ansi_default",
        "footer-foreground": "ansi_default",
        "footer-key-foreground": "ansi_yellow",
        "footer-description-foreground": "ansi_default",
        "input-selection-background": "ansi_cyan",
        "input-selection-foreground": "ansi_black",
        "input-cursor-text-style": "reverse",
        "button-color-foreground": "ansi_default",
    },
)  # fmt: skip

THEMES: Final[tuple[Theme, ...]] = (DARK, LIGHT, CONTRAST, EMBER, ANSI)
_OWN_THEMES: Final = {theme.name: theme for theme in THEMES}
# Of variables that Textual's themes do not have.
_VARIABLES: Final = {
    "muted-style": "none",
    "bad-style": "none",
    "broken-style": "none",
    "cursor-away-style": "none",
}
_PROTECTED_ON_DARK, _PROTECTED_ON_LIGHT = "#d787d7", "#8f1d8f"


MIN_CONTRAST: Final = 4.5  # of text


def contrast(one: Color, other: Color) -> float:
    """Return the contrast ratio of two opaque colors, 1 to 21 (WCAG 2.2, 1.4.3)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: Color) -> float:
    def linear(channel: int) -> float:
        part = channel / 255
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    return 0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)


class ThemedApp(
    PlainTextApp[T], InputFirstApp[T], FewNotificationsApp[T], CrashCapturingApp[T],
    ScreenStylesApp[T],
):  # fmt: skip
    """App with these themes from the first frame; an unknown name gives the default one.

    With `few_colors`, or `NO_COLOR`, a theme of the settings is replaced by `ANSI`: its colors
    would become other ones, mostly gray.
    """

    def __init__(self, theme: str = DEFAULT, *, few_colors: bool = False) -> None:
        self._current: Theme | None = None
        self._few_colors = few_colors or "NO_COLOR" in os.environ
        available = {**BUILTIN_THEMES, **_OWN_THEMES}
        self._used_theme = self._usable(theme if theme in available else DEFAULT, available)
        preset_theme(self, self._used_theme)
        super().__init__()

    def _usable(self, name: str, available: Mapping[str, Theme]) -> str:
        return name if available[name].ansi or not self._few_colors else ANSI.name

    def use_theme(self, name: str) -> None:
        """Apply a theme of the settings; an unknown one changes nothing."""
        available = self.available_themes
        if name in available:
            self._used_theme = self.theme = self._usable(name, available)

    def chosen_theme(self) -> str | None:
        """Return the theme that was set since, by other means than `use_theme`; once."""
        if self.theme == self._used_theme:
            return None
        self._used_theme = self.theme
        return self._used_theme

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return variables of the style sheets for themes without them."""
        dark = self.current_theme.dark
        return _VARIABLES | {"protected": _PROTECTED_ON_DARK if dark else _PROTECTED_ON_LIGHT}

    @property
    def current_theme(self) -> Theme:
        """The theme, which Textual asks for with each line that it draws."""
        if self._current is None or self._current.name != self.theme:
            self._current = super().current_theme
        return self._current

    @property
    def available_themes(self) -> dict[str, Theme]:
        """Textual's themes and those of this module."""
        return {**super().available_themes, **_OWN_THEMES}

    @property
    def theme_names(self) -> tuple[str, ...]:
        """Names of all themes: those of this module first, then Textual's by name."""
        return (*_OWN_THEMES, *sorted(self.available_themes.keys() - _OWN_THEMES.keys()))

    def theme_error(self, name: str) -> str:
        """Return what is wrong with a name from the settings; empty for a known theme."""
        if name in self.available_themes:
            return ""
        return f"there is no theme {name!r}; choose one of {', '.join(self.theme_names)}"
