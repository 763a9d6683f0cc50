"""The chain of a forward as a table: one line for each hop, cause and fix, and its timeline. Pure.

The inspector of the dashboard and the screen of details show the same lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.cells import cell_len

from tui_forward.common.formatting import format_clock, milliseconds
from tui_forward.model import (
    ApiHealth,
    Forward,
    Hop,
    HopKind,
    HopState,
    Target,
    TimelineEntry,
    TimelineKind,
)
from tui_forward.tui.viewmodel.header import HeaderCell
from tui_forward.tui.viewmodel.lines import Line, natural, part
from tui_forward.tui.viewmodel.pod_names import short_pod, shorten_pods
from tui_forward.tui.viewmodel.rows import STATE_MARKS
from tui_forward.tui.viewmodel.strip import hop_states
from tui_forward.tui.viewmodel.thresholds import Figure, figure_style

HOPS: Final = tuple(HopKind)
_NAMES: Final = {
    HopKind.LOCAL: "this machine", HopKind.API: "API server", HopKind.KUBELET: "kubelet",
    HopKind.RUNTIME: "runtime", HopKind.POD: "pod", HopKind.PORT: "port",
}  # fmt: skip
_MARKS: Final = {
    HopState.OK: ("●", "ok"), HopState.DEGRADED: ("●", "warn"), HopState.BROKEN: ("✗", "broken"),
    HopState.UNKNOWN: ("○", "dim"),
}  # fmt: skip
_STATES: Final = {None: HopState.UNKNOWN, True: HopState.OK, False: HopState.BROKEN}
_FIGURES: Final = {HopKind.API: Figure.API}
_FAULTS: Final = (HopState.BROKEN, HopState.DEGRADED)
_KIND_WIDTH: Final = 12
_LATENCY_WIDTH: Final = 6
_LEAST_FACTS: Final = 12  # cells; with fewer the facts are left out
_TIMELINE_MARKS: Final = {
    TimelineKind.STATE: ("●", ""), TimelineKind.POD: ("·", "dim"),
    TimelineKind.TUNNEL: ("·", "dim"), TimelineKind.CONNECTION: ("✗", "bad"),
    TimelineKind.NOTE: ("·", "dim"),
}  # fmt: skip


def known_hops(forward: Forward, health: Iterable[ApiHealth]) -> tuple[Hop, ...]:
    """Return the hops with what the forward itself tells, until they are tested."""
    api = next((one for one in health if one.context == forward.spec.target.context), None)
    states, pod = hop_states(forward), forward.pod
    addresses = sorted(forward.listening, key=lambda one: ":" in one.host)  # IPv4 first
    first, *others = map(str, addresses) if addresses else ("",)
    port_text = "" if forward.spec.local_port is None else f":{forward.spec.local_port}"
    local = f"proxy {forward.spec.proxy}" if forward.spec.proxy else port_text
    port = forward.spec.target.port
    number = "" if forward.remote_port is None else str(forward.remote_port)
    names = {
        HopKind.LOCAL: first or local,
        HopKind.API: api.server.removeprefix("https://") if api is not None else "",
        HopKind.KUBELET: pod.node if pod is not None else "",
        HopKind.POD: pod.name if pod is not None else "",
        HopKind.PORT: port if port == number else f"{port} {number}".strip(),
    }
    facts: dict[HopKind, tuple[str, ...]] = {
        HopKind.LOCAL: tuple(f"also {one}" for one in others),
        HopKind.API: (api.version,) if api is not None and api.version else (),
    }
    latencies = {
        HopKind.API: api.latency_s if api is not None else None,
        HopKind.RUNTIME: forward.round_trip_s,
    }
    return tuple(
        Hop(
            kind=kind, name=names.get(kind, ""), facts=facts.get(kind, ()),
            state=_STATES[states[kind]], latency_s=latencies.get(kind),
            error=forward.reason if states[kind] is False else "",
            hint=forward.hint if states[kind] is False else "",
        )
        for kind in HOPS
    )  # fmt: skip


def chain_lines(hops: Sequence[Hop], target: Target, width: int) -> list[Line]:
    """Return a line of `width` cells for each hop; a broken one stands out as a whole."""
    texts = [natural(_hop_name(hop, target), width) for hop in hops]
    latencies = [
        milliseconds(hop.latency_s, whole=True) if hop.latency_s is not None else "" for hop in hops
    ]
    room = width - _KIND_WIDTH - 5  # mark, gaps
    latency_width = _LATENCY_WIDTH + 1 if any(latencies) else 0
    longest = max(map(cell_len, texts), default=0)
    name_width = max(0, min(longest, max(18, (room - latency_width) * 45 // 100)))
    facts_width = room - name_width - latency_width - 2
    lines = []
    for hop, text, latency in zip(hops, texts, latencies, strict=True):
        mark, style = _MARKS[hop.state]
        is_broken = hop.state is HopState.BROKEN
        faulty = style if hop.state in _FAULTS else ""
        label = "broken" if is_broken else "dim" if hop.state is HopState.UNKNOWN else "strong"
        kind = _NAMES[hop.kind][:_KIND_WIDTH].ljust(_KIND_WIDTH)
        slow = figure_style(_FIGURES.get(hop.kind, Figure.ROUND_TRIP), hop.latency_s)
        space = "broken" if is_broken else ""
        name = natural(text, name_width, middle=True)
        cells = [
            part(" ", space), part(mark, style), part(" ", space), part(kind, label),
            part("  ", space), part(name, faulty or ("dim" if label == "dim" else "")),
            part(" " * (name_width - cell_len(name)), space),
            part(latency.rjust(latency_width), "broken" if is_broken else slow),
        ]  # fmt: skip
        if facts_width >= _LEAST_FACTS:
            cells += [
                part("  ", space), part(natural(_facts(hop), facts_width), faulty or "dim"),
            ]  # fmt: skip
        lines.append(_padded(cells, width, space))
    return lines


def _padded(cells: Sequence[HeaderCell], width: int, style: str) -> Line:
    """Return cells cut or filled to `width`."""
    found, used = [], 0
    for cell in cells:
        text = natural(cell.text, width - used)
        used += cell_len(text)
        if text:
            found.append(part(text, cell.style))
    if used < width:
        found.append(part(" " * (width - used), style))
    return tuple(found)


def _hop_name(hop: Hop, target: Target) -> str:
    if hop.kind is HopKind.POD:
        return short_pod(hop.name, target) or "-"
    return hop.name or "-"


def _facts(hop: Hop) -> str:
    """Return the facts of a hop; of a fault that they do not show, its reason."""
    if hop.state in _FAULTS and hop.error and (hop.kind is not HopKind.POD or not hop.facts):
        return hop.error
    return " · ".join(hop.facts)


def fault_of(hops: Iterable[Hop]) -> Hop | None:
    """Return the hop that is broken or degraded, if there is one."""
    return next((hop for hop in hops if hop.state in _FAULTS), None)


def timeline_line(entry: TimelineEntry, target: Target, width: int) -> Line:
    """Return a line of the timeline: `12:26:51  ◔ waiting: pod …x2x9k crash-loops`."""
    mark, style = timeline_mark(entry)
    cells = [
        part(" ", ""), part(format_clock(entry.at), "dim"), part("  ", ""), part(mark, style),
        part(f" {shorten_pods(entry.text, target)}", ""),
    ]  # fmt: skip
    return _padded(cells, width, "")


def timeline_mark(entry: TimelineEntry) -> tuple[str, str]:
    """Return the symbol of an entry and its style: that of the state that was entered."""
    if entry.state is not None:
        return STATE_MARKS[entry.state]
    return _TIMELINE_MARKS[entry.kind]
