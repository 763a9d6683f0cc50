"""Hints in the words of the dashboard: what its session returns names keys, not commands. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from tui_forward.errors import TuiForwardError
from tui_forward.model import ApiHealth, CatalogView, Forward, Hop, ResourceStatus, Snapshot
from tui_forward.reasons.key_hints import key_hint


def snapshot_with_keys(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot whose hints name keys."""
    return replace(
        snapshot,
        forwards=tuple(map(_forward_with_keys, snapshot.forwards)),
        health=tuple(map(_health_with_keys, snapshot.health)),
    )


def hops_with_keys(hops: Iterable[Hop]) -> tuple[Hop, ...]:
    """Return hops whose hints name keys."""
    return tuple(
        replace(hop, hint=key_hint(hop.code, hop.hint)) if hop.hint else hop for hop in hops
    )


def view_with_keys(view: CatalogView) -> CatalogView:
    """Return a view of a cluster whose hints name keys."""
    health = view.health
    return replace(
        view,
        resources=tuple(map(_resource_with_keys, view.resources)),
        health=_health_with_keys(health) if health is not None else None,
    )


def error_hint(error: TuiForwardError) -> str:
    """Return the hint of an error in the words of the dashboard."""
    return key_hint(error.code, error.hint)


def _forward_with_keys(forward: Forward) -> Forward:
    warnings = tuple(
        replace(warning, hint=key_hint(warning.code, warning.hint)) for warning in forward.warnings
    )
    if not forward.hint and not warnings:
        return forward
    return replace(forward, hint=key_hint(forward.code, forward.hint), warnings=warnings)


def _health_with_keys(health: ApiHealth) -> ApiHealth:
    return replace(health, hint=key_hint(health.code, health.hint)) if health.hint else health


def _resource_with_keys(status: ResourceStatus) -> ResourceStatus:
    return replace(status, hint=key_hint(status.code, status.hint)) if status.hint else status
