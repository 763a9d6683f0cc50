"""The way from a target to one pod and one of its ports."""

from __future__ import annotations

import msgspec

from tui_forward.model.forward import PodRef
from tui_forward.model.reason import Reason, ReasonCode


class Resolved(msgspec.Struct, frozen=True, kw_only=True, tag="resolved"):
    """A usable pod and the port to dial in it."""

    pod: PodRef
    port: int
    service_port: int | None = None  # number of the service's port, if the target is a service
    # Ready and not terminating; decides whether a refusal is final.
    ready: bool = True
    caution: Reason | None = None  # why the pod or port may not serve; None if nothing is known
    incarnation: str = ""  # changes with every restart of a container
    # With `Balance.SPREAD`: the other Ready pods, and how many seconds a client stays with its pod
    # (`sessionAffinity: ClientIP` of a service); 0 if it does not.
    others: tuple[Resolved, ...] = ()
    affinity_s: int = 0


class Unresolved(msgspec.Struct, frozen=True, kw_only=True, tag="unresolved"):
    """No usable pod now."""

    reason: Reason
    pod: PodRef | None = None  # the pod that `reason` is about, if it exists
    port: int | None = None  # to dial in it, where known
    service_port: int | None = None  # see `Resolved`

    @property
    def is_loading(self) -> bool:
        """Whether the first answer of the API server is outstanding."""
        return self.reason.code is ReasonCode.TARGET_RESOLVING


Resolution = Resolved | Unresolved
