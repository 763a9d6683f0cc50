"""Styles of the parts of a widget that draws its own lines."""

from __future__ import annotations

from rich.style import Style
from textual.color import Color
from textual.widget import Widget


def component_style(widget: Widget, name: str, ground: Style) -> Style:
    """Return the style of a component, to be added to `ground`.

    A translucent background is blended with that of `ground`: Rich knows no alpha. A reversed
    component in colors by name keeps the background of `ground`: else it may be a color on itself.
    """
    style = widget.get_component_rich_style(name, partial=True)
    background = widget.get_component_styles(name).background
    if style.bgcolor is None or ground.bgcolor is None:
        return style
    if background.ansi is not None:
        return style + Style(bgcolor=ground.bgcolor) if style.reverse else style
    if background.a < 1:
        blended = Color.from_rich_color(ground.bgcolor).blend(background, background.a, alpha=1)
        return style + Style(bgcolor=blended.rich_color)
    return style


class ComponentStyles:
    """Styles of the components of a widget on its own ground, until `clear`."""

    def __init__(self, widget: Widget, prefix: str) -> None:
        self._widget = widget
        self._prefix = prefix
        self._styles: dict[tuple[str, Style | None], Style] = {}

    def clear(self) -> None:
        """Read the styles again, after a change of theme or place."""
        self._styles.clear()

    def get(self, name: str = "", ground: Style | None = None) -> Style:
        """Return the style of a component over a ground; of the widget for an empty name."""
        style = self._styles.get((name, ground))
        if style is None:
            if name:
                style = ground if ground is not None else self.get()
                component = f"{self._prefix}--{name}"
                style += self._widget.get_component_rich_style(component, partial=True)
            else:
                style = self._widget.rich_style
            self._styles[name, ground] = style
        return style
