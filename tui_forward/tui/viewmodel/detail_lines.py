"""Lines of the screen of details: title, chain, cause and fix, throughput, specification. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from rich.cells import cell_len

from tui_forward.common.access_options import describe_access_options
from tui_forward.common.formatting import (
    UNANSWERED_HINT,
    format_age,
    format_bytes,
    format_clock,
    format_rate,
    format_unanswered,
    format_warning,
    milliseconds,
    pluralize,
    short_age,
)
from tui_forward.common.kubectl_command import format_command
from tui_forward.model import (
    ApiHealth,
    Balance,
    EarlierPods,
    Forward,
    ForwardDefaults,
    ForwardState,
    Hop,
    PodShare,
    PodShareState,
    PreconnectStatus,
    Target,
)
from tui_forward.tui.viewmodel.chain import chain_lines, fault_of, known_hops
from tui_forward.tui.viewmodel.chart import axis_maximum, downsample, render_area
from tui_forward.tui.viewmodel.context_names import ContextNaming, context_of
from tui_forward.tui.viewmodel.forward_names import forward_name
from tui_forward.tui.viewmodel.header import HeaderCell
from tui_forward.tui.viewmodel.lines import Line, natural, part, rule_line, sentence_lines
from tui_forward.tui.viewmodel.pod_names import shorten_pods
from tui_forward.tui.viewmodel.rows import local_text, state_cell, waiting_text
from tui_forward.tui.viewmodel.thresholds import Figure, failure_style, figure_style

TABS: Final = ("timeline", "connections", "log")
_LABEL: Final = 9  # cells of the axis of the chart
_CAUSE_LINES, _FIX_LINES, _FACT_LINES = 2, 3, 3  # at most
_LONG_S: Final = 99.5  # from which a time is shown in minutes
_SEPARATOR: Final = " · "


class Position(msgspec.Struct, frozen=True):
    """Place of a forward among those that are shown; 0 if it is not shown."""

    number: int = 0
    total: int = 0

    @property
    def text(self) -> str:
        """`4/14`; the total only where the forward is not shown."""
        return f"{self.number}/{self.total}" if self.number else f"{self.total or ''}"


def title_line(forward: Forward, naming: ContextNaming, position: str, width: int) -> Line:
    """Return state, target with the whole name of its context, address, and position."""
    state, target = state_cell(forward), forward.spec.target
    context = naming.full_name(context_of(forward))
    place = f"/{target.namespace}/"
    name, address = forward_name(forward), local_text(forward)
    room = width - 4 - cell_len(state.text) - cell_len(position) - 2
    room -= cell_len(address) + 2 if address else 0
    context = natural(context, max(8, room - cell_len(place) - cell_len(name)), middle=True)
    name = natural(name, max(0, room - cell_len(place) - cell_len(context)), middle=True)
    style = "protected" if naming.is_protected(context_of(forward)) else ""
    cells = [
        part(" "), part(state.text, state.style), part("  "), part(context, style),
        part(natural(place, width)), part(name, "strong"),
    ]  # fmt: skip
    if address:
        cells.append(part(f"  {address}"))
    used = sum(cell_len(cell.text) for cell in cells)
    right = width - 1 - used - cell_len(position)
    if position and right > 0:
        cells += [part(" " * right), part(position, "dim")]
    return tuple(cells)


def chain_block(
    forward: Forward, hops: Sequence[Hop], health: Iterable[ApiHealth], tested_s: float | None,
    key: str, width: int,
) -> list[Line]:  # fmt: skip
    """Return the rule and the lines of the hops; `tested_s` ago, None if not yet."""
    shown = hops or known_hops(forward, health)
    note = "testing…" if tested_s is None else f"tested {_seconds(tested_s)} ago"
    if key:
        note = f"{note} · {key} tests again"
    target = forward.spec.target
    return [rule_line((part("chain", "title"),), note, width), *chain_lines(shown, target, width)]


def _seconds(seconds: float) -> str:
    return f"{max(0.0, seconds):.0f} s" if seconds < _LONG_S else short_age(seconds)


def cause_lines(forward: Forward, hops: Sequence[Hop], now: float, width: int) -> list[Line]:
    """Return why the forward does not work, or may not, and the next step."""
    fault = fault_of(hops)
    cause, fix = "", ""
    if forward.paused:
        fix = "Press p to continue it"
    elif fault is not None:
        cause, fix = fault.error, fault.hint
    elif forward.warnings:
        cause, fix = format_warning(forward.warnings[0], now), forward.warnings[0].hint
    elif forward.state is not ForwardState.READY:
        cause, fix = waiting_text(forward, now), forward.hint
    elif forward.unanswered is not None:
        # Muted: it may be as intended.
        hint = f"{format_unanswered(forward.unanswered, now)}. {UNANSWERED_HINT}"
        return [*sentence_lines(" note   ", hint, "dim", width, _CAUSE_LINES)]
    cause = shorten_pods(cause, forward.spec.target)
    return [
        *sentence_lines(" cause  ", cause, "", width, _CAUSE_LINES),
        *sentence_lines(" fix    ", fix, "strong", width, _FIX_LINES),
    ]


def throughput_lines(
    forward: Forward, series: Sequence[tuple[int, int]], ready: Sequence[bool],
    width: int, height: int,
) -> list[Line]:  # fmt: skip
    """Return the rule with the peaks, and a chart: of both directions if there is room and data."""
    down, up = [one for one, _ in series], [one for _, one in series]
    notes = [
        f"{arrow} peak {rate}"
        for arrow, values in (("↓", down), ("↑", up))
        if (rate := format_rate(max(values, default=0)))
    ]
    lines = [rule_line((part("throughput, 5 min", "title"),), _SEPARATOR.join(notes), width)]
    rows = height - 1
    since = ""
    if forward.state is not ForwardState.READY and forward.since:
        since = f"no tunnel since {format_clock(forward.since)}"
    if rows < 4 or not (any(down) and any(up)):
        curves = [(down, "down")] if any(down) or not any(up) else [(up, "up")]
    else:
        curves = [(down, "down"), (up, "up")]
        rows //= 2
    for values, style in curves:
        lines += _curve(values, ready, style, since, width, rows)
        since = ""
    return lines[: max(0, height)]


def _curve(
    values: Sequence[int], ready: Sequence[bool], style: str, note: str, width: int, height: int
) -> list[Line]:
    room = width - _LABEL - 2
    if room < 4:
        return []
    shown = downsample(values, room)
    # A run of seconds that have become one column has no tunnel if none of them had one.
    up = list(map(bool, downsample(list(map(int, ready)), room)))
    top = axis_maximum(shown)
    lines: list[Line] = []
    for number, text in enumerate(render_area(shown, room, height, top, ready=up)):
        is_last = number == height - 1
        label = format_rate(top).replace(".0 ", " ") if not number and any(shown) else ""
        label = "0" if is_last and height > 1 else label
        cells = [part(f"{label.rjust(_LABEL)} ", "dim")]
        blank = len(text) - len(text.rstrip())
        if note and not number and blank >= len(note) + 2:
            kept = text[: len(text) - blank]
            gap = max(1, (blank - len(note)) // 2) if kept else blank - len(note) - 2
            cells += [part(kept, style), part(" " * gap + note, "dim")]
        else:
            cells.append(part(text, style))
        lines.append(tuple(cells))
    return lines


def specification_lines(
    forward: Forward, now: float, defaults: ForwardDefaults, width: int
) -> list[Line]:
    """Return the rule, the options and figures of a forward, and its command."""
    lines = [rule_line((part("specification", "title"),), "", width)]
    lines += _wrapped(_facts(forward, now), width, _FACT_LINES)
    lines += _pod_lines(forward.pods, forward.earlier_pods, width)
    command = format_command(forward.spec, defaults)
    lines.append((part(f" {natural(command, max(0, width - 2))}", "dim"),))
    return lines


def _facts(forward: Forward, now: float) -> list[HeaderCell]:
    spec, counters = forward.spec, forward.counters
    facts: list[tuple[str, str]] = []
    if spec.label:
        facts.append((f"label {spec.label}", "strong"))
    facts.append((_followed_pods(spec.target), "dim"))
    facts.append((f"queue {spec.queue_timeout_s:g} s", "dim"))
    facts.append((f"half-close {spec.half_close_timeout_s:g} s", "dim"))
    if forward.preconnect is not None:
        facts.append(_preconnect(spec.preconnect, forward.preconnect))
    if spec.profile:
        facts.append((f"profile {spec.profile}", "dim"))
    if forward.started_at:
        facts.append((f"up {format_age(now - forward.started_at)}", "dim"))
    failed, total = counters.connections_failed, counters.connections_total
    if failed:
        facts.append((f"{failed} of {total} failed", failure_style(forward, now)))
    else:
        facts.append((pluralize(total, "connection"), "dim"))
    if forward.queued:
        style = figure_style(Figure.QUEUED, forward.queued)
        facts.append((f"{forward.queued} queued", style))
    facts += _first_byte(forward)
    for arrow, count in (("↓", counters.bytes_from_pod), ("↑", counters.bytes_to_pod)):
        if count > 0:
            facts.append((f"{arrow} {format_bytes(count)}", "dim"))
    if access := describe_access_options(spec.target.options):
        facts.append((access, "warn"))
    if forward.environment:
        facts.append((f"environment of {forward.environment}", "warn"))
    return [part(text, style) for text, style in facts]


def _followed_pods(target: Target) -> str:
    if target.balance is Balance.SPREAD:
        return "spreads over all Ready pods"
    return "pinned to this pod" if target.pin else "follows its owner"


# Pods that are shown; the others are counted.
_MAX_POD_LINES: Final = 8


def _pod_lines(shares: Sequence[PodShare], earlier: EarlierPods | None, width: int) -> list[Line]:
    """Return a line for each pod that connections are spread over, the busiest first.

    Pods that are no more used have one line, so that all lines add up to the totals.
    """
    busiest = sorted(
        shares, key=lambda one: (one.state is PodShareState.LEAVING, -one.connections_open)
    )
    shown = busiest[:_MAX_POD_LINES]
    names = max((cell_len(one.pod.name) for one in shown), default=0)
    name_width = min(names, max(12, width - 50))
    lines = [_pod_line(one, name_width, width) for one in shown]
    if len(busiest) > len(shown):
        lines.append((part(f" … {pluralize(len(busiest) - len(shown), 'more pod')}", "dim"),))
    if earlier is not None:
        name = pluralize(earlier.pods, "earlier pod").ljust(name_width)
        text = f"{name}  {earlier.connections_total} total · {_bytes_text(earlier)}"
        lines.append((part(f" · {natural(text, max(0, width - 4))}", "dim"),))
    return lines


def _pod_line(share: PodShare, name_width: int, width: int) -> Line:
    name = natural(share.pod.name, name_width)
    symbol, style = _SHARE_MARKS[share.state]
    figures = (
        f"{share.connections_open} open, {share.connections_total} total · {_bytes_text(share)}"
    )
    note = "finishes its connections" if share.state is PodShareState.LEAVING else share.reason
    text = f"{figures} · {note}" if note else figures
    head = f" {symbol} {name}{' ' * (name_width - cell_len(name))}  "
    return part(head, style), part(natural(text, max(0, width - cell_len(head) - 1)), "dim")


def _bytes_text(counted: PodShare | EarlierPods) -> str:
    return f"↓ {format_bytes(counted.bytes_from_pod)} ↑ {format_bytes(counted.bytes_to_pod)}"


_SHARE_MARKS: Final = {
    PodShareState.READY: ("●", "ok"),
    PodShareState.CONNECTING: ("◐", "warn"),
    PodShareState.LEAVING: ("○", "dim"),
}


def _preconnect(count: int, status: PreconnectStatus) -> tuple[str, str]:
    """Return how many of the connections opened ahead are ready, or that there are none."""
    if status.off:
        return "preconnect off: the server closes silent connections", "warn"
    return f"preconnect {count}, {status.ready} ready", "dim"


def _first_byte(forward: Forward) -> list[tuple[str, str]]:
    times = forward.first_byte
    if times is None:
        return []
    return [
        (f"TTFB p50 {milliseconds(times.p50_s)}", figure_style(Figure.FIRST_BYTE, times.p50_s)),
        (f"p99 {milliseconds(times.p99_s)}", figure_style(Figure.FIRST_BYTE, times.p99_s)),
    ]


def _wrapped(facts: Sequence[HeaderCell], width: int, most: int) -> list[Line]:
    """Return facts side by side in as many lines as they need, at most `most`."""
    lines: list[list[HeaderCell]] = [[]]
    used = 0
    for fact in facts:
        text = natural(fact.text, max(0, width - 2))
        needed = cell_len(text) + (len(_SEPARATOR) if lines[-1] else 0)
        if lines[-1] and used + needed > width - 2:
            if len(lines) == most:
                break
            lines.append([])
            used, needed = 0, cell_len(text)
        lines[-1] += [part(_SEPARATOR if lines[-1] else " ", "dim"), part(text, fact.style)]
        used += needed
    return [tuple(line) for line in lines if line]


def tabs_title(shown: str) -> str:
    """Return the names of the tabs, the one that is shown in brackets."""
    return " ".join(f"[{name}]" if name == shown else name for name in TABS)


def tab_at(shown: str, x: int) -> str | None:
    """Return the tab whose name is at a cell of the title."""
    start = 0
    for name in TABS:
        end = start + len(name) + (2 if name == shown else 0)
        if start <= x < end:
            return name
        start = end + 1
    return None
