"""Hops from a client to the application, as seen by a forward and tested by a doctor."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tui_forward.model.reason import ReasonCode
from tui_forward.model.specs import NO_OPTIONS, AccessOptions, Target, TransportChoice


class HopKind(StrEnum):
    """Hops from a client to the application, in this order."""

    LOCAL = "local"
    API = "api"
    KUBELET = "kubelet"
    RUNTIME = "runtime"
    POD = "pod"
    PORT = "port"


class HopState(StrEnum):
    """State of a hop."""

    OK = "ok"
    DEGRADED = "degraded"  # it works now, and may not serve
    BROKEN = "bad"
    UNKNOWN = "unknown"


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One hop, with the facts about it."""

    kind: HopKind
    name: str = ""  # "127.0.0.1:8080", "node-a", "web-6d8c-x2k"; empty if unknown
    facts: tuple[str, ...] = ()  # address, version and so on, the most important first
    state: HopState = HopState.UNKNOWN
    latency_s: float | None = None  # round trip to it, if measured
    code: ReasonCode | None = None  # last fault of the hop
    error: str = ""  # text of `code`
    hint: str = ""


class DoctorHop(StrEnum):
    """Hops that a doctor tests, in this order."""

    KUBECONFIG = "kubeconfig"
    CREDENTIALS = "credentials"
    DNS = "dns"
    PROXY = "proxy"
    TCP = "tcp"
    TLS = "tls"
    API = "api"
    IDENTITY = "identity"
    PERMISSIONS = "permissions"
    # These need a target.
    TARGET = "target"
    UPGRADE = "upgrade"
    KUBELET = "kubelet"
    RUNTIME = "runtime"
    PORT = "port"


class DoctorOutcome(StrEnum):
    """Outcome of the test of one hop."""

    RUNNING = "running"  # the outcome follows
    GOOD = "good"
    NOTE = "note"  # it works, and something is worth knowing
    FAULT = "fault"
    NOT_REACHED = "not_reached"  # not tested, because a hop before it is broken


class DoctorQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a doctor tests. Empty names mean the current context, and its namespace."""

    context: str = ""
    namespace: str = ""
    options: AccessOptions = NO_OPTIONS
    # None stops at permissions. Its context, namespace and options are those above; without a
    # port, the first TCP port that it declares is tested.
    target: Target | None = None
    transport: TransportChoice = TransportChoice.AUTO
    forward: str = ""  # id of a forward in whose environment it is tested; empty for the caller's


class DoctorResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of the test of one hop; the latest of a hop and transport counts."""

    hop: DoctorHop
    outcome: DoctorOutcome
    transport: TransportChoice | None = None  # of `UPGRADE`, which has a result for each
    tried: str = ""  # "resolve api.corp", "get the version"
    duration_s: float | None = None  # of the test
    facts: tuple[str, ...] = ()  # what was found, the most important first
    code: ReasonCode | None = None  # of a fault or a note
    cause: str = ""  # text of `code`
    fix: str = ""  # a command or a setting
    manifest: str = ""  # YAML that grants what is missing
    broken: DoctorHop | None = None  # why a hop was not reached
