"""Messages reach the same handlers as with Textual's own lookup."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from typing import Any

import pytest
from textual import on
from textual.app import App, ComposeResult
from textual.message import Message
from textual.message_pump import MessagePump
from textual.widget import Widget
from textual.widgets import Button, Input

import tui_forward.tui
from tui_forward.tui.textual_internals import dispatch


@pytest.fixture(autouse=True)
def quick_dispatch() -> None:
    dispatch.dispatch_quickly()


def subclasses(of: type[Any]) -> set[type[Any]]:
    found = {of}
    for one in of.__subclasses__():
        found |= subclasses(one)
    return found


def test_handlers_of_all_widgets_and_messages_are_those_of_textual() -> None:
    original = inspect.getclosurevars(MessagePump._get_dispatch_methods).nonlocals["original"]
    for module in pkgutil.walk_packages(tui_forward.tui.__path__, "tui_forward.tui."):
        import_module(module.name)
    owners = [
        one for one in subclasses(Widget) | subclasses(App)
        if one.__module__.startswith(tui_forward.tui.__name__)
    ]  # fmt: skip
    dispatched = 0
    for message_class in subclasses(Message) - {Message}:
        message = object.__new__(message_class)
        message._no_default_action, message._sender = False, None
        for owner in owners:
            pump = object.__new__(owner)
            expected = list(original(pump, message.handler_name, message))
            assert list(pump._get_dispatch_methods(message.handler_name, message)) == expected
            dispatched += len(expected)
    assert dispatched > 1000


class Ring(Message, bubble=False):
    """A message of the tests."""


class Base(Widget):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def on_ring(self, _ring: Ring) -> None:
        self.calls.append("base")

    @on(Button.Pressed)
    def press(self) -> None:
        self.calls.append("pressed")

    @on(Input.Changed, "#name")
    def change(self) -> None:
        self.calls.append("changed")


class Derived(Base):
    def __init__(self, *, prevents: bool = False) -> None:
        super().__init__()
        self.prevents = prevents

    def on_ring(self, ring: Ring) -> None:
        self.calls.append("derived")
        if self.prevents:
            ring.prevent_default()


class Dispatching(App[None]):
    def compose(self) -> ComposeResult:
        yield Derived()
        yield Derived(prevents=True)
        yield Input(id="name")
        yield Input(id="other")


async def test_handlers_are_called_from_subclass_to_base_until_one_prevents_it() -> None:
    app = Dispatching()
    async with app.run_test():
        for widget, calls in zip(
            app.query(Derived), (["derived", "base"], ["derived"]), strict=True
        ):
            await widget._dispatch_message(Ring())
            assert widget.calls == calls


async def test_decorated_handlers_match_their_selectors() -> None:
    app = Dispatching()
    async with app.run_test():
        widget = app.query(Derived).first()
        await widget._dispatch_message(Button.Pressed(Button()))
        for name in ("other", "name"):
            message = Input.Changed(app.query_one(f"#{name}", Input), "text")
            message._sender = app
            await widget._dispatch_message(message)
        assert widget.calls == ["pressed", "changed"]


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        return function(*args, **options)

    return call


def _plain(one: int, two: int = 2, *rest: int, three: int = 3, **more: int) -> None: ...


def _none() -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        _plain, _none, lambda: None, lambda one: one, _wrapped(_none), _wrapped(_plain),
        partial(_plain, 1), partial(_plain, three=1), Base().on_ring, Derived().on_ring, Derived,
        len, print, dict.get, {}.get, partial(Derived().on_ring),
    ],
)  # fmt: skip
def test_parameters_are_counted_as_in_the_signature(function: Callable[..., Any]) -> None:
    assert dispatch.count_parameters(function) == len(inspect.signature(function).parameters)
