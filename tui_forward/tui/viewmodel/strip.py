"""The strip below the forwards: state, cause and fix of the row under the cursor, and its chain.

Pure. In the cluster it says what `1` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.cells import cell_len

from tui_forward.common.formatting import (
    format_unanswered,
    format_warning,
    milliseconds,
    pluralize,
)
from tui_forward.model import ApiHealth, Forward, ForwardState, HopKind, Login, Reason
from tui_forward.reasons import failed_hop
from tui_forward.tui.viewmodel.cell_layout import truncate
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.entry_rows import predicted_local_port
from tui_forward.tui.viewmodel.entry_targets import is_forwardable
from tui_forward.tui.viewmodel.forward_rows import problem_text
from tui_forward.tui.viewmodel.header import HeaderCell
from tui_forward.tui.viewmodel.lines import Line
from tui_forward.tui.viewmodel.logins import login_of, read_prompt
from tui_forward.tui.viewmodel.pod_names import shorten_pods
from tui_forward.tui.viewmodel.rows import state_cell, waiting_text
from tui_forward.tui.viewmodel.thresholds import Figure, failure_style, figure_style

_ARROW: Final = " → "
_LINK: Final = " ─── "
_HOPS: Final = tuple(HopKind)
_NEEDS_DOCTOR: Final = (ForwardState.BLOCKED, ForwardState.RECONNECTING)
_MARKS: Final = {None: ("○", "dim"), True: ("●", "ok"), False: ("✗", "bad")}


def forward_lines(
    forward: Forward, health: Iterable[ApiHealth], now: float, width: int,
    logins: Iterable[Login] = (),
) -> tuple[Line, Line]:  # fmt: skip
    """Return what a forward does or lacks, and its chain, for `width` cells."""
    return _state_line(forward, now, width, logins), _chain_line(forward, health)


def entry_line(
    entry: Entry,
    forwards: Iterable[Forward],
    number_of_forwards: int,
    lacking: Sequence[str] = (),
) -> Line:
    """Return what `1` does on an entry of the cluster, which has some forwards already.

    `lacking` are the permissions that its forwards need and the user does not have.
    """
    name = HeaderCell(f"{entry.kind.value}/{entry.name}", "strong")
    port = next(iter(entry.ports), None)
    if port is None:
        return (name, HeaderCell("no declared ports · f forwards any port", "dim"))
    if number_of_forwards:
        active = f"{pluralize(number_of_forwards, 'active forward')} · 1 goes to it or starts one"
        return (name, HeaderCell(active, "dim"))
    if lacking:
        # Muted: roles may have changed since they were read, so that a start may be tried.
        needed = f"no permission to {' and '.join(lacking)} in {entry.namespace}"
        return (name, HeaderCell(f"{needed} · 1 tries it", "dim"))
    if not is_forwardable(port):
        return (name, HeaderCell(f"port 1 is {port.protocol.value} · f forwards any port", "dim"))
    used = {address.port for forward in forwards for address in forward.listening}
    local = predicted_local_port(port.number, used)
    where = f"on 127.0.0.1:{local}" if local else "on a free local port"
    return (name, HeaderCell(f"1 starts {port.name or port.number} {where}", "dim"))


def _state_line(forward: Forward, now: float, width: int, logins: Iterable[Login]) -> Line:
    state = state_cell(forward)
    first = HeaderCell(state.text, state.style)
    room, is_reason = width - cell_len(state.text), False
    if forward.paused:
        cause, fix = _addresses(forward) or "", "p continues it"
    elif forward.warnings:
        cause = format_warning(forward.warnings[0], now)
        fix = forward.warnings[0].hint
    elif (login := login_of(forward, logins)) is not None and read_prompt(login.text).text:
        prompt = read_prompt(login.text)
        cause, fix = prompt.text, prompt.hint
    elif forward.state is not ForwardState.READY:
        cause, fix, is_reason = waiting_text(forward, now), forward.hint, True
        cause = shorten_pods(cause, forward.spec.target)
    else:
        return (first, *_ready_cells(forward, now))
    cells = [first]
    fix = f"{_ARROW}{fix}" if fix else ""
    spare = room - 2 - cell_len(fix)
    if is_reason and cell_len(cause) > spare:
        cause = problem_text(forward, now)  # whole rather than the beginning of a sentence
    if cause and spare > 0:
        cells.append(HeaderCell(truncate(cause, min(spare, cell_len(cause)))))
    if fix:
        gap = "" if len(cells) > 1 else "  "
        cells.append(HeaderCell(fix if gap == "" else fix.strip(), "strong", gap=gap))
    return tuple(cells)


def _addresses(forward: Forward) -> str:
    addresses = sorted(forward.listening, key=lambda address: ":" in address.host)  # IPv4 first
    return ", ".join(map(str, addresses))


def _ready_cells(forward: Forward, now: float) -> list[HeaderCell]:
    cells = [HeaderCell(_addresses(forward), "strong")]
    if forward.unanswered is not None:
        cells.append(HeaderCell(format_unanswered(forward.unanswered, now), "dim"))
    if forward.transport is not None:
        cells.append(HeaderCell(f"{forward.transport.value} ×{forward.tunnels}", "dim"))
    if forward.round_trip_s is not None:
        style = figure_style(Figure.ROUND_TRIP, forward.round_trip_s)
        cells.append(HeaderCell(f"{milliseconds(forward.round_trip_s)} round trip", style))
    counters = forward.counters
    connections = pluralize(counters.connections_total, "connection")
    failed = f"{connections}, {counters.connections_failed} failed"
    cells.append(HeaderCell(failed, failure_style(forward, now)))
    if forward.queued:
        style = figure_style(Figure.QUEUED, forward.queued)
        cells.append(HeaderCell(f"{forward.queued} queued", style))
    if forward.spec.profile:
        cells.append(HeaderCell(f"profile {forward.spec.profile}", "dim"))
    return cells


def _chain_line(forward: Forward, health: Iterable[ApiHealth]) -> Line:
    """Return the hops with what is known of them without a request."""
    names = _hop_names(forward, health)
    states = hop_states(forward)
    cells: list[HeaderCell] = []
    for kind in _HOPS:
        mark, style = _MARKS[states[kind]]
        gap = _LINK if cells else ""
        if cells:
            cells.append(HeaderCell(_LINK, "dim", gap=""))
            gap = ""
        cells += [HeaderCell(mark, style, gap=gap), HeaderCell(names[kind], "", gap=" ")]
    if forward.state in _NEEDS_DOCTOR and not forward.paused:
        cells.append(HeaderCell("D tests each hop", "dim", gap="   "))
    return tuple(cells)


def _hop_names(forward: Forward, health: Iterable[ApiHealth]) -> dict[HopKind, str]:
    target, pod = forward.spec.target, forward.pod
    api = next((one for one in health if one.context == target.context), None)
    latency = (
        f" {milliseconds(api.latency_s, whole=True)}" if api is not None and api.latency_s else ""
    )
    local = next((f":{address.port}" for address in forward.listening), "this machine")
    port = (
        ""
        if forward.remote_port is None or target.port == str(forward.remote_port)
        else (f" {forward.remote_port}")
    )
    return {
        HopKind.LOCAL: local,
        HopKind.API: f"API{latency}",
        HopKind.KUBELET: f"kubelet {pod.node}" if pod is not None and pod.node else "kubelet",
        HopKind.RUNTIME: "runtime",
        HopKind.POD: f"pod {pod.name}" if pod is not None else "pod",
        HopKind.PORT: f"{target.port}{port}",
    }


def hop_states(forward: Forward) -> dict[HopKind, bool | None]:
    """Return for each hop whether it is good; None for one that is not tested."""
    code = forward.warnings[0].code if forward.warnings else forward.code
    broken = None if forward.paused else failed_hop(Reason(code=code))
    if broken is None:
        is_ready = forward.state is ForwardState.READY
        states: dict[HopKind, bool | None] = dict.fromkeys(_HOPS, True if is_ready else None)
        if forward.listening:
            states[HopKind.LOCAL] = True
        return states
    at = _HOPS.index(broken)
    after = True if forward.state is ForwardState.READY else None
    return {
        kind: True if number < at else False if number == at else after
        for number, kind in enumerate(_HOPS)
    }


def fit_line(cells: Sequence[HeaderCell], width: int) -> Line:
    """Return the cells that fit, the last of them cut."""
    found: list[HeaderCell] = []
    room = width
    for cell in cells:
        needed = cell.width if found else cell_len(cell.text)
        if needed > room:
            spare = room - (cell_len(cell.gap) if found else 0)
            if spare > 1:
                found.append(
                    HeaderCell(truncate(cell.text, spare), cell.style, cell.action, cell.gap)
                )
            break
        found.append(cell)
        room -= needed
    return tuple(found)
