from __future__ import annotations

import json
import re
from typing import Any

from tui_forward.cli.commands.profile import schema_path
from tui_forward.model import Balance, TransportChoice
from tui_forward.profiles import parser
from tui_forward.profiles.access import ACCESS_KEYS


def schema() -> dict[str, Any]:
    found = json.loads(schema_path().read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_schema_has_the_keys_of_the_parser() -> None:
    top = schema()["properties"]
    assert list(top) == list(parser._PROFILE)
    forwards = top["forwards"]
    forward = forwards["additionalProperties"]["properties"]
    assert list(forward) == list(parser._FORWARD)
    assert list(schema()["$defs"]["access"]["properties"]) == list(ACCESS_KEYS)
    assert list(top["proxy"]["oneOf"][-1]["properties"]) == list(parser._PROXY)
    assert forward["transport"]["enum"] == [choice.value for choice in TransportChoice]
    assert forward["balance"]["enum"] == [choice.value for choice in Balance]
    assert top["version"]["const"] == parser.VERSION
    assert forwards["maxProperties"] == parser.MAX_FORWARDS
    for pattern, known in (
        (top["name"]["pattern"], parser._NAME),
        (forwards["propertyNames"]["pattern"], parser._NAME),
        (forward["env"]["pattern"], parser._ENV),
    ):
        for word in ("a", "a-b", "a b", "-a", "a-", "9", "_x", "é", "a.b_c"):
            assert bool(re.search(pattern, word)) == bool(known.fullmatch(word)), (pattern, word)
