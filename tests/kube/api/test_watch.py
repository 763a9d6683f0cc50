from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.errors import ApiError
from tui_forward.kube.api import watch
from tui_forward.kube.api.limits import Account
from tui_forward.kube.api.watch import LineSplitter


@given(
    st.lists(st.binary(min_size=1).map(lambda b: b.replace(b"\n", b"x")), max_size=8),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_any_chunking_gives_the_same_lines(lines: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter(Account("watch", ""))
    found: list[bytes] = []
    position = 0
    while position < len(stream):
        size = sizes[position % len(sizes)]
        found += splitter.receive(stream[position : position + size])
        position += size
    assert found == [line for line in lines if not line.isspace()]


def test_endless_line_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MAX_LINE_BYTES", 100)
    splitter = LineSplitter(Account("watch pods", ""))
    assert splitter.receive(b"x" * 90) == []
    with pytest.raises(ApiError, match=r"accepted to watch pods: an event exceeds 100 bytes"):
        splitter.receive(b"x" * 20)


def test_limit_applies_to_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MAX_LINE_BYTES", 100)
    splitter = LineSplitter(Account("watch", ""))
    for _ in range(10):
        assert len(splitter.receive(b"x" * 50 + b"\n" + b"y" * 20)) == 1
