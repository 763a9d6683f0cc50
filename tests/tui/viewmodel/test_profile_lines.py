"""Lines of the preview of a profile."""

from __future__ import annotations

import pytest

from tui_forward.profiles.preview import Mark, Preview, PreviewLine
from tui_forward.tui.viewmodel.cell_layout import longest_cell
from tui_forward.tui.viewmodel.profile_lines import TextLine, note_lines, summary_line, table_lines

PREVIEW = Preview(
    lines=(
        PreviewLine(Mark.ADDED, "smtp", "staging", "shop",
                    "svc/notification-dispatcher-smtp:smtp", ":2525",
                    conflict="used by java (48213)"),
        PreviewLine(Mark.CHANGED, "pg", "prod-eu!", "data", "sts/postgres-primary:postgres",
                    ":5432", "→ :15432"),
        PreviewLine(Mark.SAME, "redis", "staging", "data", "sts/redis-cache:redis", ":6379",
                    "unchanged"),
    ),
    closing=2, closing_processes=("pg_dump", "psql"),
)  # fmt: skip


def text(line: TextLine) -> str:
    return "".join(part.text for part in line.parts)


def test_table_of_the_design() -> None:
    assert [text(line).rstrip() for line in table_lines(PREVIEW, 98)] == [
        "   context   ns    target                                 local  effect",
        "+  staging   shop  svc/notification-dispatcher-smtp:smtp  :2525  ✗ port used by java"
        " (48213)",
        "~  prod-eu!  data  sts/postgres-primary:postgres          :5432  → :15432",
        "=  staging   data  sts/redis-cache:redis                  :6379  unchanged",
    ]
    assert text(summary_line(PREVIEW)) == "1 added · 1 changed · 1 unchanged · 1 port conflict"
    assert [text(line) for line in note_lines(PREVIEW)] == [
        "~ Closes 2 open connections (pg_dump, psql).",
        "✗ 1 local port is used; its forward will be blocked. e Edit to choose another.",
    ]


@pytest.mark.parametrize("width", [*range(20, 140, 7)])
def test_no_line_loses_context_local_end_or_effect(width: int) -> None:
    lines = [text(line) for line in table_lines(PREVIEW, width)]
    shown = "\n".join(lines)
    for line in PREVIEW.lines:
        if width >= 40:
            assert line.context in shown
            assert line.local in shown
        assert line.effect_text in shown
    if width >= 74:
        assert "…" not in shown
    effects = {f"    {line.effect_text}" for line in PREVIEW.lines}
    assert all(longest_cell((line,)) <= width for line in lines if line not in effects)


def test_no_forward_is_no_table() -> None:
    assert not list(table_lines(Preview(), 80))
    assert not list(note_lines(Preview()))
    assert text(summary_line(Preview())) == ""
