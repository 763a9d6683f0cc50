"""Fixtures of the tests of the dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from textual._queue import Queue
from textual.app import App
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.message import Message
from textual.message_pump import MessagePump
from textual.pilot import Pilot

from tests.support.waiting import until
from tui_forward.tui.plain_text import PlainTextApp
from tui_forward.tui.screens import confirmation


@pytest.fixture(scope="session", autouse=True)
def parsed_styles() -> Iterator[None]:
    """Parse each style sheet once per theme, instead of once in each app."""
    parsed: dict[object, list[RuleSet]] = {}
    parse_rules = Stylesheet._parse_rules

    def cached(sheet: Stylesheet, css: str, *args: Any, **options: Any) -> list[RuleSet]:
        variables = frozenset(sheet._variables.items())
        key = (variables, css, args, frozenset(options.items()))
        if key not in parsed:
            parsed[key] = parse_rules(sheet, css, *args, **options)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", cached)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_pilot() -> Iterator[None]:
    """Let a pilot wait for the widgets that have messages to process, not for an answer of each.

    One that is removed meanwhile, as the screen closes or a notification goes, never answers.
    """

    async def wait_for_screen(pilot: Pilot[object]) -> bool:
        app = pilot.app
        await until(lambda: app._exception is not None or not any(map(is_busy, pumps_of(app))))
        return app._exception is None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pilot, "_wait_for_screen", wait_for_screen)
        yield


def pumps_of(app: App[Any]) -> list[DOMNode]:
    """Return the app, its screen and all widgets of the screen."""
    return [app, *app.screen.walk_children(with_self=True)] if app._screen_stack else []


def is_busy(pump: MessagePump) -> bool:
    """Return whether a widget or an app processes a message or will."""
    queue: Queue[Message | None] = pump._message_queue
    waits = any(not one.done() for one in queue.ready_event._waiters)
    return not pump._closed and not (queue.empty() and waits)


@pytest.fixture(autouse=True)
def lasting_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep notifications and questions until a test on a busy machine has seen them."""
    monkeypatch.setattr(PlainTextApp, "NOTIFICATION_TIMEOUT", 15.0)
    monkeypatch.setattr(confirmation, "TIMEOUT_S", 120.0)
