"""Rows of the forwards table. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from tui_forward.common.formatting import (
    format_bytes,
    format_countdown,
    format_rate,
    format_short_reason,
    format_uptime,
    format_warning,
    pluralize,
    short_age,
)
from tui_forward.model import (
    Forward,
    ForwardState,
    LocalAddress,
    TargetKind,
)
from tui_forward.tui.viewmodel import columns
from tui_forward.tui.viewmodel.cell_layout import HIDDEN, longest_cell
from tui_forward.tui.viewmodel.context_names import (
    PLAIN_NAMING,
    ContextNames,
    ContextNaming,
    context_of,
)
from tui_forward.tui.viewmodel.forward_list import Heading
from tui_forward.tui.viewmodel.pod_names import shorten_pods
from tui_forward.tui.viewmodel.rows import STATE_MARKS, Cell, Row, pod_text
from tui_forward.tui.viewmodel.thresholds import HIGH_RATE, Figure, figure_style

_LOCALHOST = frozenset({"127.0.0.1", "::1"})
_WORDS = {ForwardState.CONNECTING: "connects", ForwardState.RECONNECTING: "retries"}
_POSITIONS = {column.key: at for at, column in enumerate(columns.FORWARDS) if column.key}
_UNMEASURED = (0,) * len(columns.FORWARDS)


class ForwardLabels(msgspec.Struct, frozen=True):
    """What forwards of one table are called: contexts and namespaces only where they differ."""

    contexts: ContextNames
    with_context: bool
    with_namespace: bool
    longest: tuple[int, ...]  # see `cell_layout.fit`


def forward_labels(
    forwards: Collection[Forward], context: str, naming: ContextNaming = PLAIN_NAMING
) -> ForwardLabels:
    """Return the labels of forwards beside a context on view."""
    contexts = naming.names(map(context_of, forwards))
    namespaces = {one.spec.target.namespace for one in forwards}
    with_context = contexts.has_protected or any(
        one.spec.target.context != context or one.spec.target.options.insecure for one in forwards
    )
    with_namespace = len(namespaces) > 1
    longest = list(_UNMEASURED)
    measured: dict[str, Collection[str]] = {
        "context": contexts.texts,
        "namespace": namespaces,
        "target": [target_cell(one).text for one in forwards],
        "local": [local_cell(one).text for one in forwards],
        "pod": set(map(pod_text, forwards)),
    }
    for key, texts in measured.items():
        longest[_POSITIONS[key]] = longest_cell(texts)
    if not with_context:
        longest[_POSITIONS["context"]] = HIDDEN
    if not with_namespace:
        longest[_POSITIONS["namespace"]] = HIDDEN
    return ForwardLabels(contexts, with_context, with_namespace, tuple(longest))


def forward_row(
    forward: Forward, now: float, labels: ForwardLabels, *, traffic: str = "", marked: bool = False,
    spans: Sequence[tuple[int, int]] = (),
) -> Row:  # fmt: skip
    """Return the row of a forward: traffic while ready, otherwise countdown and reason."""
    target = forward.spec.target
    symbol, style = state_mark(forward)
    head = (
        Cell(symbol, style), Cell(state_word(forward), style),
        labels.contexts.cell(context_of(forward)),
        Cell(target.namespace, "dim"), target_cell(forward, spans), local_cell(forward),
    )  # fmt: skip
    if forward.state is not ForwardState.READY or forward.paused:
        return Row(
            (*head, Cell(problem_text(forward, now), style)),
            word=Cell(problem_word(forward, now), style), second=second_line(forward),
            marked=marked,
        )  # fmt: skip
    counters = forward.counters
    return Row((
        *head, _connections_cell(forward),
        rate_cell(counters.rate_from_pod, "down"), rate_cell(counters.rate_to_pod, "up"),
        Cell(traffic, "traffic"),
        Cell(format_uptime(now - forward.since) if forward.since else "", "dim"),
        total_cell(counters.bytes_from_pod), total_cell(counters.bytes_to_pod),
        Cell(pod_text(forward), "dim"), _event_cell(forward, now),
    ), marked=marked)  # fmt: skip


def state_mark(forward: Forward) -> tuple[str, str]:
    """Return the symbol of a forward's state and its style."""
    if forward.paused:
        return "‖", "dim"
    symbol, style = STATE_MARKS[forward.state]
    is_marked = forward.state is ForwardState.READY and forward.warnings
    return symbol, "warn" if is_marked else style


def state_word(forward: Forward) -> str:
    """Return the name of a forward's state."""
    return "paused" if forward.paused else forward.state.value


def has_problem(forward: Forward) -> bool:
    """Return whether a forward is neither ready nor paused."""
    return forward.state is not ForwardState.READY and not forward.paused


def target_cell(forward: Forward, spans: Sequence[tuple[int, int]] = ()) -> Cell:
    """Return the target; spans are those of its name."""
    target = forward.spec.target
    is_selector = target.kind is TargetKind.SELECTOR
    kind = "-l " if is_selector else f"{target.kind.value}/"
    lead = len(kind)
    return Cell(
        f"{kind}{target.name}:{target.port}", "dim" if forward.paused else "",
        tuple((start + lead, end + lead) for start, end in spans),
        lead=lead, trail=len(target.port) + 1,
    )  # fmt: skip


def local_cell(forward: Forward) -> Cell:
    """Return the local end: the port on localhost, else the address, marked beyond loopback.

    That of a target of a cluster proxy is the proxy.
    """
    is_used = bool(forward.listening) and forward.state is not ForwardState.BLOCKED
    style = "strong" if is_used and not forward.paused else "dim"
    if forward.spec.proxy:
        return Cell(f"by {forward.spec.proxy}", "dim")
    if not forward.listening:
        return Cell(f":{forward.spec.local_port}" if forward.spec.local_port else "", style)
    first = min(forward.listening, key=_address_order)
    if not is_loopback(first):
        return Cell(f"! {first}", "warn")
    return Cell(f":{first.port}" if first.host in _LOCALHOST else str(first), style)


def _address_order(address: LocalAddress) -> tuple[bool, bool]:
    """Sort addresses that other machines reach first, then IPv4."""
    return is_loopback(address), ":" in address.host


def is_loopback(address: LocalAddress) -> bool:
    """Return whether only this machine reaches an address."""
    return address.host == "::1" or address.host.startswith("127.")


def problem_text(forward: Forward, now: float) -> str:
    """Return countdown, queued connections and short reason: `3 s · 4 queued · pod replaced`."""
    if forward.paused:
        return f"paused {short_age(now - forward.since)} ago" if forward.since else "paused"
    reason = format_short_reason(forward, now) or forward.reason
    queued = f"{forward.queued} queued" if forward.queued else ""
    return " · ".join(filter(None, (_countdown(forward, now), queued, reason)))


def problem_word(forward: Forward, now: float) -> str:
    """Return the state in 9 cells: `blocked`, `waiting`, `retry 3 s`, `paused`."""
    countdown = _countdown(forward, now)
    if countdown and not forward.paused and len(countdown) <= 4:
        return f"retry {countdown}"[:9]
    return "paused" if forward.paused else _WORDS.get(forward.state, forward.state.value)


def _countdown(forward: Forward, now: float) -> str:
    if forward.paused or forward.retry_at is None or forward.retry_at <= now:
        return ""
    return format_countdown(forward.retry_at - now)


def second_line(forward: Forward) -> Cell | None:
    """Return cause and fix of a forward that is neither ready nor paused."""
    if not has_problem(forward):
        return None
    fix = f" → {forward.hint}" if forward.hint else ""
    cause = shorten_pods(forward.reason, forward.spec.target)
    return Cell(f"└ {cause}{fix}", "dim", trail=len(fix), trail_style="strong")


def heading_row(heading: Heading, name: str = "") -> Row:
    """Return the heading of a group: count, ready forwards, traffic."""
    members = heading.members
    ready = sum(forward.state is ForwardState.READY for forward in members)
    title = f"{'▸' if heading.folded else '▾'} {name or heading.title}"
    proxy = heading.proxy
    parts = [pluralize(len(members), "forward" if proxy is None else "target")]
    if ready < len(members):
        parts.append(f"{ready} ready")
    if proxy is not None and proxy.refused:
        parts.append(f"{proxy.refused} refused")
    if proxy is not None and proxy.reason:
        parts.append(proxy.reason)
    traffic = [
        f"{arrow} {format_rate(total)}"
        for arrow, total in (
            ("↓", sum(forward.counters.rate_from_pod for forward in members)),
            ("↑", sum(forward.counters.rate_to_pod for forward in members)),
        )
        if format_rate(total)
    ]
    style = "warn" if proxy is not None and proxy.reason else "strong"
    return Row((Cell(" · ".join([title, *parts, *traffic]), style),))


def _connections_cell(forward: Forward) -> Cell:
    """Return the number of open connections, amber while others wait."""
    count = forward.counters.connections_open
    style = figure_style(Figure.QUEUED, forward.queued, good="strong")
    return Cell(str(count) if count else "", style)


def rate_cell(rate: float, style: str) -> Cell:
    """Return a rate, blank if nothing moves."""
    return Cell(format_rate(rate), f"{style}-strong" if rate >= HIGH_RATE else style)


def total_cell(count: int) -> Cell:
    """Return a number of bytes, blank for none."""
    return Cell(format_bytes(count) if count > 0 else "", "dim")


def _event_cell(forward: Forward, now: float) -> Cell:
    """Return the worst warning, else the last event."""
    if forward.warnings:
        return Cell(format_warning(forward.warnings[0], now), "warn")
    return Cell(forward.last_event, "dim")
