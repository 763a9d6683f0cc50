"""Answers of the tools. Their fields and descriptions are the schemas that an agent reads.

What a cluster may have written is in fields whose names begin with `untrusted_`.
"""

from __future__ import annotations

import contextlib

from pydantic import BaseModel, Field

from tui_forward.common.arguments import parse_target
from tui_forward.common.doctor_text import summary_text
from tui_forward.common.printable import one_line
from tui_forward.errors import UsageError
from tui_forward.model import (
    ApiHealth,
    CatalogView,
    Connection,
    Context,
    DeclaredPort,
    DoctorResult,
    Forward,
    Hop,
    TargetKind,
    TimelineEntry,
)

_MAX_TEXT = 400


def untrusted(text: str) -> str:
    """Return a text of the cluster as one short line without control characters."""
    line = one_line(text)
    return line if len(line) <= _MAX_TEXT else f"{line[:_MAX_TEXT]}…"


class ForwardAnswer(BaseModel):
    """A forward as it is now."""

    id: str = Field(description="For stop_forward, status and connections.")
    target: str = Field(description="namespace/kind/name:port")
    context: str
    state: str = Field(description="Only ready, with or without warnings, passes bytes on.")
    code: str = Field(description="Stable code of the reason.")
    untrusted_reason: str
    hint: str = Field(description="What the user can do, if something has to be done.")
    local: list[str] = Field(description="Addresses to connect to, host:port.")
    untrusted_pod: str
    connections_open: int
    connections_total: int
    connections_failed: int
    bytes_from_pod: int
    bytes_to_pod: int

    @classmethod
    def of(cls, forward: Forward) -> ForwardAnswer:
        """Return the answer for a forward."""
        counters = forward.counters
        return cls(
            id=forward.id,
            target=str(forward.spec.target),
            context=forward.spec.target.context,
            state=forward.state,
            code=forward.code,
            untrusted_reason=untrusted(forward.reason),
            hint=one_line(forward.hint),
            local=[str(address) for address in forward.listening],
            untrusted_pod=forward.pod.name if forward.pod is not None else "",
            connections_open=counters.connections_open,
            connections_total=counters.connections_total,
            connections_failed=counters.connections_failed,
            bytes_from_pod=counters.bytes_from_pod,
            bytes_to_pod=counters.bytes_to_pod,
        )


class ForwardList(BaseModel):
    """All forwards of the user's engine."""

    forwards: list[ForwardAnswer]


class PortAnswer(BaseModel):
    """A port that can be forwarded to."""

    number: int
    name: str

    @classmethod
    def of(cls, port: DeclaredPort) -> PortAnswer:
        """Return the answer for a port."""
        return cls(number=port.number, name=port.name)


class TargetAnswer(BaseModel):
    """An object that can be forwarded to, as start_forward takes it."""

    target: str = Field(description="KIND/NAME")
    namespace: str
    ready: str = Field(description="Ready pods of all, or the status of a pod.")
    ports: list[PortAnswer] = Field(description="Declared ones; others can be forwarded, too.")


class TargetList(BaseModel):
    """Services, workloads and pods of a namespace."""

    context: str
    namespace: str = Field(description="Empty for all namespaces.")
    untrusted_targets: list[TargetAnswer]
    left_out: int = Field(description="How many more there are: use a filter.")
    untrusted_problems: list[str] = Field(description="What could not be listed, and why.")


class ContextAnswer(BaseModel):
    """A context of the user's kubeconfig."""

    name: str
    current: bool
    protected: bool = Field(description="Forwards start there only if the user agrees.")
    api_server: str = Field(description="ok, unknown until it is used, or what is wrong.")

    @classmethod
    def of(
        cls, context: Context, health: ApiHealth | None, *, is_used: bool, protected: bool
    ) -> ContextAnswer:
        """Return the answer for a context; a ready forward uses its API server."""
        if health is not None and health.ok is False:
            state = untrusted(health.error)
        else:
            state = "ok" if is_used or (health is not None and health.ok) else "unknown"
        return cls(
            name=context.name, current=context.current, protected=protected, api_server=state
        )


class HopAnswer(BaseModel):
    """A hop of a forward's network path, from this machine to the port of the pod."""

    hop: str
    state: str = Field(description="ok, broken or unknown")
    untrusted_text: str

    @classmethod
    def of(cls, hop: Hop) -> HopAnswer:
        """Return the answer for a hop."""
        return cls(
            hop=hop.kind,
            state=hop.state,
            untrusted_text=untrusted(
                ": ".join(filter(None, (hop.name, hop.error or ", ".join(hop.facts))))
            ),
        )


class TimelineAnswer(BaseModel):
    """Something that happened to a forward."""

    at: float = Field(description="Seconds since 1970, UTC.")
    untrusted_text: str

    @classmethod
    def of(cls, entry: TimelineEntry) -> TimelineAnswer:
        """Return the answer for an entry."""
        return cls(at=entry.at, untrusted_text=untrusted(entry.text))


class StatusAnswer(BaseModel):
    """Contexts and counts; for one forward, its details as well."""

    contexts: list[ContextAnswer]
    forwards_by_state: dict[str, int]
    forward: ForwardAnswer | None = None
    hops: list[HopAnswer] = []
    timeline: list[TimelineAnswer] = []


class ConnectionAnswer(BaseModel):
    """A connection of a local client through a forward."""

    id: int
    forward: str
    state: str
    client: str = Field(description="Address and, where known, program of the client.")
    opened_at: float
    bytes_from_pod: int
    bytes_to_pod: int
    untrusted_reason: str

    @classmethod
    def of(cls, one: Connection) -> ConnectionAnswer:
        """Return the answer for a connection."""
        return cls(
            id=one.id,
            forward=one.forward_id,
            state=one.state,
            client=one_line(f"{one.client} {one.process}".strip()),
            opened_at=one.opened_at,
            bytes_from_pod=one.bytes_from_pod,
            bytes_to_pod=one.bytes_to_pod,
            untrusted_reason=untrusted(one.reason),
        )


class ConnectionList(BaseModel):
    """Open connections first, then those closed lately."""

    connections: list[ConnectionAnswer]
    left_out: int


class DoctorHopAnswer(BaseModel):
    """The test of one hop."""

    hop: str
    transport: str = Field(description="Of the hop upgrade, which is tested with each.")
    outcome: str = Field(description="good, note (works even so), fault or not_reached.")
    code: str = Field(description="Stable code of a fault or a note.")
    untrusted_found: str
    untrusted_cause: str
    fix: str = Field(description="What the user can do.")
    manifest: str = Field(description="YAML of a Role that grants what is missing.")

    @classmethod
    def of(cls, result: DoctorResult) -> DoctorHopAnswer:
        """Return the answer for a result."""
        return cls(
            hop=result.hop,
            transport=result.transport or "",
            outcome=result.outcome,
            code=result.code or "",
            untrusted_found=untrusted(summary_text(result)),
            untrusted_cause=untrusted(result.cause),
            fix=one_line(result.fix),
            manifest=result.manifest,
        )


class DoctorAnswer(BaseModel):
    """The hops between this machine and a port, in their order."""

    healthy: bool = Field(description="Whether no hop is broken.")
    hops: list[DoctorHopAnswer]


def list_targets(view: CatalogView, text: str, limit: int) -> tuple[list[TargetAnswer], int]:
    """Return the targets of a view whose name contains a text, and how many more there are."""
    found = [
        TargetAnswer(
            target=f"svc/{one.name}",
            namespace=one.namespace,
            ready="",
            ports=[PortAnswer.of(port) for port in one.ports],
        )
        for one in view.services
    ]
    owned = _ports_of_owners(view)
    found += [
        TargetAnswer(
            target=f"{one.kind}/{one.name}",
            namespace=one.namespace,
            ready=f"{one.ready}/{one.replicas}",
            ports=[
                PortAnswer.of(port) for port in owned.get((one.namespace, one.kind, one.name), ())
            ],
        )
        for one in view.workloads
        if one.owner is None
    ]
    found += [
        TargetAnswer(
            target=f"pod/{one.name}",
            namespace=one.namespace,
            ready=one_line(one.status),
            ports=[PortAnswer.of(port) for port in one.ports],
        )
        for one in view.pods
    ]
    fitting = [one for one in found if text.lower() in one.target.lower()]
    return fitting[:limit], max(0, len(fitting) - limit)


def _ports_of_owners(
    view: CatalogView,
) -> dict[tuple[str, TargetKind, str], dict[DeclaredPort, None]]:
    """Return the ports that the pods of each workload declare, each once."""
    found: dict[tuple[str, TargetKind, str], dict[DeclaredPort, None]] = {}
    for pod in view.pods:
        if pod.owner is not None:
            with contextlib.suppress(UsageError):  # a kind that cannot be forwarded to
                kind, name = parse_target(f"{pod.owner.kind}/{pod.owner.name}")
                key = (pod.namespace, kind, name)
                found.setdefault(key, {}).update(dict.fromkeys(pod.ports))
    return found
