"""Text of any origin is data: no module of the dashboard passes it where markup is read."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache

import pytest
from rich.segment import Segment
from textual.app import ComposeResult
from textual.color import Color
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

import tui_forward.tui
from tests.common.test_printable import HOSTILE
from tui_forward.tui import plain_text
from tui_forward.tui.plain_text import PlainText, PlainTextApp, plain

MODULES = [
    module.name
    for module in pkgutil.walk_packages(tui_forward.tui.__path__, "tui_forward.tui.")
    if module.name != plain_text.__name__
]
# Attributes and arguments of Textual whose strings are markup, and functions that parse it.
MARKUP_ATTRIBUTES = {"border_title", "border_subtitle", "tooltip", "label"}
MARKUP_WIDGETS = {
    "Button",
    "CheckBox",
    "Checkbox",
    "RadioButton",
    "Option",
    "Select",
    "Collapsible",
    "Tab",
    "TabPane",
    "DataTable",
    "Tree",
    "OptionList",
    "SelectionList",
    "ListItem",
    "Link",
    "Markdown",
    "Log",
    "RichLog",
    "Digits",
    "Pretty",
    "Header",
    "Footer",
    "Tooltip",
    "Toast",
}
FORBIDDEN_WIDGETS = {"Static", "Label", "Markdown", "MarkdownViewer", "RichLog", "Tooltip"}
PARSERS = {"from_markup", "from_text", "render_str", "to_content", "from_ansi"}
MAKERS = {"plain", "styled", "Content"}  # of content without markup


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(module)))


def is_data(node: ast.expr) -> bool:
    """Return whether an expression is a literal, or content without markup."""
    match node:
        case ast.Constant():
            return True
        case ast.IfExp(body=body, orelse=other):
            return is_data(body) and is_data(other)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in MAKERS
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return all(map(is_data, elements))
    return False


def problems(module: str) -> Iterator[str]:
    for node in ast.walk(tree(module)):
        match node:
            case ast.ImportFrom(module="textual.widgets", names=names):
                for one in names:
                    if one.name in FORBIDDEN_WIDGETS:
                        yield f"{node.lineno}: {one.name}: use PlainText"
            case ast.Assign(targets=[ast.Attribute(attr=attribute)], value=value):
                if attribute in MARKUP_ATTRIBUTES and not is_data(value):
                    is_content = isinstance(value, ast.Name) and value.id == "content"
                    if not is_content:
                        yield f"{node.lineno}: {attribute} is not plain(...)"
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in MARKUP_WIDGETS:
                if not is_data(first) and name != "Select":
                    yield f"{node.lineno}: the text of {name} is not plain(...)"
            case ast.Call(func=ast.Attribute(attr=name)) if name in PARSERS:
                yield f"{node.lineno}: {name} parses markup"
            case ast.keyword(arg="markup", value=ast.Constant(value=True)):
                yield f"{node.value.lineno}: markup=True"
            case ast.FunctionDef(name="render", returns=returns):
                if isinstance(returns, ast.Name) and returns.id == "str":
                    yield f"{node.lineno}: render returns markup"


@pytest.mark.parametrize("module", MODULES)
def test_no_text_that_is_not_a_literal_is_markup(module: str) -> None:
    assert not list(problems(module))


@pytest.mark.parametrize(
    "code",
    [
        "from textual.widgets import Static", "box.border_title = name", "w.tooltip = f'{name}'",
        "Button(name)", "Content.from_markup(name)", "self.render_str(name)",
        "Checkbox(f'follow {owner}')", "w.border_subtitle = a + b", "notify(a, markup=True)",
        "def render(self) -> str: ...",
    ],
)  # fmt: skip
def test_the_check_finds_markup(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.tree", lambda _: ast.parse(code))
    assert list(problems(""))


MARKUP = ["[/nope]", "[@click=app.quit]x[/]", "[red]", "[[", "]", "\\[", "[$x]", "[link='y']z[/]"]


@pytest.mark.parametrize("text", MARKUP)
def test_markup_is_text(text: str) -> None:
    assert plain(text).plain == text
    assert not plain(text).spans


def test_unprintable_characters_are_shown_as_escapes() -> None:
    assert plain("a\x1b[2J\n\u202eb").plain == "a\\x1b[2J\n\\u202eb"
    assert plain(HOSTILE).plain.replace("\n", "").isprintable()
    long = plain("x" * 10_000_000).plain
    assert len(long) < 1_000_000
    assert long.endswith("…")


class Hostile(Widget):
    """Widget that draws text without asking anyone."""

    def render_line(self, y: int) -> Strip:
        text = f"{y} {HOSTILE}漢"
        return Strip([Segment(text)]).adjust_cell_length(self.size.width)


class Screen(PlainTextApp[None]):
    def compose(self) -> ComposeResult:
        yield PlainText("".join(MARKUP))
        yield PlainText(HOSTILE)
        yield Input(HOSTILE, placeholder=HOSTILE)
        yield Hostile()

    def on_mount(self) -> None:
        for text in (HOSTILE, *MARKUP, "y" * 10_000):
            self.notify(text, title=text)


async def test_nothing_unprintable_reaches_the_terminal() -> None:
    app = Screen()
    async with app.run_test(size=(80, 30), notifications=True) as pilot:
        await pilot.pause()
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
        lines = ["".join(segment.text for segment in strip) for strip in strips]
        assert all(line.isprintable() for line in lines)
        assert {strip.cell_length for strip in strips} == {80}
        assert "[/nope][@click=app.quit]x[/]" in "".join(lines)


def test_filter_keeps_the_width() -> None:
    before = Strip([Segment("a\x1b漢\u202e" + HOSTILE), Segment("plain")])
    after = before.apply_filter(Screen().get_line_filters()[-1], Color(0, 0, 0))
    text = "".join(segment.text for segment in after)
    assert text.isprintable()
    assert Strip([Segment(text)]).cell_length == before.cell_length
