"""Session whose every text was written by an attacker."""

from __future__ import annotations

import enum
import typing
from typing import Any

import msgspec

from tests.cli.fake_session import FakeSession
from tests.common.test_printable import HOSTILE as UNPRINTABLE
from tui_forward.errors import ForwardError
from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    CatalogView,
    Connection,
    Context,
    DeclaredPort,
    Description,
    EngineNotice,
    Forward,
    ForwardSpec,
    ForwardState,
    Hop,
    HopKind,
    HopState,
    LocalAddress,
    Namespace,
    ObjectCondition,
    ObjectEvent,
    OtherEngine,
    Pod,
    PodLog,
    PodRef,
    ProxyInfo,
    ProxySpec,
    ReasonCode,
    ResourceStatus,
    Service,
    Snapshot,
    Target,
    TargetKind,
    TimelineEntry,
    TimelineKind,
    Workload,
)

MARKUP = "[/nope][@click=app.quit]x[/][$y][["
HOSTILE = f"{MARKUP}{UNPRINTABLE}" + "x" * 2_000 + "漢" * 300
CONTEXT, OTHER = "[/nope]c", "[@click=app.quit]d[/]"


_IDS = ("id", "forward_id", "uid", "version", "proxy")


def fill(value: Any, text: str) -> Any:
    """Return a struct in which every text is the attacker's, except ids and what Python checks."""
    changes: dict[str, Any] = {}
    hints = typing.get_type_hints(type(value))
    for field in msgspec.structs.fields(value):
        old = getattr(value, field.name)
        if isinstance(old, enum.Enum) or field.name in _IDS:
            continue
        if isinstance(old, msgspec.Struct):
            changes[field.name] = fill(old, text)
        elif isinstance(old, str) and hints[field.name] in (str, str | None):
            changes[field.name] = f"{old}{text}"
        elif isinstance(old, tuple) and old and isinstance(old[0], msgspec.Struct):
            changes[field.name] = tuple(fill(one, text) for one in old)
        elif isinstance(old, tuple) and old and isinstance(old[0], str):
            changes[field.name] = tuple(f"{one}{text}" for one in old)
        elif isinstance(old, dict):
            changes[field.name] = {f"{key}{text}": f"{one}{text}" for key, one in old.items()}
    return msgspec.structs.replace(value, **changes)


class HostileSession(FakeSession):
    """Session that answers with the attacker's texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        port = DeclaredPort(number=8080, name="p", container="c", target="t")
        scope = CatalogScope(CONTEXT, "")
        namespaces = tuple(
            fill(Namespace(name=f"n{number}", status="s"), text) for number in (1, 2)
        )
        namespace = namespaces[0].name
        pods = [
            Pod(namespace="n", name=f"w{number}", uid=f"u{number}", phase="Running", status="S",
                message="m", ready=number != 2, node="node", ip="ip", labels={"k": "v"},
                ports=(port,), containers_total=1, restarts=3)
            for number in (1, 2, 3)
        ]  # fmt: skip
        pods = [msgspec.structs.replace(fill(one, text), namespace=namespace) for one in pods]
        service = Service(namespace="n", name="s", type="T", cluster_ip="ip", selector="l",
                          ports=(port,))  # fmt: skip
        workload = Workload(namespace="n", name="d", kind=TargetKind.DEPLOYMENT, selector="l")
        health = ApiHealth(context="", server="s", ok=False, version="v", error="e", hint="h")
        health = msgspec.structs.replace(fill(health, text), context=CONTEXT)
        resource = ResourceStatus(resource="services", error="e", hint="h", forbidden=True)
        self.health = (health,)
        self.views[scope] = CatalogView(
            scope=scope, version=1, complete=True, namespaces=namespaces, pods=tuple(pods),
            services=(msgspec.structs.replace(fill(service, text), namespace=namespace),),
            workloads=(msgspec.structs.replace(fill(workload, text), namespace=namespace),),
            resources=(
                ResourceStatus(resource="pods", synced=True, count=3),
                msgspec.structs.replace(
                    resource, error=f"e{text}", hint=f"h{text}"
                ),
            ),
            health=health,
        )  # fmt: skip
        self.context_list = tuple(
            Context(name=name, cluster=f"cl{text}", namespace=namespace, current=name == CONTEXT)
            for name in (CONTEXT, OTHER, f"third{text}")
        )
        proxy = ProxyInfo(
            id="p1", spec=ProxySpec(context=CONTEXT, namespace="n", auth_file="f"),
            listening=(LocalAddress("127.0.0.1", 1080),), code=ReasonCode.RBAC_FORBIDDEN,
            reason="r", hint="h", refused=1, last_refusal="l",
        )  # fmt: skip
        self.proxies["p1"] = fill(proxy, text)
        for number, state in enumerate(ForwardState, 1):
            target = Target(context=CONTEXT, namespace="n", kind=TargetKind.POD, name="w1",
                            port="http")  # fmt: skip
            spec = ForwardSpec(target=target, label="label", name="name", profile="profile",
                               local_port=8000 + number)  # fmt: skip
            forward = Forward(
                id=f"f{number}",
                spec=spec,
                state=state,
                code=ReasonCode.POD_NOT_READY,
                reason="r",
                hint="h",
                last_event="e",
                pod=PodRef(namespace="n", name="w", uid="u", node="k"),
            )
            self.forwards[forward.id] = msgspec.structs.replace(
                fill(forward, text), listening=(LocalAddress("127.0.0.1", 8000 + number),)
            )
        self.connection_list = [
            fill(Connection(id=1, forward_id="f1", client="c", process="p"), text),
            fill(Connection(id=2, forward_id="f1", client="c", closed_at=2.0, failed=True,
                            close_code=ReasonCode.PORT_REFUSED, close_reason="r"), text),
        ]  # fmt: skip
        self.timeline_entries = tuple(
            fill(TimelineEntry(at=1.0, kind=kind, text="t"), text) for kind in TimelineKind
        )
        self.hop_list = tuple(
            fill(Hop(kind=kind, name="n", facts=("a", "b"), state=HopState.BROKEN, error="e",
                     hint="h"), text)
            for kind in HopKind
        )  # fmt: skip
        lines = (("", "one"), ("x", "two"))
        log = PodLog(pod="p", container="c", containers=("c", "d"), lines=lines)
        self.log = fill(log, text)
        description = Description(
            kind="K", namespace="n", name="d", error="e", facts=((f"f{text}", f"v{text}"),),
            conditions=(ObjectCondition(type="t", status="False", reason="r", message="m"),),
            events=(ObjectEvent(type="Warning", reason="r", message="m"),), events_error="e",
        )  # fmt: skip
        self.description = fill(description, text)

    async def snapshot(self) -> Snapshot:
        notice = fill(EngineNotice(number=1, at=1.0, profile="p", text="t", is_problem=True),
                      self._text)  # fmt: skip
        other = fill(OtherEngine(pid=1, kubeconfig="k", forwards=2), self._text)
        snapshot = await super().snapshot()
        return msgspec.structs.replace(snapshot, notices=(notice,), other_engines=(other,))

    async def start(self, spec: ForwardSpec, *, forward_id: str = "") -> str:
        raise ForwardError(f"start{self._text}", hint=f"hint{self._text}")

    async def stop(self, forward_id: str) -> None:
        raise ForwardError(f"stop{self._text}", hint=f"hint{self._text}")
