"""Checks of a forward's specification that need no cluster."""

from __future__ import annotations

from tui_forward.engine.connections.local_ports import check_addresses
from tui_forward.errors import UsageError
from tui_forward.model import (
    MAX_PRECONNECT,
    PRECONNECT_AGES_S,
    Balance,
    ForwardSpec,
    TargetKind,
)

_MAX_PORT = 65535


def validate_spec(spec: ForwardSpec) -> None:
    """Raise `UsageError` for a specification that can never work."""
    target = spec.target
    for field, value in (
        ("context", target.context),
        ("namespace", target.namespace),
        ("name", target.name),
        ("port", target.port),
    ):
        if not value:
            raise UsageError(f"the target has no {field}")
    if target.port.isdecimal() and not 1 <= int(target.port) <= _MAX_PORT:
        raise UsageError(f"there is no port {target.port}", hint=f"ports go from 1 to {_MAX_PORT}")
    if target.balance is Balance.SPREAD and target.kind is TargetKind.POD:
        raise UsageError(
            f"connections cannot be spread over pod/{target.name} alone",
            hint="Forward to its service, deployment or selector",
        )
    if spec.local_port is not None and not 0 <= spec.local_port <= _MAX_PORT:
        raise UsageError(
            f"there is no local port {spec.local_port}",
            hint=f"ports go from 1 to {_MAX_PORT}; 0 means any",
        )
    if spec.queue_timeout_s < 0 or spec.half_close_timeout_s < 0:
        raise UsageError("times cannot be negative")
    if not 0 <= spec.preconnect <= MAX_PRECONNECT:
        raise UsageError(
            f"cannot open {spec.preconnect} connections ahead", hint=f"use 0 to {MAX_PRECONNECT}"
        )
    least_s, most_s = PRECONNECT_AGES_S
    if not least_s <= spec.preconnect_age_s <= most_s:
        raise UsageError(
            f"connections opened ahead cannot be {spec.preconnect_age_s:g} seconds old",
            hint=f"use {least_s:g} to {most_s:g}",
        )
    if not spec.proxy:
        check_addresses(spec.addresses)
