"""Forwards as table lines and as JSON objects."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click
import msgspec

from tui_forward.cli.event_output import STATE_STYLES
from tui_forward.cli.output import style, use_color
from tui_forward.cli.proxy_output import proxy_lines, proxy_to_dict
from tui_forward.common.access_options import describe_access_options
from tui_forward.common.formatting import (
    UNANSWERED_HINT,
    format_rate,
    format_short_reason,
    format_unanswered,
    format_warning,
    pluralize,
    short_age,
)
from tui_forward.common.printable import escape_json, one_line
from tui_forward.model import Forward, ForwardState, PodShare, ProxyInfo

_MAX_WIDTH = 48
_AMBER = "33"
_INSECURE = " (TLS not verified)"
_HEADER = ("ID", "NAME", "LOCAL", "TARGET", "STATE", "CONNS", "RATE", "AGE")
_STATE = _HEADER.index("STATE")


def forward_to_dict(forward: Forward) -> dict[str, Any]:
    """Return a forward for JSON output, with the same keys in every command."""
    spec, counters = forward.spec, forward.counters
    return {
        "forward": forward.id,
        "profile": spec.profile,
        "proxy": spec.proxy,
        "name": spec.name,
        "context": spec.target.context,
        "options": describe_access_options(spec.target.options),
        "insecure": forward.insecure,
        "target": str(spec.target),
        "state": "paused" if forward.paused else forward.state.value,
        "code": forward.code.value,
        "reason": forward.reason,
        "short_reason": format_short_reason(forward, time.time()),
        "hint": forward.hint,
        "warnings": [msgspec.to_builtins(warning) for warning in forward.warnings],
        "environment": forward.environment,
        "listening": [str(address) for address in forward.listening],
        "pod": forward.pod.name if forward.pod is not None else "",
        "balance": spec.target.balance.value,
        "pods": [_pod_to_dict(share) for share in forward.pods],
        "earlier_pods": msgspec.to_builtins(forward.earlier_pods),
        "started_at": forward.started_at,
        "connections": counters.connections_open,
        "bytes_from_pod": counters.bytes_from_pod,
        "bytes_to_pod": counters.bytes_to_pod,
        "first_byte": msgspec.to_builtins(forward.first_byte),
        "reconnects": forward.reconnects,
        "preconnect": msgspec.to_builtins(forward.preconnect),
        "unanswered": msgspec.to_builtins(forward.unanswered),
    }


def _pod_to_dict(share: PodShare) -> dict[str, Any]:
    return {**msgspec.to_builtins(share), "pod": share.pod.name}


def json_lines(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield one JSON line for each object."""
    return map(json_line, records)


def json_line(record: dict[str, Any]) -> str:
    """Return an object as one JSON line that stdout can encode."""
    try:
        line = escape_json(msgspec.json.encode(record)).decode()
        line.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # a path that is not UTF-8, or a stdout that is not
        return json.dumps(record)
    return line


def format_table(forwards: Sequence[Forward], *, color: bool) -> Iterator[str]:
    """Yield a header, and a line for each forward; below it options, reason and warnings, if any.

    There is a reason if it is not ready.
    """
    now = time.time()
    rows = [_HEADER]
    rows += [
        (
            one.id,
            one.spec.name or "-",
            _local_text(one),
            _target_text(one),
            "paused" if one.paused else one.state.value,
            str(one.counters.connections_open),
            format_rate(one.counters.rate_from_pod + one.counters.rate_to_pod) or "-",
            short_age(now - one.started_at),
        )
        for one in forwards
    ]
    rows = [tuple(one_line(cell) for cell in row) for row in rows]  # type: ignore[misc]
    widths = [
        min(_MAX_WIDTH, max(len(row[column]) for row in rows)) for column in range(len(_HEADER))
    ]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if number == 0:
            yield style("  ".join(cells).rstrip(), "2", color=color)
            continue
        forward = forwards[number - 1]
        if not forward.paused:
            is_amber = forward.warnings and forward.state is ForwardState.READY
            code = _AMBER if is_amber else STATE_STYLES[forward.state]
            cells[_STATE] = style(cells[_STATE], code, color=color)
        yield "  ".join(cells).rstrip()
        if options := describe_access_options(forward.spec.target.options):
            yield style(f"    with {one_line(options)}", "2", color=color)
        notes = [(format_warning(one, now), one.hint) for one in forward.warnings]
        if forward.state not in (ForwardState.READY, ForwardState.STOPPED):
            notes.insert(0, (forward.reason, forward.hint))
        if forward.unanswered is not None:
            notes.append((format_unanswered(forward.unanswered, now), UNANSWERED_HINT))
        for reason, hint in notes:
            advice = f" → {one_line(hint)}" if hint else ""
            yield style(f"    {one_line(reason)}{advice}", "2", color=color)


def _local_text(forward: Forward) -> str:
    if forward.spec.proxy:
        return f"by {forward.spec.proxy}"
    return str(forward.listening[0]) if forward.listening else "-"


def _target_text(forward: Forward) -> str:
    target = forward.spec.target
    insecure = _INSECURE if forward.insecure else ""
    return f"{target.context}{insecure}/{target}"


def print_forwards(
    forwards: Sequence[Forward], *, as_json: bool, proxies: Sequence[ProxyInfo] = ()
) -> None:
    """Print proxies and forwards on stdout, or on stderr that there are none."""
    if as_json:
        records = [proxy_to_dict(one, forwards) for one in proxies]
        records += map(forward_to_dict, forwards)
        for line in json_lines(records):
            click.echo(line)
        return
    for line in table_lines(forwards, proxies, color=use_color(sys.stdout)):
        click.echo(line)
    if not (forwards or proxies):
        click.echo("no active forwards", err=True)


def table_lines(
    forwards: Sequence[Forward], proxies: Sequence[ProxyInfo], *, color: bool
) -> Iterator[str]:
    """Yield the lines of the proxies, then the table of the forwards, if there are any."""
    yield from proxy_lines(proxies, forwards, color=color)
    if forwards:
        yield from format_table(forwards, color=color)


def print_save_problem(problem: str) -> None:
    """Print on stderr why the active forwards are not saved (`Snapshot.save_problem`), if so."""
    if problem:
        click.echo(f"warning: {one_line(problem)}", err=True)


def format_ready_count(forwards: Sequence[Forward]) -> str:
    """Return a summary such as `3 forwards, 2 ready`."""
    ready = sum(one.state.value == "ready" for one in forwards)
    count = pluralize(len(forwards), "forward")
    return count if ready == len(forwards) else f"{count}, {ready} ready"
