"""Metrics of a session in the OpenMetrics text format (https://openmetrics.io). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from tui_forward.common.printable import escape_unprintable
from tui_forward.model import (
    FIRST_BYTE_BOUNDS_S,
    FirstByteHistogram,
    Forward,
    ForwardState,
    Snapshot,
)

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Labels = dict[str, str]
Sample = tuple[str, Labels, float]  # suffix of the name, labels, value


def format_openmetrics(snapshot: Snapshot | None) -> str:
    """Return all metrics of a session as an OpenMetrics document; None if no engine is running."""
    lines: list[str] = []
    up: tuple[Sample, ...] = (("", {}, float(snapshot is not None)),)
    for name, kind, help_text, samples in (
        ("tui_forward_up", "gauge", "Whether the engine is running.", up),
        *(_families(snapshot) if snapshot is not None else ()),
    ):
        rows = list(samples)
        if rows:
            lines += [f"# TYPE {name} {kind}", f"# HELP {name} {help_text}"]
            lines += [
                f"{name}{suffix}{_labels(labels)} {value:.15g}" for suffix, labels, value in rows
            ]
    return "\n".join([*lines, "# EOF", ""])


def _families(snapshot: Snapshot) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
    forwards = [(one, _forward_labels(one)) for one in snapshot.forwards]
    yield (
        "tui_forward_state", "stateset", "The state of a forward.",
        (
            ("", {**labels, "tui_forward_state": state.value}, float(one.state is state))
            for one, labels in forwards
            for state in ForwardState
        ),
    )  # fmt: skip
    yield (
        "tui_forward_bytes", "counter", "Payload bytes of connections.",
        (
            ("_total", {**labels, "direction": direction}, float(amount))
            for one, labels in forwards
            for direction, amount in (
                ("from_pod", one.counters.bytes_from_pod),
                ("to_pod", one.counters.bytes_to_pod),
            )
        ),
    )  # fmt: skip
    yield (
        "tui_forward_connections_open", "gauge", "Open connections.",
        (("", labels, float(one.counters.connections_open)) for one, labels in forwards),
    )  # fmt: skip
    yield (
        "tui_forward_connections_queued", "gauge", "Connections that wait for a pod.",
        (("", labels, float(one.queued)) for one, labels in forwards),
    )  # fmt: skip
    yield (
        "tui_forward_connections", "counter", "Connections accepted.",
        (("_total", labels, float(one.counters.connections_total)) for one, labels in forwards),
    )  # fmt: skip
    yield (
        "tui_forward_connections_failed", "counter", "Connections that failed.",
        (("_total", labels, float(one.counters.connections_failed)) for one, labels in forwards),
    )  # fmt: skip
    yield (
        "tui_forward_reconnects", "counter", "How often a forward was ready again.",
        (("_total", labels, float(one.reconnects)) for one, labels in forwards),
    )  # fmt: skip
    yield (
        "tui_forward_first_byte_seconds", "histogram",
        "Time from the connect of a client to the first byte from the pod.",
        (sample for one, labels in forwards for sample in _histogram(one.first_bytes, labels)),
    )  # fmt: skip
    yield (
        "tui_forward_api_up", "gauge", "Whether an API server responds.",
        (
            ("", {"context": one.context}, float(one.ok))
            for one in snapshot.health
            if one.ok is not None
        ),
    )  # fmt: skip
    yield (
        "tui_forward_api_latency_seconds", "gauge", "Response time of an API server.",
        (
            ("", {"context": one.context}, one.latency_s)
            for one in snapshot.health
            if one.latency_s is not None
        ),
    )  # fmt: skip


def _histogram(histogram: FirstByteHistogram, labels: Labels) -> Iterator[Sample]:
    bounds = (*map(str, FIRST_BYTE_BOUNDS_S), "+Inf")
    counts = list(accumulate(histogram.counts))
    for bound, count in zip(bounds, counts, strict=True):
        yield "_bucket", {**labels, "le": bound}, float(count)
    yield "_count", labels, float(counts[-1])
    yield "_sum", labels, histogram.sum_s


def _forward_labels(forward: Forward) -> Labels:
    spec = forward.spec
    return {
        "forward": forward.id, "context": spec.target.context, "target": str(spec.target),
        "profile": spec.profile, "name": spec.name,
    }  # fmt: skip


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}"


def _escape(value: str) -> str:
    """Return a label's value; the format itself has escapes for line breaks and quotes only."""
    value = "\n".join(map(escape_unprintable, value.split("\n")))
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
