"""What is active in a session, in a few words. Pure."""

from __future__ import annotations

from tui_forward.common.formatting import pluralize
from tui_forward.model import Forward, Snapshot


def own_forwards(snapshot: Snapshot) -> list[Forward]:
    """Return the forwards of the user: without those that cluster proxies have opened."""
    return [one for one in snapshot.forwards if not one.spec.proxy]


def count_active(snapshot: Snapshot) -> int:
    """Return the number of forwards and cluster proxies."""
    return len(own_forwards(snapshot)) + len(snapshot.proxies)


def describe_proxies(count: int) -> str:
    """Return a text such as `1 cluster proxy`."""
    return pluralize(count, "cluster proxy", "cluster proxies")


def describe_active(snapshot: Snapshot) -> str:
    """Return a text such as `2 forwards and 1 cluster proxy`; empty if nothing is active."""
    count, proxies = len(own_forwards(snapshot)), len(snapshot.proxies)
    parts = [pluralize(count, "forward")] if count else []
    if proxies:
        parts.append(describe_proxies(proxies))
    return " and ".join(parts)
