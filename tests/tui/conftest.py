"""Fixtures of the tests of the dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet


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
