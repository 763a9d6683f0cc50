"""Small cluster for tests of the dashboard."""

from __future__ import annotations

from tests.cli.fake_session import FakeSession
from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    CatalogView,
    Connection,
    ConnectionState,
    DeclaredPort,
    Namespace,
    Pod,
    PortProtocol,
    ResourceStatus,
)

SHOP = CatalogScope("here", "shop")
PORTS = (
    DeclaredPort(number=8080, name="http", container="web"),
    DeclaredPort(number=9090, name="metrics", container="web"),
    DeclaredPort(number=53, name="dns", protocol=PortProtocol.UDP, container="web"),
)


def pod(name: str, *, namespace: str = "shop", ports: tuple[DeclaredPort, ...] = PORTS) -> Pod:
    return Pod(
        namespace=namespace, name=name, uid=f"uid-{name}", phase="Running", status="Running",
        ready=True, containers_ready=1, containers_total=1, created_at=1.0, ports=ports,
    )  # fmt: skip


def view(*pods: Pod, scope: CatalogScope = SHOP, version: int = 1) -> CatalogView:
    return CatalogView(
        scope=scope,
        version=version,
        complete=True,
        namespaces=tuple(Namespace(name=name) for name in ("default", "kube-system", "shop")),
        pods=pods,
        resources=(ResourceStatus(resource="pods", synced=True, count=len(pods)),),
        health=ApiHealth(context="here", ok=True, latency_s=0.012),
    )


def shop(*names: str) -> FakeSession:
    """Return a session whose forwards become ready at once, on ports from 8081."""

    def on_start(session: FakeSession, forward_id: str) -> None:
        session.make_ready(forward_id, 8080 + len(session.forwards))
        target = session.forwards[forward_id].spec.target
        port = next((p.number for p in PORTS if target.port in (p.name, str(p.number))), 80)
        session.set_pod(forward_id, target.name, port)

    session = FakeSession(on_start)
    session.views[SHOP] = view(*(pod(name) for name in names or ("web-1", "web-2", "web-3")))
    return session


def connection(number: int, forward_id: str = "f1") -> Connection:
    return Connection(
        id=number, forward_id=forward_id, client=f"127.0.0.1:{50_000 + number}",
        process="psql (4211)", state=ConnectionState.OPEN, opened_at=1.0,
        bytes_from_pod=1_200_000, bytes_to_pod=3_100, rate_from_pod=1e6,
    )  # fmt: skip
