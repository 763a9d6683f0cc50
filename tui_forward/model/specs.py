"""What a user can specify about a forward and a cluster proxy."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class TargetKind(StrEnum):
    """Kind of a forward's target; the values are kubectl's short names."""

    POD = "pod"
    SERVICE = "svc"
    DEPLOYMENT = "deploy"
    STATEFULSET = "sts"
    DAEMONSET = "ds"
    REPLICASET = "rs"
    REPLICATION_CONTROLLER = "rc"
    JOB = "job"
    SELECTOR = "selector"


class TransportChoice(StrEnum):
    """Protocol of the tunnel; `AUTO` tries the others in this order."""

    AUTO = "auto"
    SPDY = "spdy"
    WEBSOCKET = "websocket"
    CHANNELS = "channels"


class AccessOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """kubectl's options that replace parts of a context's cluster and user; empty ones do not.

    Paths are absolute. They are part of a forward's identity. The secrets in them are kept in
    memory by the engine only: what leaves it, or is saved, is `without_secrets`.
    """

    cluster: str = ""  # entries of the kubeconfig, by name
    user: str = ""
    server: str = ""
    tls_server_name: str = ""
    insecure: bool = False
    certificate_authority: str = ""
    proxy_url: str = ""  # may have a password
    disable_compression: bool = False
    client_certificate: str = ""
    client_key: str = ""
    token: str = ""
    username: str = ""
    password: str = ""
    impersonate_user: str = ""
    impersonate_uid: str = ""
    impersonate_groups: tuple[str, ...] = ()
    impersonate_extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    request_timeout_s: float = 0.0  # of one request, not of a watch or a tunnel; 0 is none
    # Where any field has a secret: the names of these fields, and a random text that tells options
    # apart without their secrets.
    secret_fields: tuple[str, ...] = ()
    secret_id: str = ""

    def __bool__(self) -> bool:
        """Return whether any option is given."""
        return self != NO_OPTIONS

    def __repr__(self) -> str:
        given = (name for name in self.__struct_fields__ if getattr(self, name))
        return f"AccessOptions({', '.join(given)})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The fields that have a secret now."""
        found = [name for name in ("token", "password") if getattr(self, name)]
        return (*found, "proxy_url") if "@" in self.proxy_url else tuple(found)

    @property
    def names_server(self) -> bool:
        """Whether no context is needed to know the server."""
        return bool(self.server or self.cluster)

    def for_other_context(self) -> AccessOptions:
        """Return the options that are safe for a context that they were not given for."""
        return AccessOptions(
            impersonate_user=self.impersonate_user,
            impersonate_uid=self.impersonate_uid,
            impersonate_groups=self.impersonate_groups,
            impersonate_extra=self.impersonate_extra,
            request_timeout_s=self.request_timeout_s,
        )

    def without_secrets(self) -> AccessOptions:
        """Return the options with empty secrets; `secret_fields` shows which ones there are."""
        return msgspec.structs.replace(self, **dict.fromkeys(self.secrets, ""))


NO_OPTIONS: Final = AccessOptions()
# In place of a context where options name the server, and the kubeconfig has no current context.
NO_CONTEXT: Final = "(no context)"


class Balance(StrEnum):
    """Which pods of a target get the new connections."""

    ONE = "one"  # all go to one pod
    SPREAD = "spread"  # each goes to the Ready pod with the fewest open ones


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Object of a cluster, and one of its ports.

    Neither context nor namespace is empty once a spec reaches the engine.
    """

    context: str
    namespace: str
    kind: TargetKind
    name: str  # or a label selector when `kind` is `SELECTOR`
    port: str  # decimal number or name; for a service, its port
    pin: bool = False  # stay on exactly this pod name instead of following its owner
    balance: Balance = Balance.ONE
    options: AccessOptions = NO_OPTIONS

    @property
    def cluster_key(self) -> ClusterKey:
        """The cluster and the identity that are used there: context and options."""
        return self.context, self.options

    def __str__(self) -> str:
        """`namespace/kind/name:port`, as the dashboard and messages show it."""
        what = f"-l {self.name}" if self.kind is TargetKind.SELECTOR else f"{self.kind}/{self.name}"
        return f"{self.namespace}/{what}:{self.port}"


ClusterKey = tuple[str, AccessOptions]
"""A context, and the options that replace parts of it."""


class ForwardDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults of forwards; the user's settings may change them. Fields: see `ForwardSpec`."""

    addresses: tuple[str, ...] = ("localhost",)
    queue_timeout_s: float = 30.0
    half_close_timeout_s: float = 5.0
    transport: TransportChoice = TransportChoice.AUTO

    def spec(self, target: Target) -> ForwardSpec:
        """Return a forward to a target with these defaults."""
        return ForwardSpec(
            target=target,
            addresses=self.addresses,
            queue_timeout_s=self.queue_timeout_s,
            half_close_timeout_s=self.half_close_timeout_s,
            transport=self.transport,
        )


BUILT_IN = ForwardDefaults()


MAX_PRECONNECT = 16
"""The most connections to an application that are opened ahead of their clients."""

PRECONNECT_AGE_S = 5.0
"""How old they may get, unless chosen. Most servers wait longer for the first byte of a request."""

PRECONNECT_AGES_S = (2.0, 300.0)
"""The least and the most that can be chosen: a runtime reports the end of one a second late."""


class ForwardSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the user can specify about one forward."""

    target: Target
    # A number is required, and an error if it is taken. 0 is any free port. None is the target's
    # own number if it is free and not privileged, else the next free one.
    local_port: int | None = None
    # Local ones to listen on; "localhost" means 127.0.0.1 and ::1, of which one suffices.
    addresses: tuple[str, ...] = BUILT_IN.addresses
    transport: TransportChoice = TransportChoice.AUTO
    queue_timeout_s: float = BUILT_IN.queue_timeout_s  # of a connection that waits for a tunnel
    # How long the pod may stay silent after the client's end of file before the connection to the
    # pod is closed.
    half_close_timeout_s: float = BUILT_IN.half_close_timeout_s
    preconnect: int = 0  # connections to the application opened ahead of their clients
    preconnect_age_s: float = PRECONNECT_AGE_S  # how old these may get
    label: str = ""  # of the user, to group and find forwards
    name: str = ""  # in its profile, if it belongs to one
    profile: str = ""  # that profile (`profiles.Profile.id`)
    # Id of the cluster proxy that opened it on demand, and closes it. It has no local port: its
    # clients come from the port of the proxy.
    proxy: str = ""


CLUSTER_DOMAIN: Final = "cluster.local"
PROXY_PORT: Final = 1080
PROXY_IDLE_S: Final = 300.0


class ProxySpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the user can specify about a cluster proxy."""

    context: str = ""  # empty for the current one
    namespace: str = ""  # of names without one; empty for that of the context
    options: AccessOptions = NO_OPTIONS
    port: int = PROXY_PORT  # on 127.0.0.1 and ::1; 0 is any free one
    direct: bool = False  # names outside the cluster are connected to without it
    spread: bool = True  # connections to a service are spread over its ready pods
    # Absolute path of a file with one `NAME:PASSWORD`; empty: no login is needed.
    auth_file: str = ""
    domain: str = CLUSTER_DOMAIN  # of the cluster's names
    # Services get the Host of requests to `*.localhost` without that suffix and the proxy's port.
    strip_suffix: bool = False
    idle_timeout_s: float = PROXY_IDLE_S  # how long a target without connections keeps its tunnels
    queue_timeout_s: float = BUILT_IN.queue_timeout_s  # see `ForwardSpec`
    half_close_timeout_s: float = BUILT_IN.half_close_timeout_s
    transport: TransportChoice = TransportChoice.AUTO
    profile: str = ""  # that started it (`profiles.Profile.id`)
