"""The seam between a forward and whoever knows which pod its target means now.

`catalog` implements it; `session` puts the two together. The engine never looks at a
cluster itself.
"""

from __future__ import annotations

from typing import Protocol

from tui_forward.model import Resolution, Target


class TargetWatch(Protocol):
    """One target, followed through every change of the cluster."""

    @property
    def current(self) -> Resolution:
        """What the target means now. Never blocks."""

    async def changed(self, since: Resolution) -> Resolution:
        """Wait until `current` differs from `since`, and return it. Safe to cancel."""

    def invalidate(self, pod_uid: str) -> None:
        """Evidence from a tunnel that this incarnation of the pod is gone (sandbox errors).

        The watch may not have heard of it yet: it looks again, and does not offer that
        pod until the API has said something newer about it.
        """

    def close(self) -> None:
        """Stop following. Idempotent."""


class TargetResolver(Protocol):
    """Makes target watches."""

    def watch(self, target: Target) -> TargetWatch:
        """Begin to follow a target; problems appear as `Unresolved`, never as exceptions."""
