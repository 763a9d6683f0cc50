"""Formatting of bytes, rates, durations and times. Pure.

Defined for every number: what is negative or not a number counts as zero, and what is beyond the
largest unit is shown as such. A figure can be wrong, but it cannot end the screen that shows it.
"""

from __future__ import annotations

import math
import shlex
import time
from typing import Final

from tui_forward.model import Forward, ForwardWarning, OtherEngine, UnansweredConnections

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
# Above all byte counts and durations that make sense, and exact as a float.
_MAX = 1e18
_MAX_TIME = 253402300799.0  # the end of the year 9999
_MAX_AGE_S = 86400.0 * 99_999


def _amount(value: float, maximum: float = _MAX) -> float:
    """Return a number from 0 to the maximum."""
    # Compared first, because an integer may be too large for a float.
    if value >= maximum:
        return maximum
    return float(value) if value > 0 else 0.0


def format_bytes(count: float) -> str:
    """`0 B`, `999 B`, `1.2 kB`, `84.1 MB`, `1.2 GB`, `>999 PB`: at most 7 characters."""
    value, unit = _amount(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    if unit == 0:
        return f"{value:.0f} B"
    if value >= 999.5:
        return f">999 {_UNITS[unit]}"
    digits = 0 if value >= 99.95 else 1
    return f"{value:.{digits}f} {_UNITS[unit]}"


def format_rate(bytes_per_s: float) -> str:
    """`1.2 MB/s`; nothing at all when nothing moves."""
    return f"{format_bytes(bytes_per_s)}/s" if bytes_per_s >= 0.5 else ""


def format_age(seconds: float) -> str:
    """`8s`, `4m12s`, `3h05m`, `12d`: at most 6 characters below 100 days."""
    whole = int(_amount(seconds, _MAX_AGE_S))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d"


def short_age(seconds: float) -> str:
    """`8s`, `4m`, `3h`, `12d`: at most 4 characters below 1000 days."""
    whole = int(_amount(seconds, _MAX_AGE_S))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def format_uptime(seconds: float) -> str:
    """`8s`, `4m`, `3h05m`, `12d`: an age that changes once a minute after the first one."""
    return short_age(seconds) if seconds < 3600 else format_age(seconds)


def milliseconds(seconds: float, *, whole: bool = False) -> str:
    """`0.4 ms`, `4 ms`, `12 ms`, `1.5 s`, then an age: at most 6 characters below 100 days.

    `whole` milliseconds move what is beside them less often.
    """
    seconds = _amount(seconds, _MAX_AGE_S)
    if seconds >= 600:
        return format_age(seconds)
    if seconds >= 9.95:
        return f"{seconds:.0f} s"
    if seconds >= 0.9995:
        return f"{seconds:.1f} s"
    value = seconds * 1000
    if value >= (0.95 if whole else 9.95):
        return f"{value:.0f} ms"
    return f"{value:.1f} ms".replace(".0", "")


def format_countdown(seconds: float) -> str:
    """`3 s`, `4m10s`: rounded up, so that it ends with 1 s; at most 6 characters."""
    whole = math.ceil(_amount(seconds, _MAX_AGE_S))
    return f"{whole} s" if whole < 100 else format_age(whole)


def format_warning(warning: ForwardWarning, now: float) -> str:
    """Return the reason of a warning, and how often and when it last happened.

    `nothing listens on port 80 in the pod · 3 times, last 8s ago`
    """
    if not warning.count:
        return warning.reason
    ago = f"{short_age(now - warning.last_at)} ago"
    times = f"{warning.count} times, last {ago}" if warning.count > 1 else ago
    return f"{warning.reason} · {times}"


def format_unanswered(unanswered: UnansweredConnections, now: float) -> str:
    """Return the hint of connections without an answer.

    `the last 4 connections got no byte back for 2m`
    """
    age = short_age(now - unanswered.since)
    return f"the last {unanswered.count} connections got no byte back for {age}"


UNANSWERED_HINT: Final = (
    "Check that the port speaks the protocol of the client, and the log of the container"
)


def format_short_reason(forward: Forward, now: float) -> str:
    """Return the short reason of a forward: `token expired 12 min ago`; at most 29 cells."""
    if forward.expired_at is None:
        return forward.short_reason
    age = _amount(now - forward.expired_at, _MAX_AGE_S)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if age >= size:
            return f"{forward.short_reason} {age // size:.0f} {unit} ago"
    return f"{forward.short_reason} now"


def describe_other_engine(engine: OtherEngine) -> str:
    """Return what runs in another engine, and how to list it."""
    count = pluralize(engine.forwards, "forward")
    verb = "runs" if engine.forwards == 1 else "run"
    kubeconfig, command = "the default kubeconfig", "env -u KUBECONFIG"
    if engine.kubeconfig:
        kubeconfig = f"KUBECONFIG={engine.kubeconfig}"
        command = f"KUBECONFIG={shlex.quote(engine.kubeconfig)}"
    return f"{count} {verb} with {kubeconfig}. List: {command} tui-forward ls"


def pluralize(count: int, noun: str, many: str = "") -> str:
    """`1 forward`, `2 forwards`."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or noun + 's'}"


def format_duration(seconds: float) -> str:
    """Return a duration in at most two units: "350 ms", "1.8 s", "3 min 5 s", "2 h 10 min"."""
    seconds = _amount(seconds, _MAX_AGE_S)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60} min" if rest >= 60 else f"{hours} h"


def format_clock(at: float) -> str:
    """Return an epoch time as `15:04:05` in the local time zone."""
    return time.strftime("%H:%M:%S", time.localtime(_amount(at, _MAX_TIME)))
