"""A context, the health of its API server, and the objects on view."""

from __future__ import annotations

import msgspec

from tui_forward.model.forward import BlockedBy
from tui_forward.model.objects import Namespace, PodSummary, Service, Workload
from tui_forward.model.reason import ReasonCode
from tui_forward.model.specs import NO_OPTIONS, AccessOptions, ClusterKey, TargetKind


class ResourceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """State of the watch of one resource in one scope."""

    resource: str  # "pods", "services", …
    synced: bool = False  # the first list is complete
    count: int = 0  # number of objects
    code: ReasonCode | None = None  # why it is not live
    error: str = ""  # text of `code`
    hint: str = ""
    forbidden: bool = False  # the error is RBAC's ("list pods in namespace shop")
    # If all namespaces cannot be listed at once: those that are listed one by one, those where
    # that is forbidden, and those that are too many.
    only_in: tuple[str, ...] = ()
    forbidden_in: tuple[str, ...] = ()
    beyond_limit: tuple[str, ...] = ()


class ApiHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Health of one context's API server; `ok` is None until the first response."""

    context: str
    server: str = ""
    ok: bool | None = None
    latency_s: float | None = None
    version: str = ""
    code: ReasonCode | None = None
    error: str = ""
    short_error: str = ""  # in at most 29 cells
    hint: str = ""
    blocked_by: BlockedBy | None = None
    insecure: bool = False  # the server's certificate is not verified
    options: AccessOptions = NO_OPTIONS  # without secrets
    # When the credentials in use end to be valid, as they say themselves; None if they do not.
    credentials_end_at: float | None = None
    renews_credentials: bool = False  # without the user: a plugin or an identity provider


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """A kubeconfig context by name; no credentials."""

    name: str
    cluster: str
    namespace: str = "default"
    current: bool = False
    server: str = ""  # host of its API server, without port and credentials
    insecure: bool = False  # the server's certificate is not verified
    problem: str = ""  # why it cannot be used, for example: the kubeconfig lacks its cluster


class CatalogScope(msgspec.Struct, frozen=True):
    """Viewed part of a cluster; an empty namespace means all namespaces."""

    context: str
    namespace: str = ""
    options: AccessOptions = NO_OPTIONS

    @property
    def cluster_key(self) -> ClusterKey:
        """The `Target.cluster_key` of active forwards in this cluster: without secrets."""
        return self.context, self.options.without_secrets()


class MissingPermissions(msgspec.Struct, frozen=True, kw_only=True):
    """What the user lacks for forwards in one namespace, as far as the API server tells."""

    scope: CatalogScope  # with a namespace
    # In words ("create pods/portforward"), by the kind of the target; without those that lack
    # nothing.
    by_kind: dict[TargetKind, tuple[str, ...]] = {}


class CatalogView(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of a scope, or their changes since a version."""

    scope: CatalogScope
    version: int  # grows with every change; base of the next request
    complete: bool  # else the lists hold only added and changed objects
    namespaces: tuple[Namespace, ...] = ()
    pods: tuple[PodSummary, ...] = ()
    services: tuple[Service, ...] = ()
    workloads: tuple[Workload, ...] = ()
    removed: tuple[str, ...] = ()  # keys `resource/namespace/name` ("pods/shop/web-1")
    resources: tuple[ResourceStatus, ...] = ()
    health: ApiHealth | None = None
