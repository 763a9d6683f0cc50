from __future__ import annotations

import msgspec

from tests.tui.viewmodel.test_rows import texts
from tui_forward.model import Hop, HopKind, HopState
from tui_forward.tui.viewmodel.hop_rows import hop_error_text, hop_row

API = Hop(
    kind=HopKind.API, name="10.0.0.1:6443", facts=("v1.36.2", "context prod"), state=HopState.OK,
    latency_s=0.012,
)  # fmt: skip
POD = Hop(
    kind=HopKind.POD, name="web-1", facts=("Pending",), state=HopState.BROKEN,
    error="no node has room", hint="look at its events",
)  # fmt: skip
PORT = Hop(kind=HopKind.PORT)


def test_hop_shows_its_facts() -> None:
    assert texts(hop_row(API)) == [
        "●", "API server", "10.0.0.1:6443", "12 ms", "v1.36.2 · context prod",
    ]  # fmt: skip
    assert texts(hop_row(PORT)) == ["○", "port", "–", "", ""]


def test_broken_hop_shows_its_error_and_a_symbol() -> None:
    assert texts(hop_row(POD)) == ["✗", "pod", "web-1", "", "no node has room"]
    assert {cell.style for cell in hop_row(POD).cells if cell.text} == {"broken"}
    assert hop_error_text([API, POD, PORT]) == "✗ pod: no node has room  → look at its events"


def test_slow_hops_are_amber_or_red() -> None:
    def style(seconds: float, kind: HopKind) -> str:
        return hop_row(msgspec.structs.replace(API, kind=kind, latency_s=seconds)).cells[3].style

    assert [style(s, HopKind.API) for s in (0.5, 0.6, 2.1)] == ["dim", "warn", "bad"]
    assert [style(s, HopKind.POD) for s in (0.2, 0.3, 9.0)] == ["dim", "warn", "warn"]


def test_past_error_is_not_marked_as_broken() -> None:
    last = Hop(kind=HopKind.API, state=HopState.OK, error="timed out")
    assert hop_error_text([last, PORT]) == "API server, last: timed out"
    assert hop_error_text([API, PORT]) == ""
