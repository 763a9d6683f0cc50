from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.catalog.label_selector import parse_selector
from tui_forward.errors import UsageError

LABELS = {"app": "web", "tier": "front", "n": "7", "example.com/x": "", "word": "seven"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("  ", True),
        ("app=web", True),
        ("app==web", True),
        (" app = web ", True),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        ("app!=web", False),
        ("app!=cache", True),
        ("missing!=x", True),
        ("app", True),
        ("missing", False),
        ("!app", False),
        ("! missing", True),
        ("app in (web,api)", True),
        ("app in (api)", False),
        ("app in(web)", True),
        ("app notin (web)", False),
        ("missing notin (web)", True),
        ("app notin (api), tier in (front)", True),
        ("example.com/x=", True),
        ("example.com/x", True),
        ("app=", False),
        ("app in (,web)", True),
        ("example.com/x in ()", True),
        ("n>6", True),
        ("n > 7", False),
        ("n<8", True),
        ("word>1", False),
        ("missing>1", False),
        # Words that are operators elsewhere are labels here.
        ("in in (in)", False),
        ("notin", False),
    ],
)
def test_matching(text: str, expected: bool) -> None:
    assert parse_selector(text).matches(LABELS) is expected


@pytest.mark.parametrize(
    "text",
    [
        "=",
        "app=web,",
        ",app=web",
        "app web",
        "app in web",
        "app in (web",
        "app in (web api)",
        "app=we b",
        "-app=web",
        "app=-web",
        "app=web/x",
        "a/b/c=d",
        "app>x",
        "app===web",
        "!",
        "(a)",
        "app=" + "x" * 64,
        "x" * 400,
        "app=wéb",
    ],
)
def test_invalid_selector_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not valid") as caught:
        parse_selector(text)
    assert caught.value.hint


@given(st.text(alphabet="ab=!,() <>in\t", max_size=20))
def test_parser_raises_only_usage_errors(text: str) -> None:
    with contextlib.suppress(UsageError):
        parse_selector(text).matches({"a": "b"})


def test_equalities_of_a_selector() -> None:
    selector = parse_selector("app=web,tier in (front),x in (a,b),y!=z,n")
    assert selector.equalities == (("app", "web"), ("tier", "front"))
