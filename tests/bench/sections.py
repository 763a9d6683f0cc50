"""What is measured of each forwarder, and the rows that show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.bench import measurements
from tests.bench.forwarders import Running
from tests.bench.measurements import MIB
from tests.bench.result_table import Row
from tests.bench.rounds import Section
from tests.bench.wakeups import activity

REPLACEMENT = "pod replaced: first byte after Ready"
ROWS = (
    Row("download", "MiB/s", more_is_better=True, target=1.15),
    Row("upload", "MiB/s", more_is_better=True, target=1.4),
    Row("client CPU, download", "s/GiB", target=0.55, digits=2),
    Row("client CPU, upload", "s/GiB", target=0.6, digits=2),
    Row("client busy, download", "% of a core"),
    Row("client busy, upload", "% of a core"),
    Row("connect + first byte p50", "ms", target=0.8, digits=2),
    Row("connect + first byte p99", "ms", digits=2),
    Row("round trip p50", "ms", target=0.93, digits=3),
    Row("round trip p99", "ms", digits=3),
    Row("first burst of 50, p50", "ms", digits=1),
    Row("first burst of 50, p99", "ms", target=1.0, digits=1),
    Row("50 in turns, answers", "1/s", more_is_better=True, target=1.0),
    Row("50 in turns, p99", "ms", digits=1),
    Row("100 on one connection, answers", "1/s", more_is_better=True, target=1.0),
    Row("500 at once, failed", "", target=1.0),
    Row("500 at once, p50", "ms", target=1.0),
    Row("500 at once, p99", "ms", target=1.3),
    Row("2,000 at once, failed", "", target=1.0),
    Row("2,000 at once, p50", "ms", target=0.8),
    Row("2,000 at once, p99", "ms"),
    Row("peak memory after that", "MiB", target=0.5),
    Row("quiet, wakeups", "1/s", digits=1),
    Row("quiet, busy", "% of a core", digits=2),
    Row("quiet, connect + first byte p50", "ms", digits=2),
    Row("beside 10 stopped readers p50", "ms", digits=2),
    Row("beside 10 stopped servers p50", "ms", digits=2),
    Row("works after they have ended", "yes/no"),
    Row(REPLACEMENT, "ms"),
)

# An HTTP request with a few headers, and a Redis command with a small value.
_REQUEST_BYTES = 300
_COMMAND_BYTES = 64
_STREAMS = 100
# Streams for the next connections are opened in a pause, where that is requested.
_PAUSE_S = 0.05
# Threads and checks of the start are over.
_SETTLE_S = 5.0


@dataclass(frozen=True)
class Scale:
    """How much is measured: bytes per transfer, and seconds."""

    size: int
    burst_s: float
    ping_pong_s: float
    quiet_s: float
    connects: int
    round_trips: int


FULL = Scale(256 * MIB, burst_s=5.0, ping_pong_s=5.0, quiet_s=10.0, connects=100, round_trips=500)
SHORT = Scale(32 * MIB, burst_s=2.0, ping_pong_s=1.0, quiet_s=2.0, connects=40, round_trips=200)

Measure = Callable[[Running, Scale], Mapping[str, float]]


def speed(running: Running, scale: Scale) -> Mapping[str, float]:
    """Measure bulk transfers, connects and round trips of a process that is warm."""
    measurements.connects(running, 20)
    down = measurements.download(running, scale.size)
    up = measurements.upload(running, scale.size)
    connects = measurements.connects(running, scale.connects)
    trips = measurements.round_trips(running, scale.round_trips)
    return {
        "download": down.mib_s,
        "client CPU, download": down.cpu_s_per_gib,
        "client busy, download": down.busy_percent,
        "upload": up.mib_s,
        "client CPU, upload": up.cpu_s_per_gib,
        "client busy, upload": up.busy_percent,
        "connect + first byte p50": connects.p50_ms,
        "connect + first byte p99": connects.p99_ms,
        "round trip p50": trips.p50_ms,
        "round trip p99": trips.p99_ms,
    }


def burst(running: Running, scale: Scale) -> Mapping[str, float]:
    """Measure fifty connections with keep-alive right after the start."""
    done = measurements.ping_pong(running, 50, scale.burst_s, size=_REQUEST_BYTES)
    return {
        "first burst of 50, p50": done.spread.p50_ms,
        "first burst of 50, p99": done.spread.p99_ms,
    }


def ping_pong(running: Running, scale: Scale) -> Mapping[str, float]:
    """Measure many small requests: on fifty connections, then at once on one, as HTTP/2 does."""
    measurements.ping_pong(running, 50, 0.5, size=_COMMAND_BYTES)
    many = measurements.ping_pong(running, 50, scale.ping_pong_s, size=_COMMAND_BYTES)
    one = measurements.ping_pong(running, 1, scale.ping_pong_s, size=_REQUEST_BYTES, depth=_STREAMS)
    return {
        "50 in turns, answers": many.per_s,
        "50 in turns, p99": many.spread.p99_ms,
        "100 on one connection, answers": one.per_s,
    }


def crowds(running: Running, scale: Scale) -> Mapping[str, float]:
    """Measure many connections at once, and the memory that they took."""
    figures: dict[str, float] = {}
    for count in (500, 2000):
        crowd = measurements.crowd(running, count, timeout_s=30.0)
        figures[f"{count:,} at once, failed"] = crowd.failed
        if crowd.failed < count:
            figures[f"{count:,} at once, p50"] = crowd.first_byte.p50_ms
            figures[f"{count:,} at once, p99"] = crowd.first_byte.p99_ms
    return {**figures, "peak memory after that": running.peak_bytes() / MIB}


def quiet(running: Running, scale: Scale) -> Mapping[str, float]:
    """Measure what a forwarder does that has nothing to do, and single connects after that."""
    measurements.connects(running, 1)
    measurements.settle(_SETTLE_S)
    done = activity([running.process.pid], scale.quiet_s)
    connects = measurements.connects(running, scale.connects, pause_s=_PAUSE_S)
    return {
        "quiet, wakeups": done.wakeups_per_s,
        "quiet, busy": done.busy_percent,
        "quiet, connect + first byte p50": connects.p50_ms,
    }


def stalled(running: Running, scale: Scale) -> Mapping[str, float]:
    """Measure connections next to stalled ones."""
    figures: dict[str, float] = {}
    for row, port in (
        ("beside 10 stopped readers p50", measurements.SOURCE),
        ("beside 10 stopped servers p50", measurements.NEVER_READS),
    ):
        spread = measurements.beside_stalled(running, port, 10, 30) if running.alive else None
        if spread is not None:
            figures[row] = spread.p50_ms
    return {**figures, "works after they have ended": float(measurements.recovers(running))}


MEASURES: dict[str, Measure] = {
    "speed": speed, "burst": burst, "ping-pong": ping_pong, "crowds": crowds, "quiet": quiet,
    "stalled": stalled,
}  # fmt: skip


def section(name: str, scale: Scale) -> Section[Running]:
    """Return a section of a benchmark of this scale."""
    measure = MEASURES[name]
    return Section(name, lambda running: measure(running, scale))
