"""The schema and the parser agree on what is valid, as far as a schema can express it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.cli.commands.config import schema_path
from tui_forward.settings import parser
from tui_forward.settings.parser import Settings, load_settings

SCHEMA: dict[str, Any] = json.loads(schema_path().read_text(encoding="utf-8"))
_ANNOTATIONS = {
    "$schema",
    "$defs",
    "title",
    "description",
    "default",
    "examples",
}  # not constraints


def allows(schema: dict[str, Any], value: object) -> bool:
    """Return whether a schema allows a value; fails at keywords that the schema does not use."""
    assert isinstance(value, dict | list | str | int | float)
    return all(
        _keyword_allows(keyword, argument, schema, value) for keyword, argument in schema.items()
    )


def _keyword_allows(keyword: str, argument: Any, schema: dict[str, Any], value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match keyword:
        case _ if keyword in _ANNOTATIONS:
            return True
        case "$ref":
            return allows(SCHEMA["$defs"][argument.removeprefix("#/$defs/")], value)
        case "type":
            kinds = {"object": dict, "array": list, "string": str, "boolean": bool}
            if argument == "integer":
                return isinstance(value, int) and not isinstance(value, bool)
            return number if argument == "number" else isinstance(value, kinds[argument])
        case "enum":
            return value in argument
        case "anyOf":
            return any(allows(one, value) for one in argument)
        case "pattern":
            return not isinstance(value, str) or bool(re.search(argument, value))
        case "minimum":
            return not number or bool(value >= argument)
        case "maximum":
            return not number or bool(value <= argument)
        case "items":
            return not isinstance(value, list) or all(allows(argument, one) for one in value)
        case "minItems":
            return not isinstance(value, list) or len(value) >= argument
        case "properties":
            return all(allows(argument[key], value[key]) for key in value.keys() & argument.keys())
        case "additionalProperties":
            others = value.keys() - schema.get("properties", {}).keys()
            if argument is False:
                return not others
            return all(allows(argument, value[key]) for key in others)
    raise AssertionError(f"this test does not support {keyword}")


def load_one(path: Path, name: str, value: object) -> Settings:
    """Return the settings of a file with one setting."""
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


def test_parser_and_schema_have_the_same_settings_and_defaults(tmp_path: Path) -> None:
    assert list(SCHEMA["properties"]) == list(parser._SETTINGS)
    for name, schema in SCHEMA["properties"].items():
        if name != "keys":
            assert load_one(tmp_path / "x.toml", name, schema["default"]) == Settings(
                setting_lines={name: 1}, file="x.toml"
            )


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("theme", ["forward-light", "dracula"], [3, True, ["a"]]),
        ("keep_running", ["ask", "always", "never"], ["", "Ask", 1, ["ask"]]),
        ("restore", ["ask", "always", "never"], ["", "sometimes", False]),
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
        ("log_level", ["debug", "info", "warning", "error"], ["trace", "INFO", 10]),
        ("disk_buffer", [0, 1000, 1 << 40, "0B", "256MiB", "1 GB", "999GiB"],
         [-1, (1 << 40) + 1, 1.5, "", "1", "1TB", "1000MB", "1.5GB", "1mb", "1  GB", True, [1]]),
        ("login_command", ["", "aws sso login", "az login --tenant 'a b'"], [1, ["aws"], True]),
        ("protected_contexts", [[], "prod*", ["prod*", "*.example.com"]],
         ["", " ", [""], ["a", 1], 1, True, {}]),
        ("proxy_domain", ["cluster.local", "a", "corp-1.example"],
         ["", "a..b", ".a", "a.", "A", "-a", "a b", 1]),
        ("proxy_strip_suffix", [True, False], ["true", 1]),
        ("proxy_idle_timeout", [0, "5m"], ["5 m", True]),
        ("keys", [{}, {"a.b": "x"}, {"a": {"b": "x,y"}}], ["x", {"a.b": 1}, {"a": {"b": ["x"]}}]),
        ("color", [], ["red", 1]),
    ],
)  # fmt: skip
def test_parser_and_schema_agree_on_values(
    tmp_path: Path, name: str, good: list[object], bad: list[object]
) -> None:
    for value, valid in [*((one, True) for one in good), *((one, False) for one in bad)]:
        assert allows(SCHEMA, {name: value}) == valid, value
        assert bool(load_one(tmp_path / "settings.toml", name, value).problems) != valid, value


TEXTS = (
    st.sampled_from(["ask", "all", "localhost", "::1", "30s", "1.5m", "none", "never"])
    | st.text(alphabet="0123456789abcdf:.,[]% msh-٣", max_size=12)
    | st.ip_addresses().map(str)
)
VALUES = st.integers() | st.floats() | st.booleans() | TEXTS | st.lists(TEXTS, max_size=3)


@given(st.sampled_from(list(SCHEMA["properties"])), VALUES)
def test_schema_allows_whatever_the_parser_accepts(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "settings.toml"
    if not load_one(path, name, value).problems:
        assert allows(SCHEMA, {name: value})
