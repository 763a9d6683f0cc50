from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.common.yaml_bombs import BOMBS, MAX_CPU_S, MAX_NODES, SLOW
from tui_forward.common import bounded_yaml
from tui_forward.common.bounded_yaml import YamlLimitError, YamlLimits, documents, safe_loader
from tui_forward.errors import UsageError


def check_document(text: str) -> None:
    """Count the events of the first document."""
    limits = YamlLimits()
    for event in yaml.parse(text, Loader=safe_loader()):
        limits.add(event)
        if isinstance(event, yaml.DocumentEndEvent):
            return


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_yaml, "MAX_NODES", MAX_NODES)
    monkeypatch.setattr(bounded_yaml, "MAX_ALIASED_NODES", MAX_NODES)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize(("text", "problem"), BOMBS.values(), ids=list(BOMBS))
def test_bombs_are_refused_before_anything_is_built(text: str, problem: str) -> None:
    started = time.process_time()
    with pytest.raises(YamlLimitError, match=problem) as caught:
        check_document(text)
    assert caught.value.line >= 1
    assert caught.value.column >= 1
    with pytest.raises(UsageError, match=rf"line {caught.value.line}, column .*{problem}"):
        list(documents(text))
    assert time.process_time() - started < MAX_CPU_S


@pytest.mark.parametrize("text", SLOW.values(), ids=list(SLOW))
def test_documents_take_linear_time(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(UsageError):
        list(documents(text))
    assert time.process_time() - started < MAX_CPU_S


def test_error_names_line_and_column() -> None:
    with pytest.raises(UsageError, match=r"line 3, column 4: an alias is not defined before"):
        list(documents("a: 1\nb: 2\nc: *x\n"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2",
            {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}},
        ),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("\ufeffa: 1", {"a": 1}),
        ('{\n\t"a":\t1\n}', {"a": 1}),
        ("a: 1\na: 2", {"a": 2}),
        ("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}),
    ],
)
def test_what_kubectl_accepts_is_accepted(text: str, value: Any) -> None:
    check_document(text)
    assert next(documents(text)) == value


def test_only_the_first_document_is_checked() -> None:
    check_document("a: 1\n---\n" + "[" * 10_000)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text("abc xyz", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_survive(value: Any) -> None:
    text = json.dumps(value)
    check_document(text)
    assert list(documents(text)) == [value]


@given(st.text("[]{}&*a:<- \n,?!|>'\"#%", max_size=60))
def test_garbage_raises_documented_errors_only(text: str) -> None:
    with contextlib.suppress(YamlLimitError, yaml.YAMLError, ValueError):
        check_document(text)
    with contextlib.suppress(UsageError):
        list(documents(text))


@given(st.integers(1, 40), st.integers(1, 40))
def test_size_of_aliases_is_exact(levels: int, width: int) -> None:
    """An alias counts as often as what it stands for is visited."""
    lines = ["l0: &l0 x"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * width)}]" for n in range(1, levels + 1)]
    sizes, total = [1], 0
    for _ in range(levels):
        total += width * sizes[-1]
        sizes.append(1 + width * sizes[-1])
    text = "\n".join(lines)
    if total > bounded_yaml.MAX_ALIASED_NODES:
        with pytest.raises(YamlLimitError):
            check_document(text)
    else:
        check_document(text)
