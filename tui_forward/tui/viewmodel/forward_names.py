"""Short names of forwards in sentences. Pure."""

from __future__ import annotations

from tui_forward.model import Forward, Target, TargetKind


def target_name(target: Target) -> str:
    """Return kind, name and port: `deploy/api-gateway:http`."""
    if target.kind is TargetKind.SELECTOR:
        return f"-l {target.name}:{target.port}"
    return f"{target.kind.value}/{target.name}:{target.port}"


def forward_name(forward: Forward) -> str:
    """Return the name of a forward's target."""
    return target_name(forward.spec.target)
