"""Themes of the dashboard: dark, light, high contrast, and warm dark.

Every state also has a symbol and a word, so that nothing is lost with `NO_COLOR`.
`tests/tui/test_themes.py` checks the contrasts.
"""

from __future__ import annotations

from typing import Final, TypeVar

from textual.theme import BUILTIN_THEMES, Theme

from tui_forward.settings.parser import DEFAULT_THEME
from tui_forward.tui.plain_text import PlainTextApp
from tui_forward.tui.textual_internals import CrashCapturingApp, preset_theme

T = TypeVar("T")

DEFAULT: Final = DEFAULT_THEME
# The light counterpart of the default theme.
TWIN: Final = "forward-light"


def _theme(
    name: str, *, primary: str, secondary: str, accent: str, success: str, warning: str, error: str,
    foreground: str, background: str, surface: str, panel: str, muted: str,
    cursor: tuple[str, str], blurred_cursor: tuple[str, str], hover: str, line: str,
    scrollbar_hover: str, footer: tuple[str, str], button: str, dark: bool = True,
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
        },
    )  # fmt: skip


DARK: Final = _theme(
    DEFAULT,
    primary="#7ab3ef", secondary="#8fa8c9", accent="#e8bd74", success="#74c991",
    warning="#e9b55f", error="#ee7d7d", foreground="#d5dce6", background="#12161d",
    surface="#191f29", panel="#212936", muted="#98a5b8", cursor=("#3068a2", "#ffffff"),
    blurred_cursor=("#26344a", "#e6ecf4"), hover="#1f2835", line="#3c4a5f",
    scrollbar_hover="#52647f", footer=("#191f29", "#b8c3d3"), button="#0c1016",
)  # fmt: skip
LIGHT: Final = _theme(
    TWIN, dark=False,
    primary="#1c62ad", secondary="#46648a", accent="#8a4a00", success="#17703a",
    warning="#8a5600", error="#b3262a", foreground="#1f2a37", background="#f8f9fb",
    surface="#eff2f6", panel="#e4e9f0", muted="#526073", cursor=("#1c62ad", "#ffffff"),
    blurred_cursor=("#d3e0f0", "#1f2a37"), hover="#e6ecf4", line="#b4bfce",
    scrollbar_hover="#8f9db1", footer=("#e4e9f0", "#334155"), button="#ffffff",
)  # fmt: skip
CONTRAST: Final = _theme(
    "forward-contrast",
    primary="#66ccff", secondary="#c2dcff", accent="#ffe14d", success="#5cff8f",
    warning="#ffd24d", error="#ff9090", foreground="#ffffff", background="#000000",
    surface="#0b0b0b", panel="#1a1a1a", muted="#d4d4d4", cursor=("#ffe14d", "#000000"),
    blurred_cursor=("#3d3d3d", "#ffffff"), hover="#2a2a2a", line="#9a9a9a",
    scrollbar_hover="#ffffff", footer=("#1a1a1a", "#ffffff"), button="#000000",
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
)  # fmt: skip

THEMES: Final[tuple[Theme, ...]] = (DARK, LIGHT, CONTRAST, EMBER)
_OWN_THEMES: Final = {theme.name: theme for theme in THEMES}


class ThemedApp(PlainTextApp[T], CrashCapturingApp[T]):
    """App with these themes from the first frame; an unknown name gives the default one."""

    def __init__(self, theme: str = DEFAULT) -> None:
        available = {**BUILTIN_THEMES, **_OWN_THEMES}
        preset_theme(self, theme if theme in available else DEFAULT)
        super().__init__()

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
