"""Whose log belongs to a forward. Pure."""

from __future__ import annotations

from tui_forward.model import Forward, LogSource


def log_source_of(forward: Forward, container: str = "", *, previous: bool = False) -> LogSource:
    """Return the log of the pod behind a forward."""
    return LogSource(
        target=forward.spec.target,
        pod=forward.pod.name if forward.pod is not None else "",
        container=container,
        port=forward.remote_port,
        previous=previous,
        forward=forward.id,
    )
