"""Fixtures of the tests of the dashboard."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot, WaitForScreenTimeout

from tui_forward.tui.plain_text import PlainTextApp
from tui_forward.tui.screens import confirmation

_ATTEMPTS, _ATTEMPT_S = 6, 5.0


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
def patient_pilot() -> Iterator[None]:
    """Let a pilot wait again for the widgets that are there now.

    It waits for an answer of each widget. One that is removed meanwhile, as the screen closes or a
    notification goes, never answers.
    """
    wait = Pilot._wait_for_screen

    async def wait_again(pilot: Pilot[object]) -> bool:
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(WaitForScreenTimeout):
                return await wait(pilot, _ATTEMPT_S)
        return await wait(pilot, _ATTEMPT_S)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pilot, "_wait_for_screen", wait_again)
        yield


@pytest.fixture(autouse=True)
def lasting_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep notifications and questions until a test on a busy machine has seen them."""
    monkeypatch.setattr(PlainTextApp, "NOTIFICATION_TIMEOUT", 15.0)
    monkeypatch.setattr(confirmation, "TIMEOUT_S", 120.0)
