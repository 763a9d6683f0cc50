"""Interface between a forward and the source of the pod that its target resolves to.

`catalog` implements it; `session` connects the two. The engine reads no cluster state itself.
"""

from __future__ import annotations

from typing import Protocol

from tui_forward.model import Resolution, Target


class TargetWatch(Protocol):
    """One target, followed through every change of the cluster."""

    @property
    def current(self) -> Resolution:
        """Return what the target resolves to now. Never blocks."""

    async def changed(self, since: Resolution) -> Resolution:
        """Wait until `current` differs from `since`, and return it. Safe to cancel."""

    def invalidate(self, pod_uid: str) -> None:
        """Process evidence from a tunnel that this pod is gone (sandbox errors).

        The watch may not have received the change yet: it reads again, and does not return that
        pod until the API has reported something newer about it.
        """

    def close(self) -> None:
        """Stop following. Idempotent."""


class TargetResolver(Protocol):
    """Factory of target watches."""

    def watch(self, target: Target) -> TargetWatch:
        """Start to follow a target; problems become `Unresolved`, not exceptions."""
