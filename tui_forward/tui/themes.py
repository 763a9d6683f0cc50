"""Themes of the dashboard: dark, light, high contrast, and warm dark.

Every state also has a symbol and a word, so that nothing is lost with `NO_COLOR`.
`tests/tui/test_themes.py` checks the contrasts.
"""

from __future__ import annotations

from typing import Final, TypeVar

from textual.theme import BUILTIN_THEMES, Theme

from tui_forward.settings.parser import DEFAULT_THEME
from tui_forward.tui.textual_internals import CrashCapturingApp, preset_theme

T = TypeVar("T")

DEFAULT: Final = DEFAULT_THEME
# The light counterpart of the default theme.
TWIN: Final = "forward-light"

DARK: Final = Theme(
    name=DEFAULT,
    dark=True,
    primary="#7ab3ef",
    secondary="#8fa8c9",
    accent="#e8bd74",
    success="#74c991",
    warning="#e9b55f",
    error="#ee7d7d",
    foreground="#d5dce6",
    background="#12161d",
    surface="#191f29",
    panel="#212936",
    variables={
        "text-muted": "#98a5b8",
        "block-cursor-background": "#3068a2",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#26344a",
        "block-cursor-blurred-foreground": "#e6ecf4",
        "block-hover-background": "#1f2835",
        "border": "#7ab3ef",
        "border-blurred": "#3c4a5f",
        "surface-lighten-2": "#3c4a5f",
        "scrollbar": "#3c4a5f",
        "scrollbar-hover": "#52647f",
        "scrollbar-active": "#7ab3ef",
        "scrollbar-background": "#12161d",
        "footer-background": "#191f29",
        "footer-foreground": "#b8c3d3",
        "footer-key-foreground": "#e8bd74",
        "footer-description-foreground": "#b8c3d3",
        "input-selection-background": "#3068a2",
        "input-selection-foreground": "#ffffff",
        "button-color-foreground": "#0c1016",
    },
)

LIGHT: Final = Theme(
    name=TWIN,
    dark=False,
    primary="#1c62ad",
    secondary="#46648a",
    accent="#8a4a00",
    success="#17703a",
    warning="#8a5600",
    error="#b3262a",
    foreground="#1f2a37",
    background="#f8f9fb",
    surface="#eff2f6",
    panel="#e4e9f0",
    variables={
        "text-muted": "#526073",
        "block-cursor-background": "#1c62ad",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#d3e0f0",
        "block-cursor-blurred-foreground": "#1f2a37",
        "block-hover-background": "#e6ecf4",
        "border": "#1c62ad",
        "border-blurred": "#b4bfce",
        # Textual draws lines with it: "lighten" means away from the background.
        "surface-lighten-2": "#b4bfce",
        "scrollbar": "#b4bfce",
        "scrollbar-hover": "#8f9db1",
        "scrollbar-active": "#1c62ad",
        "scrollbar-background": "#f8f9fb",
        "footer-background": "#e4e9f0",
        "footer-foreground": "#334155",
        "footer-key-foreground": "#8a4a00",
        "footer-description-foreground": "#334155",
        "input-selection-background": "#1c62ad",
        "input-selection-foreground": "#ffffff",
        "button-color-foreground": "#ffffff",
    },
)

CONTRAST: Final = Theme(
    name="forward-contrast",
    dark=True,
    primary="#66ccff",
    secondary="#c2dcff",
    accent="#ffe14d",
    success="#5cff8f",
    warning="#ffd24d",
    error="#ff9090",
    foreground="#ffffff",
    background="#000000",
    surface="#0b0b0b",
    panel="#1a1a1a",
    text_alpha=1.0,
    variables={
        "text": "auto 100%",
        "text-muted": "#d4d4d4",
        "text-disabled": "#a8a8a8",
        "block-cursor-background": "#ffe14d",
        "block-cursor-foreground": "#000000",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#3d3d3d",
        "block-cursor-blurred-foreground": "#ffffff",
        "block-cursor-blurred-text-style": "bold",
        "block-hover-background": "#2a2a2a",
        "border": "#66ccff",
        "border-blurred": "#9a9a9a",
        "surface-lighten-2": "#9a9a9a",
        "scrollbar": "#9a9a9a",
        "scrollbar-hover": "#ffffff",
        "scrollbar-active": "#ffe14d",
        "scrollbar-background": "#000000",
        "footer-background": "#1a1a1a",
        "footer-foreground": "#ffffff",
        "footer-key-foreground": "#ffe14d",
        "footer-description-foreground": "#ffffff",
        "input-selection-background": "#ffe14d",
        "input-selection-foreground": "#000000",
        "button-color-foreground": "#000000",
    },
)

EMBER: Final = Theme(
    name="forward-ember",
    dark=True,
    primary="#eda268",
    secondary="#c99a7c",
    accent="#e6c26a",
    success="#a9c77a",
    warning="#f0c35f",
    error="#f08672",
    foreground="#eaded2",
    background="#1a1411",
    surface="#231b17",
    panel="#2e241e",
    variables={
        "text-muted": "#b5a294",
        "block-cursor-background": "#94572a",
        "block-cursor-foreground": "#fffaf4",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#43301f",
        "block-cursor-blurred-foreground": "#f5ebe0",
        "block-hover-background": "#2b211b",
        "border": "#eda268",
        "border-blurred": "#56453a",
        "surface-lighten-2": "#56453a",
        "scrollbar": "#56453a",
        "scrollbar-hover": "#735d4f",
        "scrollbar-active": "#eda268",
        "scrollbar-background": "#1a1411",
        "footer-background": "#231b17",
        "footer-foreground": "#d0c0b2",
        "footer-key-foreground": "#e6c26a",
        "footer-description-foreground": "#d0c0b2",
        "input-selection-background": "#94572a",
        "input-selection-foreground": "#fffaf4",
        "button-color-foreground": "#1a1411",
    },
)

THEMES: Final[tuple[Theme, ...]] = (DARK, LIGHT, CONTRAST, EMBER)
_OWN_THEMES: Final = {theme.name: theme for theme in THEMES}


class ThemedApp(CrashCapturingApp[T]):
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
