"""Parsers of label and field selectors.

Syntax and semantics follow apimachinery's `labels` and `fields`: requirements are separated by
commas and must all match. `!=` and `notin` also match objects without the label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.status_errors import bad_request

LabelTest = Callable[[Mapping[str, str]], bool]
FieldTest = Callable[[Mapping[str, str]], bool]

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_SET = re.compile(rf"\s*({_NAME})\s+(in|notin)\s*\(([^()]*)\)\s*\Z")
_EQUALS = re.compile(rf"\s*({_NAME})\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)\s*\Z")
_ORDER = re.compile(rf"\s*({_NAME})\s*([<>])\s*(\d+)\s*\Z")
_EXISTS = re.compile(rf"\s*(!?)\s*({_NAME})\s*\Z")


def parse_labels(text: str) -> LabelTest | None:
    """Return the test of a label selector; None if it matches everything."""
    tests = [_parse_requirement(part, text) for part in _split(text) if part.strip()]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda labels: all(test(labels) for test in tests)


def _split(text: str) -> list[str]:
    """Split at the commas outside parentheses."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts


def _parse_requirement(part: str, selector: str) -> LabelTest:
    if found := _SET.match(part):
        key, operator, values = found.groups()
        expected = frozenset(value.strip() for value in values.split(","))
        if operator == "in":
            return lambda labels: labels.get(key) in expected
        return lambda labels: labels.get(key) not in expected
    if found := _EQUALS.match(part):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _ORDER.match(part):
        key, operator, value = found.groups()
        bound = int(value)

        def ordered(labels: Mapping[str, str]) -> bool:
            label = labels.get(key, "")
            if not label.isdecimal():
                return False
            return int(label) > bound if operator == ">" else int(label) < bound

        return ordered
    if found := _EXISTS.match(part):
        absent, key = found.groups()
        if absent:
            return lambda labels: key not in labels
        return lambda labels: key in labels
    raise bad_request(f"unable to parse requirement: found '{part.strip()}' in '{selector}'")


def matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Return whether a `LabelSelector` (`matchLabels`, `matchExpressions`) matches labels.

    No selector matches nothing; an empty selector matches everything.
    """
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or ():
        key, operator = expression["key"], expression["operator"]
        values = expression.get("values") or ()
        is_match = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }.get(operator, False)
        if not is_match:
            return False
    return True


def parse_fields(text: str, is_selectable: Callable[[str], bool]) -> FieldTest | None:
    """Return the test of a field selector; None if it matches everything."""
    terms: list[tuple[str, str, bool]] = []
    for part in text.split(","):
        if not part.strip():
            continue
        for operator in ("!=", "==", "="):
            key, found, value = part.partition(operator)
            if found:
                break
        else:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if not is_selectable(key.strip()):
            raise bad_request(f"field label not supported: {key.strip()}")
        terms.append((key.strip(), value.strip(), operator != "!="))
    if not terms:
        return None
    return lambda fields: all(
        (fields.get(key, "") == value) is is_equality for key, value, is_equality in terms
    )


def selected_name(text: str) -> str:
    """Return the only name that a field selector matches; empty if it does not name one."""
    for part in text.split(","):
        key, _, value = part.replace("==", "=").partition("=")
        if key.strip() == "metadata.name":
            return value.strip()
    return ""
