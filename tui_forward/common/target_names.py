"""Short names of targets in tables and sentences. Pure."""

from __future__ import annotations

from tui_forward.model import Target, TargetKind


def object_name(target: Target) -> str:
    """Return kind and name: `deploy/api-gateway`, `-l app=web`."""
    is_selector = target.kind is TargetKind.SELECTOR
    return f"-l {target.name}" if is_selector else f"{target.kind.value}/{target.name}"


def target_name(target: Target) -> str:
    """Return kind, name and port: `deploy/api-gateway:http`."""
    return f"{object_name(target)}:{target.port}"
