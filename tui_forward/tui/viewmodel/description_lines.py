"""Lines of the description of an object. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tui_forward.common.formatting import short_age
from tui_forward.model import Description
from tui_forward.tui.viewmodel.log_tail import LogLevel, LogLine, sanitize_terminal_text

_NAME_WIDTH = 16
# Conditions that are good when they are false.
_NEGATIVE = frozenset({
    "DiskPressure", "MemoryPressure", "PIDPressure", "NetworkUnavailable", "ReplicaFailure",
    "Failed", "DisruptionTarget", "FailureTarget", "Suspended",
})  # fmt: skip


def description_lines(description: Description, now: float) -> tuple[LogLine, ...]:
    """Return facts, conditions and events, the latest event first."""
    return tuple(
        LogLine(number, level, sanitize_terminal_text(text))
        for number, (level, text) in enumerate(_lines(description, now))
    )


def _lines(one: Description, now: float) -> Iterator[tuple[LogLevel, str]]:
    yield LogLevel.INFO, f"{one.kind} {one.name}, namespace {one.namespace}"
    if one.error:
        yield LogLevel.WARNING, one.error
    for name, value in one.facts:
        yield LogLevel.INFO, f"  {name:<{_NAME_WIDTH}} {value}"
    if one.conditions:
        yield LogLevel.INFO, ""
        yield LogLevel.INFO, "Conditions"
    for condition in one.conditions:
        good = (condition.status == "True") is not (condition.type in _NEGATIVE)
        age = f"  {short_age(now - condition.since)} ago" if condition.since else ""
        text = f"  {'●' if good else '■'} {condition.type} {condition.status}{age}"
        why = ": ".join(filter(None, (condition.reason, condition.message)))
        yield LogLevel.INFO if good else LogLevel.ERROR, f"{text}  {why}".rstrip()
    yield LogLevel.INFO, ""
    yield LogLevel.INFO, "Events"
    if one.events_error:
        yield LogLevel.WARNING, f"  {one.events_error}"
    elif not one.events:
        yield LogLevel.DEBUG, "  No events. A cluster keeps them for about an hour."
    for event in one.events:
        level = LogLevel.WARNING if event.type == "Warning" else LogLevel.INFO
        age = f"{short_age(now - event.at)} ago" if event.at else ""
        times = f" ({event.count} times)" if event.count > 1 else ""
        yield level, f"  {age:>8}  {event.reason}{times}: {event.message}"
