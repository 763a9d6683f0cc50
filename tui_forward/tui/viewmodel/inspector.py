"""The strip of high terminals: chain, fix and timeline of the forward under the cursor. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tui_forward.model import ApiHealth, Forward, Hop, Login, Snapshot, TimelineEntry
from tui_forward.tui.viewmodel.chain import chain_lines, fault_of, known_hops, timeline_line
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.forward_names import forward_name
from tui_forward.tui.viewmodel.lines import Line, part, rule_line, sentence_lines
from tui_forward.tui.viewmodel.logins import login_of
from tui_forward.tui.viewmodel.pane_layout import INSPECTOR_LINES
from tui_forward.tui.viewmodel.rows import state_cell
from tui_forward.tui.viewmodel.strip import entry_line, fit_line, forward_lines

_MAX_FIX_LINES = 2


class Inspection(msgspec.Struct, frozen=True):
    """What has been read about one forward for the inspector."""

    forward_id: str = ""
    hops: Sequence[Hop] = ()
    timeline: Sequence[TimelineEntry] = ()  # oldest first


def inspector_lines(
    forward: Forward, inspection: Inspection, health: Iterable[ApiHealth], now: float,
    width: int, height: int, logins: Sequence[Login] = (),
) -> tuple[Line, ...]:  # fmt: skip
    """Return at most `height` lines of `width` cells.

    Until the hops of this forward are known, what the forward itself tells is shown.
    """
    target = forward.spec.target
    is_read = inspection.forward_id == forward.id
    hops = inspection.hops if is_read and inspection.hops else known_hops(forward, health)
    state = state_cell(forward)
    title = (part(forward_name(forward), "title"), part(f"  {state.text}", state.style))
    lines = [rule_line(title, "chain · timeline", width), *chain_lines(hops, target, width)]
    lines += _fix_lines(forward, hops, now, width, logins)
    entries = inspection.timeline if is_read else ()
    spare = max(0, height - len(lines))
    lines += [timeline_line(entry, target, width) for entry in list(entries)[::-1][:spare]]
    return tuple(lines[:height])


def _fix_lines(
    forward: Forward, hops: Sequence[Hop], now: float, width: int, logins: Sequence[Login]
) -> list[Line]:
    fault = fault_of(hops)
    hint = fault.hint if fault is not None and login_of(forward, logins) is None else ""
    if hint:
        return sentence_lines("   fix  ", hint, "strong", width, _MAX_FIX_LINES)
    first, *rest = forward_lines(forward, (), now, max(1, width - 2), logins)[0]
    return [fit_line((part(f" {first.text}", first.style), *rest), width)]


class StripSubject(msgspec.Struct, frozen=True):
    """What the strip describes: an entry of the cluster, and what `1` does there, or a forward."""

    entry: Entry | None  # None where the strip describes the forward only
    forward: Forward | None
    snapshot: Snapshot
    inspection: Inspection
    now: float
    entry_forwards: int = 0  # number of active forwards of the entry
    lacking: tuple[str, ...] = ()  # permissions that forwards to the entry need

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """Return lines for a strip of this size: with an inspector if it is high enough."""
        lines: list[Line] = []
        if self.entry is not None:
            forwards, count = self.snapshot.forwards, self.entry_forwards
            entry = entry_line(self.entry, forwards, count, self.lacking)
            lines.append(_indented(entry))
        forward, health = self.forward, self.snapshot.health
        if forward is None:
            return lines
        if height >= INSPECTOR_LINES:
            room = height - len(lines)
            lines += inspector_lines(
                forward, self.inspection, health, self.now, width, room, self.snapshot.logins
            )
        elif not lines:
            logins = self.snapshot.logins
            shown = forward_lines(forward, health, self.now, max(1, width - 2), logins)
            lines += map(_indented, shown)
        return lines


def _indented(line: Line) -> Line:
    return (part(f" {line[0].text}", line[0].style), *line[1:]) if line else line
