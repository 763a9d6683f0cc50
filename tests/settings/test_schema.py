"""The schema and the reader agree on what is valid, as far as a schema can say it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tui_forward.cli.commands.config import schema_path
from tui_forward.settings import parser as parser
from tui_forward.settings.parser import Settings, load_settings

SCHEMA: dict[str, Any] = json.loads(schema_path().read_text(encoding="utf-8"))
_WORDS = {"$schema", "$defs", "title", "description", "default", "examples"}  # forbid nothing


def allows(schema: dict[str, Any], value: object) -> bool:
    """Whether a schema allows a value; knows the keywords that ours has, and fails at others."""
    assert isinstance(value, dict | list | str | int | float)
    return all(_holds(word, said, schema, value) for word, said in schema.items())


def _holds(word: str, said: Any, schema: dict[str, Any], value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match word:
        case _ if word in _WORDS:
            return True
        case "$ref":
            return allows(SCHEMA["$defs"][said.removeprefix("#/$defs/")], value)
        case "type":
            kinds = {"object": dict, "array": list, "string": str}
            return number if said == "number" else isinstance(value, kinds[said])
        case "enum":
            return value in said
        case "anyOf":
            return any(allows(one, value) for one in said)
        case "pattern":
            return not isinstance(value, str) or bool(re.search(said, value))
        case "minimum":
            return not number or bool(value >= said)
        case "maximum":
            return not number or bool(value <= said)
        case "items":
            return not isinstance(value, list) or all(allows(said, one) for one in value)
        case "minItems":
            return not isinstance(value, list) or len(value) >= said
        case "properties":
            return all(allows(said[key], value[key]) for key in value.keys() & said.keys())
        case "additionalProperties":
            others = value.keys() - schema.get("properties", {}).keys()
            if said is False:
                return not others
            return all(allows(said, value[key]) for key in others)
    raise AssertionError(f"{word} is not known to this test")


def reads(path: Path, name: str, value: object) -> Settings:
    """What the reader makes of one setting."""
    path.write_text(f"{json.dumps(name)} = {toml(value)}\n")
    return load_settings(path)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value).replace("\x7f", "\\u007f")


def test_they_know_the_same_settings_with_the_same_defaults(tmp_path: Path) -> None:
    assert list(SCHEMA["properties"]) == list(parser._SETTINGS)
    for name, said in SCHEMA["properties"].items():
        if name != "keys":
            assert reads(tmp_path / "x.toml", name, said["default"]) == Settings(
                said={name: 1}, file="x.toml"
            )


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("theme", ["forward-light", "dracula"], [3, True, ["a"]]),
        ("leave_on", ["ask", "always", "never"], ["", "Ask", 1, ["ask"]]),
        ("resume", ["ask", "always", "never"], ["", "sometimes", False]),
        (
            "address",
            ["localhost", "127.0.0.1,::1", " 0.0.0.0 , [::1]", "fe80::1%eth0", ["localhost", "::"]],
            ["", "nowhere", "127.0.0.1,", "local host", [], [""], ["::1", 1], 1, True],
        ),
        ("queue_timeout", [0, 30, 1.5, 86400, "30", "500ms", "1.5m", " 1h "],
         [-1, 86401, "soon", "", "-1s", "1 m", "30S", True, [1], math.inf]),
        ("half_close_timeout", [0, "5s"], ["5 s", False]),
        ("refresh", [0.1, 1, 5], [0, 0.09, 5.01, "1", "1s", True, [1]]),
        ("notifications", ["all", "problems", "none"], ["some", True]),
        ("keys", [{}, {"a.b": "x"}, {"a": {"b": "x,y"}}], ["x", {"a.b": 1}, {"a": {"b": ["x"]}}]),
        ("colour", [], ["red", 1]),
    ],
)  # fmt: skip
def test_they_agree(tmp_path: Path, name: str, good: list[object], bad: list[object]) -> None:
    for value, valid in [*((one, True) for one in good), *((one, False) for one in bad)]:
        assert allows(SCHEMA, {name: value}) == valid, value
        assert bool(reads(tmp_path / "settings.toml", name, value).problems) != valid, value


TEXTS = (
    st.sampled_from(["ask", "all", "localhost", "::1", "30s", "1.5m", "none", "never"])
    | st.text(alphabet="0123456789abcdf:.,[]% msh-٣", max_size=12)
    | st.ip_addresses().map(str)
)
VALUES = st.integers() | st.floats() | st.booleans() | TEXTS | st.lists(TEXTS, max_size=3)


@given(st.sampled_from(list(SCHEMA["properties"])), VALUES)
@hypothesis_settings(deadline=None)
def test_what_the_reader_takes_the_schema_allows(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "settings.toml"
    if not reads(path, name, value).problems:
        assert allows(SCHEMA, {name: value})
