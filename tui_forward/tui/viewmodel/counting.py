"""Whether a screen changes with every second although nothing happens. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.model import ApiHealth, Connection, ConnectionState, Forward, Snapshot

# Younger than this, ages are shown in seconds; those of connections are below an hour.
_SECONDS_S = 60.0
_LONG_S = 3600.0
# Credentials that end sooner have a countdown.
_LAST_SECONDS_S = 120.0


def counts_seconds(
    snapshot: Snapshot, connections: Iterable[Connection], health: ApiHealth | None,
    newest_at: float, now: float,
) -> bool:  # fmt: skip
    """Return whether an age or a countdown in seconds is shown.

    `connections` are those shown, `newest_at` is when the newest object of the cluster was created.
    """
    end = health.credentials_end_at if health is not None else None
    return (
        bool(snapshot.logins)
        or now - newest_at < _SECONDS_S
        or any(_forward_counts(one, now) for one in snapshot.forwards)
        or any(_connection_counts(one, now) for one in connections)
        or (end is not None and 0 <= end - now < _LAST_SECONDS_S)
    )


def _forward_counts(forward: Forward, now: float) -> bool:
    times = [forward.since, *(one.last_at for one in forward.warnings if one.count)]
    if forward.expired_at is not None:
        times.append(forward.expired_at)
    is_waiting = not forward.paused and forward.retry_at is not None and forward.retry_at > now
    return is_waiting or any(now - at < _SECONDS_S for at in times)


def _connection_counts(connection: Connection, now: float) -> bool:
    is_open = connection.state is not ConnectionState.CLOSED
    return is_open and now - connection.opened_at < _LONG_S
