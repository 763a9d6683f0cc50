from __future__ import annotations

import msgspec

from tui_forward.model import (
    Forward,
    ForwardSpec,
    ForwardState,
    ForwardWarning,
    LocalAddress,
    PodRef,
    ReasonCode,
    Target,
    TargetKind,
)
from tui_forward.tui.viewmodel import rows
from tui_forward.tui.viewmodel.forward_rows import forward_labels, forward_row


def forward(state: ForwardState = ForwardState.READY, **fields: object) -> Forward:
    target = Target(
        context="here", namespace="shop", kind=TargetKind.POD, name="web-1", port="http"
    )
    base = Forward(
        id="f1",
        spec=ForwardSpec(target=target),
        state=state,
        code=ReasonCode.FORWARD_READY,
        reason="pod web-1",
        listening=(LocalAddress("::1", 8080), LocalAddress("127.0.0.1", 8080)),
        pod=PodRef(namespace="shop", name="web-1", uid="u"),
        remote_port=8080,
    )
    return msgspec.structs.replace(base, **fields)


def texts(row: rows.Row) -> list[str]:
    return [cell.text for cell in row.cells]


def test_every_state_has_a_mark() -> None:
    assert set(rows.STATE_MARKS) == set(ForwardState)
    assert rows.state_cell(forward(paused=True)).text == "‖ paused"


def test_warnings_make_a_ready_forward_amber() -> None:
    refused = ForwardWarning(
        code=ReasonCode.PORT_REFUSED, reason="nothing listens on port 80", count=3, last_at=92.0
    )
    taken = ForwardWarning(code=ReasonCode.LOCAL_ADDRESS_TAKEN, reason="[::1]:80 is taken")
    ready = forward(
        warnings=(refused, taken), reason=refused.reason, hint="look", last_event="was down 1 s"
    )
    row = forward_row(ready, 100.0, forward_labels([ready], "here"))
    assert row.cells[:2] == (rows.Cell("●", "warn"), rows.Cell("ready", "warn"))
    assert row.cells[-1].text == "nothing listens on port 80 · 3 times, last 8s ago"
