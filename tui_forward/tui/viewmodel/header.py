"""The header line: context, API server, forwards by state, connections and rates. Pure.

It has a richer form in wider terminals. Counts of forwards are always shown in full. Targets of
cluster proxies, which come and go by themselves, are counted apart from what the user started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from rich.cells import cell_len

from tui_forward.common.access_options import describe_access_options
from tui_forward.common.formatting import format_age, format_rate, milliseconds, pluralize
from tui_forward.errors import TuiForwardError
from tui_forward.model import ApiHealth, Forward, ForwardState, HopKind, Reason, Snapshot
from tui_forward.reasons import failed_hop, is_login
from tui_forward.settings.protected_contexts import INSECURE, MARK
from tui_forward.tui.viewmodel.cell_layout import truncate
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.context_names import (
    PLAIN_NAMING,
    ContextNames,
    ContextNaming,
    UsedContext,
    context_of,
    context_of_server,
)
from tui_forward.tui.viewmodel.rows import STATE_MARKS
from tui_forward.tui.viewmodel.thresholds import Figure, figure_style

_WITH_LATENCY, _WITH_NAME, _WITH_WORDS = 100, 110, 160  # widths in cells
_GAP: Final = "  "
_MIN_CONTEXT = 8
# Worst first.
_STATES: Final = (
    ForwardState.BLOCKED, ForwardState.RECONNECTING, ForwardState.WAITING,
    ForwardState.CONNECTING, ForwardState.STARTING, ForwardState.READY,
)  # fmt: skip
PAUSED: Final = "paused"


class HeaderCell(msgspec.Struct, frozen=True):
    """A part of the header, and the action of the app that a click on it runs."""

    text: str
    style: str = ""
    action: str = ""
    gap: str = _GAP  # before it

    @property
    def width(self) -> int:
        """Width in cells with its gap."""
        return cell_len(self.text) + cell_len(self.gap)


class HeaderContent(msgspec.Struct, frozen=True):
    """Cells from the left, and cells at the right end."""

    left: tuple[HeaderCell, ...]
    right: tuple[HeaderCell, ...] = ()


def count_states(forwards: Iterable[Forward]) -> Mapping[str, int]:
    """Return the number of forwards in each state, worst first, without zeros."""
    counts = dict.fromkeys((*(state.value for state in _STATES), PAUSED), 0)
    for forward in forwards:
        name = PAUSED if forward.paused else forward.state.value
        counts[name] = counts.get(name, 0) + 1
    return {name: count for name, count in counts.items() if count}


def build_header(
    cluster: ClusterState, snapshot: Snapshot, width: int, error: TuiForwardError | None = None,
    *, naming: ContextNaming = PLAIN_NAMING,
) -> HeaderContent:  # fmt: skip
    """Return the header for a terminal of `width` cells."""
    counts = _count_cells(snapshot, with_words=width >= _WITH_WORDS, is_short=width < _WITH_LATENCY)
    right = _traffic_cells(snapshot, with_upload=width >= _WITH_LATENCY)
    name = [HeaderCell("tui-forward", "strong", "command_palette")] if width >= _WITH_NAME else []
    room = width - 2 - _width(counts) - _width(right)
    if error is not None:
        fault = HeaderCell(f"■ {error.message}", "bad", "log")
        return HeaderContent((*name, _cut(fault, room - _width(name)), *counts), right)
    shown_context = UsedContext(cluster.scope.context, cluster.scope.options)
    troubles = _troubles(snapshot)
    names = naming.names((shown_context, *troubles, *map(context_of, snapshot.forwards)))
    place = _place_cells(cluster, names.cell(shown_context).text)
    health = cluster.health
    shown: list[HeaderCell]
    if health is not None and health.ok is False:
        is_waiting = is_login(health.code)
        hint = f" → {health.hint}" if health.hint and not is_waiting else ""
        text = f"login: {health.error}" if is_waiting else f"API ✗ {health.error}{hint}"
        fault = HeaderCell(text, "warn" if is_waiting else "bad", "log")
        spare = room - _width([*name, *place])
        shown = [*name, *place, _cut(fault, max(len(_GAP) + 5, spare))]
    else:
        shown = [*name, *place, *_health_cells(health, with_latency=width >= _WITH_LATENCY)]
        shown += _credential_cells(health, snapshot.at)
        if width >= _WITH_WORDS:
            shown += _trouble_cells(cluster, troubles, names, room - _width(shown))
    excess = _width(shown) - room
    if excess > 0 and name:
        shown, excess = shown[1:], excess - name[0].width
    while excess > 0 and right:
        excess -= right[-1].width
        right = right[:-1]
    if excess > 0:  # the name of the context gives way
        at = next(number for number, cell in enumerate(shown) if cell.action == "context")
        mark = INSECURE if shown[at].text.endswith(INSECURE) else ""
        context = shown[at].text.removesuffix(mark)
        least = max(_MIN_CONTEXT, cell_len(context) - excess)
        text = truncate(context, min(least, cell_len(context)), middle=True) + mark
        shown[at] = HeaderCell(text, shown[at].style, shown[at].action)
        while _width(shown) > room and len(shown) > at + 1:
            del shown[-1]
        if _width(shown) > room:
            shown[at] = _cut(shown[at], room + len(_GAP))
    if width >= _WITH_WORDS:
        traffic = (msgspec.structs.replace(right[0], gap=" " + _GAP), *right[1:]) if right else ()
        return HeaderContent(tuple(shown), (*counts, *traffic))
    return HeaderContent((*shown, *counts), right)


def _width(cells: Sequence[HeaderCell]) -> int:
    return sum(cell.width for cell in cells)


def _cut(cell: HeaderCell, room: int) -> HeaderCell:
    width = max(1, min(cell_len(cell.text), room - cell_len(cell.gap)))
    return HeaderCell(truncate(cell.text, width), cell.style, cell.action, cell.gap)


def _place_cells(cluster: ClusterState, shown: str) -> list[HeaderCell]:
    scope, health = cluster.scope, cluster.health
    name = shown.removesuffix(INSECURE)
    insecure = name != shown or (health is not None and health.insecure)
    protected = "protected" if name.endswith(MARK) else ""
    cells = [
        HeaderCell(
            f"{name or 'no context'} ▾{INSECURE if insecure else ''}",
            "warn" if insecure else protected or "strong", "context",
        ),
        HeaderCell("ns:", "dim", "namespace"),
        HeaderCell(f"{scope.namespace or 'all'} ▾", "strong", "namespace", gap=" "),
    ]  # fmt: skip
    access = describe_access_options(scope.options)
    if access:
        cells.append(HeaderCell(access, "warn"))
    return cells


def _health_cells(health: ApiHealth | None, *, with_latency: bool) -> list[HeaderCell]:
    if health is None or health.ok is None:
        return [HeaderCell("API …", "dim", "log")]
    latency_s = health.latency_s
    style = figure_style(Figure.API, latency_s, good="ok")
    cells = [HeaderCell("API", "dim", "log"), HeaderCell("●", style, "log", gap=" ")]
    if with_latency and latency_s is not None:
        text = milliseconds(latency_s, whole=True)
        cells.append(HeaderCell(text, "" if style == "ok" else style, "log", gap=" "))
    return cells


def _credential_cells(health: ApiHealth | None, now: float) -> list[HeaderCell]:
    """Return until when credentials are valid that only the user can renew, if that is soon."""
    end = health.credentials_end_at if health is not None else None
    if health is None or end is None or health.renews_credentials:
        return []
    style = figure_style(Figure.CREDENTIALS, end - now, good="")
    if not style:
        return []
    left = f"end in {format_age(end - now)}" if end > now else "expired"
    return [HeaderCell(f"credentials {left}", style, "log_in")]


def _trouble_cells(
    cluster: ClusterState, troubles: Mapping[UsedContext, str], names: ContextNames, room: int
) -> list[HeaderCell]:
    """Return the other contexts in trouble, and why, as far as there is room for them."""
    cells: list[HeaderCell] = []
    for used, reason in troubles.items():
        if used.context == cluster.scope.context:
            continue
        name = names.cell(used)
        found = [
            HeaderCell(name.text, name.style if name.style == "protected" else "bad"),
            HeaderCell(f"✗ {reason}", "bad", gap=" "),
        ]
        room -= _width(found)
        if room < 0:
            break
        cells += found
    return cells


def _troubles(snapshot: Snapshot) -> dict[UsedContext, str]:
    """Return the contexts whose API server cannot be used, each once, with the short reason."""
    troubles: dict[str, tuple[UsedContext, str]] = {}
    for one in snapshot.health:
        if one.ok is False:
            reason = one.short_error or one.error
            troubles.setdefault(one.context, (context_of_server(one), reason))
    for forward in snapshot.forwards:
        is_api = failed_hop(Reason(code=forward.code)) is HopKind.API
        if forward.state is ForwardState.BLOCKED and is_api:
            reason = forward.short_reason or forward.reason
            troubles.setdefault(forward.spec.target.context, (context_of(forward), reason))
    return dict(troubles.values())


def _count_cells(snapshot: Snapshot, *, with_words: bool, is_short: bool) -> tuple[HeaderCell, ...]:
    own = [forward for forward in snapshot.forwards if not forward.spec.proxy]
    total = len(own)
    others = sum(one.forwards for one in snapshot.other_engines)
    elsewhere = f" ({others} elsewhere)" if others else ""
    noun = "fwd" if is_short and total else "forward" if total == 1 else "forwards"
    counts = count_states(own)
    head = HeaderCell(
        f"{total} {noun}{elsewhere}{':' if counts else ''}",
        "strong" if total else "",
        "filter_state('')",
        gap="   ",
    )
    cells = _state_cells(counts, with_words=with_words)
    return (head, *cells, *_proxy_cells(snapshot, with_words=with_words))


def _state_cells(counts: Mapping[str, int], *, with_words: bool) -> list[HeaderCell]:
    cells: list[HeaderCell] = []
    for name, count in counts.items():
        mark, style = ("‖", "dim") if name == PAUSED else STATE_MARKS[ForwardState(name)]
        text = f"{mark} {count} {name}" if with_words else f"{mark}{count}"
        gap = _GAP if with_words and cells else " "
        cells.append(HeaderCell(text, style, f"filter_state('{name}')", gap=gap))
    return cells


def _proxy_cells(snapshot: Snapshot, *, with_words: bool) -> list[HeaderCell]:
    """Return the number of targets of the cluster proxies, and of those with problems by state."""
    if not snapshot.proxies:
        return []
    targets = [forward for forward in snapshot.forwards if forward.spec.proxy]
    problems = {
        name: count
        for name, count in count_states(targets).items()
        if name not in (ForwardState.READY, PAUSED)
    }
    noun = "proxy" if len(snapshot.proxies) == 1 else "proxies"
    number = pluralize(len(targets), "target") if with_words else f"{len(targets)}"
    head = HeaderCell(
        f"{noun} {number}{':' if problems else ''}",
        "warn" if any(proxy.reason for proxy in snapshot.proxies) else "",
    )
    return [head, *_state_cells(problems, with_words=with_words)]


def _traffic_cells(snapshot: Snapshot, *, with_upload: bool) -> tuple[HeaderCell, ...]:
    totals = snapshot.totals
    count = totals.connections_open
    cells = [HeaderCell(f"{count} conn" if count == 1 else f"{count} conns", "", "top_talkers")]
    for arrow, rate, style in (
        ("↓", totals.rate_from_pod, "down"),
        *((("↑", totals.rate_to_pod, "up"),) if with_upload else ()),
    ):
        if text := format_rate(rate):
            cells.append(HeaderCell(f"{arrow} {text}", style, "top_talkers"))
    return tuple(cells)
