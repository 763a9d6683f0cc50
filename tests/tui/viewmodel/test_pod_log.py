from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.tui.viewmodel import pod_log
from tui_forward.tui.viewmodel.log_tail import LogLevel
from tui_forward.tui.viewmodel.pod_log import LogOptions, PodLogLines

AT = "2026-11-29T12:26:47.012345678Z"


def lines_of(*texts: str, at: str = AT) -> PodLogLines:
    lines = PodLogLines()
    lines.add((at, text) for text in texts)
    return lines


def shown(lines: PodLogLines, options: LogOptions | None = None) -> list[str]:
    return [line.text for line in lines.shown(options or LogOptions())]


def test_lines_are_kept_in_order_with_their_last_time() -> None:
    lines = lines_of("one", "two")
    assert shown(lines) == ["one", "two"]
    assert not lines.add([])
    assert lines.add([("", "three")])
    assert lines.last_time == AT
    assert lines.text() == f"{AT} one\n{AT} two\nthree\n"
    lines.clear()
    assert (len(lines), lines.last_time, lines.text()) == (0, "", "")


@pytest.mark.parametrize(
    ("at", "head"),
    [(AT, "12:26:47.012  "), ("2026-11-29T12:26:47Z", "12:26:47      "),
     ("2026-11-29T12:26:47.1+02:00", "12:26:47.1+0  "), ("", "")],
)  # fmt: skip
def test_times_are_shown_on_demand(at: str, head: str) -> None:
    assert shown(lines_of("x", at=at), LogOptions(with_time=True)) == [f"{head}x"]


def test_only_matches() -> None:
    lines = lines_of("a panic", "fine", "PANIC again")
    assert shown(lines, LogOptions(only_matches="Panic")) == ["a panic", "PANIC again"]
    assert shown(lines, LogOptions(only_matches="none")) == []


def test_json_is_made_readable_on_demand() -> None:
    line = json.dumps({"level": "error", "msg": "café"})
    lines = lines_of(line, "{no json}", "[1]")
    assert shown(lines)[0] == line
    pretty = shown(lines, LogOptions(pretty_json=True, with_time=True))
    assert pretty == [
        "12:26:47.012  {",
        '                "level": "error",',
        '                "msg": "café"',
        "              }",
        "12:26:47.012  {no json}",
        "12:26:47.012  [1]",
    ]
    numbers = [line.number for line in lines.shown(LogOptions(pretty_json=True))]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("text", ["{" * 100_000, '{"a":' * 50_000, "{" + "9" * 70_000 + "}"])
def test_hostile_json_stays_as_it_is(text: str) -> None:
    assert len(shown(lines_of(text), LogOptions(pretty_json=True))) == 1


def test_long_json_is_bounded() -> None:
    text = json.dumps(dict.fromkeys(map(str, range(5000)), 1))
    assert len(shown(lines_of(text), LogOptions(pretty_json=True))) == pod_log._MAX_JSON_LINES


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("12:00 ERROR no", LogLevel.ERROR), ('{"level":"error"}', LogLevel.ERROR),
        ("panic: x", LogLevel.ERROR), ("WARN low", LogLevel.WARNING), ("debug", LogLevel.DEBUG),
        ("info: fine", LogLevel.INFO), ("terror, debugger", LogLevel.INFO),
        (" " * 300 + "error", LogLevel.INFO),
    ],
)  # fmt: skip
def test_levels(text: str, level: LogLevel) -> None:
    assert lines_of(text).shown(LogOptions())[0].level is level


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_log, "MAX_LINES", 10)
    assert shown(lines_of(*map(str, range(25)))) == [str(one) for one in range(15, 25)]
    monkeypatch.setattr(pod_log, "MAX_CHARACTERS", 100)
    lines = lines_of("a" * 60, "b" * 60)
    assert shown(lines) == ["b" * 60]
    lines.add([("", "c" * 500)])
    assert len(lines) == 0


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=60)), max_size=20), st.booleans())
def test_any_text_is_shown_safely(lines: list[tuple[str, str]], flag: bool) -> None:
    found = PodLogLines()
    found.add(lines)
    for line in found.shown(LogOptions(with_time=flag, pretty_json=flag)):
        assert line.text.isprintable() or not line.text
