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
