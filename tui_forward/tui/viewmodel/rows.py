"""Rows of the dashboard's tables as plain data. Pure: no widget, no clock.

A cell's style is a meaning ("ok", "warn", "bad", "dim", "strong"), never a color; symbols
show the same without color.
"""

from __future__ import annotations

import msgspec

from tui_forward.common.formatting import format_countdown, pluralize
from tui_forward.model import (
    Balance,
    Forward,
    ForwardState,
    PodShareState,
    TargetKind,
)


class Cell(msgspec.Struct, frozen=True):
    """Text with a style."""

    text: str
    style: str = ""  # a meaning, see the module's docstring
    # Parts of the text that match the filter: disjoint, in order.
    spans: tuple[tuple[int, int], ...] = ()
    # Characters at the beginning and at the end that are dim and cut last: kind and port of a
    # target, the hint of a sentence.
    lead: int = 0
    trail: int = 0
    columns: int = 1  # number of columns that it takes
    trail_style: str = "dim"  # of the characters at the end


class Row(msgspec.Struct, frozen=True):
    """One row of a table."""

    cells: tuple[Cell, ...]  # the last one takes the columns after it, if there are any
    word: Cell | None = None  # replaces the last cell where only one column is left for it
    second: Cell | None = None  # a line of its own beneath
    marked: bool = False  # selected


EMPTY = Cell("")
RULE = Cell("", "rule")  # second line that separates a row from the next one

STATE_MARKS: dict[ForwardState, tuple[str, str]] = {
    ForwardState.STARTING: ("◌", "dim"), ForwardState.WAITING: ("◔", "warn"),
    ForwardState.CONNECTING: ("◐", "warn"), ForwardState.READY: ("●", "ok"),
    ForwardState.RECONNECTING: ("◐", "warn"), ForwardState.BLOCKED: ("■", "bad"),
    ForwardState.STOPPED: ("○", "dim"),
}  # fmt: skip


def state_cell(forward: Forward) -> Cell:
    """Return symbol and name of a forward's state."""
    if forward.paused:
        return Cell("‖ paused", "dim")
    mark, style = STATE_MARKS[forward.state]
    if forward.state is ForwardState.READY and forward.warnings:
        style = "warn"
    return Cell(f"{mark} {forward.state.value}", style)


def local_text(forward: Forward) -> str:
    """Return the address to connect to, IPv4 if there is one."""
    if forward.spec.proxy:
        return f"proxy {forward.spec.proxy}"
    return str(min(forward.listening, key=lambda a: ":" in a.host)) if forward.listening else ""


def target_text(forward: Forward) -> str:
    """Return the short form of the target."""
    target = forward.spec.target
    if target.kind is TargetKind.SELECTOR:
        return f"{target.namespace}/-l {target.name}:{target.port}"
    kind = "" if target.kind is TargetKind.POD else f"{target.kind.value}/"
    return f"{target.namespace}/{kind}{target.name}:{target.port}"


def waiting_text(forward: Forward, now: float) -> str:
    """Return queued connections, countdown and reason."""
    parts = [f"{forward.queued} queued"] if forward.queued else []
    if forward.retry_at is not None and forward.retry_at > now:
        parts.append(f"next try in {format_countdown(forward.retry_at - now)}")
    parts.append(forward.reason)
    return " · ".join(part for part in parts if part)


def pod_text(forward: Forward) -> str:
    """Return the pod of a forward, or how many it spreads its connections over."""
    if forward.spec.target.balance is Balance.SPREAD:
        ready = sum(share.state is PodShareState.READY for share in forward.pods)
        return pluralize(ready, "pod") if ready else ""
    return forward.pod.name if forward.pod is not None else ""
