"""The scene of the dashboard's design: 14 forwards of two contexts, most of them with traffic.

Two are blocked, one reconnects, one waits for a pod that crash-loops, nine are ready and one is
paused. `fleet()` is a fake session of it, with the clock at `NOW`.
"""

from __future__ import annotations

import msgspec

from tests.cli.fake_session import FakeSession
from tests.support.fleet_doctor import doctor_results
from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    CatalogView,
    Connection,
    ConnectionState,
    Context,
    Counters,
    DeclaredPort,
    Forward,
    ForwardSpec,
    ForwardState,
    Hop,
    HopKind,
    HopState,
    LocalAddress,
    Namespace,
    OwnerRef,
    Pod,
    PodLog,
    PodRef,
    PortCheck,
    PortProtocol,
    Reason,
    ReasonCode,
    ResourceStatus,
    Service,
    Snapshot,
    Target,
    TargetKind,
    TimelineEntry,
    TimelineKind,
    TrafficHistory,
    TransportChoice,
    Workload,
)
from tui_forward.reasons import blocked_by, expired_at, reason_hint, reason_text, short_reason

NOW = 1_795_955_213.0  # 2026-11-29 12:26:53 UTC
STAGING, PROD = "staging", "prod-eu"
SCOPE = CatalogScope(STAGING, "shop")
_HOUR_S, _DAY_S = 3600.0, 86400.0
_UPTIME_S = 2 * _HOUR_S + 14 * 60

API_GATEWAY_PORTS = (
    DeclaredPort(number=8080, name="http", container="gateway"),
    DeclaredPort(number=9090, name="grpc", container="gateway"),
    DeclaredPort(number=15000, name="admin", container="gateway"),
    DeclaredPort(number=8125, name="statsd", protocol=PortProtocol.UDP, container="gateway"),
)


def _port(number: int, name: str = "http") -> tuple[DeclaredPort, ...]:
    return (DeclaredPort(number=number, name=name, container="main"),)


# Forwards ----------------------------------------------------------------------------------

_TOKEN_EXPIRED = Reason(
    code=ReasonCode.AUTH_TOKEN_EXPIRED, user="prod", time="2026-11-29 12:14:53 UTC",
    at=NOW - 12 * 60, hint="run aws sso login --profile prod, then press r",
)  # fmt: skip
_PORT_TAKEN = Reason(code=ReasonCode.LOCAL_PORT_TAKEN, port="2525", process="java (48213)")
_REPLACED = Reason(
    code=ReasonCode.POD_REPLACED, pod="inventory-sync-scheduler-jobs-7f9b8d6c4-q8wzr",
    successor="inventory-sync-scheduler-jobs-5d6f7b8c9-hx2lp",
)  # fmt: skip
_CRASH_LOOP = Reason(
    code=ReasonCode.POD_CRASH_LOOPING, namespace="shop", container="worker", exit_code=1,
    pod="billing-worker-invoice-retries-7d9c6b5f48-x2x9k", status="CrashLoopBackOff",
    restarts=17, at=NOW + 250, has_previous_log=True,
)  # fmt: skip


def _traffic(
    down: float = 0, up: float = 0, total_down: float = 0, total_up: float = 0,
    *, connections: int = 0, total: int = 0,
) -> Counters:  # fmt: skip
    return Counters(
        rate_from_pod=down, rate_to_pod=up, bytes_from_pod=int(total_down),
        bytes_to_pod=int(total_up), connections_open=connections,
        connections_total=max(total, connections),
    )  # fmt: skip


def forward(
    number: int, target: str, local_port: int, state: ForwardState, reason: Reason, *,
    pod: str = "", up_s: float = _UPTIME_S, queued: int = 0, retry_at: float | None = None,
    paused: bool = False, listens: bool = True, counters: Counters | None = None,
) -> Forward:  # fmt: skip
    """Return a forward to `context/namespace/kind/name:port` with the texts of its reason."""
    context, namespace, kind, rest = target.split("/")
    name, _, port = rest.rpartition(":")
    is_ready = state is ForwardState.READY
    hosts = ("127.0.0.1", "::1") if listens else ()
    return Forward(
        id=f"f{number}",
        spec=ForwardSpec(
            target=Target(
                context=context, namespace=namespace, kind=TargetKind(kind), name=name, port=port
            ),
            local_port=local_port,
            profile="shop-dev", name=f"{context}-{name}",
        ),
        state=state, code=reason.code, reason=reason_text(reason), hint=reason_hint(reason),
        short_reason=short_reason(reason), expired_at=expired_at(reason),
        blocked_by=blocked_by(reason) if state is ForwardState.BLOCKED else None,
        since=NOW - up_s, started_at=NOW - 2 * _HOUR_S - 20 * 60 + number, queued=queued,
        retry_at=retry_at, paused=paused,
        listening=tuple(LocalAddress(host, local_port) for host in hosts),
        pod=PodRef(namespace=namespace, name=pod, uid=f"u{number}", node="node-b")
        if pod else None,
        remote_port=int(port) if port.isdecimal() else local_port,
        transport=TransportChoice.SPDY if is_ready else None, tunnels=2 if is_ready else 0,
        round_trip_s=0.0013 if is_ready else None, counters=counters or Counters(),
    )  # fmt: skip


def _ready(
    number: int, target: str, local_port: int, pod: str, *, up_s: float = _UPTIME_S,
    counters: Counters | None = None,
) -> Forward:  # fmt: skip
    return forward(
        number, target, local_port, ForwardState.READY, Reason(code=ReasonCode.FORWARD_READY),
        pod=pod, up_s=up_s, counters=counters,
    )  # fmt: skip


def forwards() -> tuple[Forward, ...]:
    """Return the 14 forwards, in the order they were started in."""
    return (
        forward(1, "prod-eu/shop/svc/payments-ledger-reconciliation:grpc", 7443,
                ForwardState.BLOCKED, _TOKEN_EXPIRED, up_s=720),
        forward(2, "staging/shop/svc/notification-dispatcher-smtp:smtp", 2525,
                ForwardState.BLOCKED, _PORT_TAKEN, up_s=300, listens=False),
        forward(3, "prod-eu/shop/deploy/inventory-sync-scheduler-jobs:http", 8083,
                ForwardState.RECONNECTING, _REPLACED, up_s=9, queued=4, retry_at=NOW + 3,
                pod="inventory-sync-scheduler-jobs-5d6f7b8c9-hx2lp"),
        forward(4, "staging/shop/deploy/billing-worker-invoice-retries:metrics", 9101,
                ForwardState.WAITING, _CRASH_LOOP, up_s=313,
                pod="billing-worker-invoice-retries-7d9c6b5f48-x2x9k",
                counters=Counters(connections_total=9, connections_failed=2)),
        _ready(5, "staging/shop/deploy/api-gateway:http", 8080, "api-gateway-6b8f7c9d5-x2x9k",
               counters=_traffic(1.2e6, 214e3, 2.3e9, 410e6, connections=3)),
        _ready(6, "staging/shop/deploy/checkout-frontend-canary-green:http", 3000,
               "checkout-frontend-canary-green-5d6f7b8c9-lk2mn",
               counters=_traffic(48.3e3, 1.9e3, 44.2e6, 2.7e6, connections=2)),
        _ready(7, "staging/data/sts/postgres-primary:postgres", 5432, "postgres-primary-0",
               counters=_traffic(100e6, 214e3, 41.6e9, 89.1e6, connections=2, total=7)),
        _ready(8, "staging/data/sts/redis-cache:redis", 6379, "redis-cache-0",
               up_s=2 * _HOUR_S + 13 * 60,
               counters=_traffic(0, 0, 4.1e6, 1.8e6, connections=1)),
        _ready(9, "staging/shop/svc/search-indexer-opensearch-http:9200", 9200,
               "search-indexer-opensearch-http-5d6f7b8c9-c6zwh", up_s=_HOUR_S + 120),
        _ready(10, "staging/shop/svc/recommendation-engine-grpc-v2:grpc", 50051,
               "recommendation-engine-grpc-v2-6b8f7c9d5-p5k2v",
               counters=_traffic(734e3, 734e3, 184e6, 184e6, connections=1)),
        _ready(11, "prod-eu/data/sts/postgres-primary:postgres", 15432, "postgres-primary-0",
               up_s=48 * 60, counters=_traffic(310e3, 22e3, 2.4e9, 82.1e6, connections=2)),
        _ready(12, "prod-eu/shop/deploy/api-gateway:http", 18080, "api-gateway-7f9b8d6c4-zx4wq",
               up_s=48 * 60),
        _ready(13, "prod-eu/shop/svc/order-events-kafka-bridge-rest:http", 8082,
               "order-events-kafka-bridge-rest-6b8f7c9d5-m9xkz", up_s=360),
        forward(14, "staging/shop/deploy/feature-flag-admin-console-ui:http", 8090,
                ForwardState.STOPPED, Reason(code=ReasonCode.FORWARD_PAUSED), up_s=26 * 60,
                paused=True),
    )  # fmt: skip


# Bytes from the pod in each of the last seconds, in the design's one scale.
_HISTORIES: dict[str, tuple[float, ...]] = {
    "f5": (1.2e6, 7e5, *[1.2e6] * 3, 1.1e7, *[1.2e6] * 4),
    "f6": (48e3, 7e3, *[48e3] * 3, 7e3, 0, *[48e3] * 3),
    "f7": (*[1.0e8] * 10,), "f8": (*[0.0] * 4, 120.0, *[0.0] * 5), "f10": (*[7.34e5] * 10,),
    "f11": (*[3.1e5] * 4, 48e3, *[3.1e5] * 5),
}  # fmt: skip


def histories() -> tuple[TrafficHistory, ...]:
    """Return the recent traffic of the forwards that have any."""
    return tuple(
        TrafficHistory(forward_id=forward_id, seconds=tuple((int(one), 0) for one in seconds))
        for forward_id, seconds in _HISTORIES.items()
    )


# Connections -------------------------------------------------------------------------------


def connections() -> tuple[Connection, ...]:
    """Return 11 open connections, one of which drains, and 4 queued ones; oldest first."""
    rows = (
        # process, forward, age, rates, totals, time to first byte, pod
        ("pg_dump (51234)", "f7", 422, 100e6, 214e3, 41.6e9, 88e6, 0.0031),
        ("java (3301)", "f5", 760, 1.1e6, 198e3, 2.3e9, 410e6, 0.0021),
        ("grpcurl (61877)", "f10", 251, 734e3, 734e3, 184e6, 184e6, 0.0044),
        ("metabase (880)", "f11", 2882, 310e3, 22e3, 2.4e9, 82e6, 0.0102),
        ("node (40112)", "f6", 7800, 48.3e3, 1.9e3, 34.4e6, 2.1e6, 0.0027),
        ("psql (51300)", "f7", 7080, 0, 0, 12.4e6, 1.1e6, 0.0022),
        ("redis-cli (51388)", "f8", 578, 0, 0, 4.1e6, 1.8e6, 0.0009),
        ("node (40112)", "f6", 1867, 0, 0, 9.8e6, 612e3, 0.0030),
        ("psql (51442)", "f11", 1300, 0, 0, 1.2e6, 88.1e3, 0.0120),
        ("java (3301)", "f5", 760, 0, 0, 812e3, 96.4e3, 0.0021),
        ("java (3301)", "f5", 759, 0, 0, 640e3, 91e3, 0.0024),
        *((f"curl ({61990 + n})", "f3", 8 - 2 * n, 0, 0, 0, 0, None) for n in range(4)),
    )
    pods = {one.id: one.pod.name for one in forwards() if one.pod is not None}
    found = []
    for number, row in enumerate(rows, 1):
        process, forward_id, age, down, up, total_down, total_up, first_byte = row
        is_queued = forward_id == "f3"
        drains = process.startswith("node") and not down
        found.append(
            Connection(
                id=number, forward_id=forward_id, client=f"127.0.0.1:{50_411 + number}",
                process=process,
                state=ConnectionState.QUEUED if is_queued else ConnectionState.OPEN,
                opened_at=NOW - age, rate_from_pod=down, rate_to_pod=up,
                bytes_from_pod=int(total_down), bytes_to_pod=int(total_up),
                first_byte_s=first_byte, pod="" if is_queued else pods[forward_id],
                code=ReasonCode.POD_TERMINATING if drains else None,
                reason="pod checkout-frontend-canary-green-9c4d8e7f6-7hjkp is terminating"
                if drains else "",
                ends_by=NOW + 25 if drains else None,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda one: one.opened_at))


def closed_connections(count: int, forward_id: str = "f7") -> tuple[Connection, ...]:
    """Return connections that have ended, each a second later than the one before."""
    return tuple(
        Connection(
            id=1000 + n, forward_id=forward_id, client=f"127.0.0.1:{40_000 + n}",
            process="psql (777)", state=ConnectionState.CLOSED, opened_at=NOW - 900 + n,
            closed_at=NOW - 600 + n, bytes_from_pod=10**12,
            close_code=ReasonCode.CONNECTION_CLOSED_BY_CLIENT, close_reason="closed by the client",
        )
        for n in range(count)
    )  # fmt: skip


# Cluster -----------------------------------------------------------------------------------

_DEPLOY, _STS = TargetKind.DEPLOYMENT, TargetKind.STATEFULSET
# kind, name, age in days, ports, ends of the names of its pods
_WORKLOADS: tuple[tuple[TargetKind, str, int, tuple[DeclaredPort, ...], str], ...] = (
    (_DEPLOY, "api-gateway", 41, API_GATEWAY_PORTS,
     "6b8f7c9d5-x2x9k 7f9b8d6c4-zx4wq 7f9b8d6c4-8hkmn"),
    (_DEPLOY, "billing-worker-invoice-retries", 3, _port(9101, "metrics"), "7d9c6b5f48-x2x9k"),
    (_DEPLOY, "checkout-frontend-canary-green", 6, _port(3000), "5d6f7b8c9-lk2mn 9c4d8e7f6-7hjkp"),
    (_DEPLOY, "feature-flag-admin-console-ui", 41, _port(8090), "6b8f7c9d5-m9xkz"),
    (_DEPLOY, "inventory-sync-scheduler-jobs", 41, _port(8083), "7f9b8d6c4-q8wzr 5d6f7b8c9-hx2lp"),
    (TargetKind.JOB, "migrate-2026-11-29", 0, (), "w4rtd"),
    (_DEPLOY, "recommendation-engine-grpc-v2", 12, _port(50051, "grpc"),
     "6b8f7c9d5-p5k2v 7f9b8d6c4-4ppdl"),
    (_DEPLOY, "search-indexer-opensearch-http", 41, _port(9200),
     "5d6f7b8c9-c6zwh 9c4d8e7f6-zsnc5 9c4d8e7f6-2kd8w"),
    (_DEPLOY, "session-store", 41, _port(6380, "redis"), "6b8f7c9d5-x2x9k 7f9b8d6c4-zx4wq"),
    (_DEPLOY, "shipping-rates", 41, _port(8081), "5d6f7b8c9-lk2mn 9c4d8e7f6-7hjkp"),
    (_DEPLOY, "tax-calculator", 41, _port(8099), "6b8f7c9d5-m9xkz"),
    (_DEPLOY, "webhook-relay", 41, _port(8084), "7f9b8d6c4-q8wzr 5d6f7b8c9-hx2lp"),
    (TargetKind.DAEMONSET, "log-shipper", 41, _port(24224, "forward"), "w4rtd p5k2v"),
    (_STS, "orders-queue", 41, _port(5672, "amqp"), "0 1 2"),
    (_STS, "redis-cache", 41, _port(6379, "redis"), "0"),
)  # fmt: skip
_KIND_NAMES = {
    _DEPLOY: "Deployment", _STS: "StatefulSet", TargetKind.JOB: "Job",
    TargetKind.DAEMONSET: "DaemonSet",
}  # fmt: skip


def _pods(
    kind: TargetKind, name: str, created_at: float, ports: tuple[DeclaredPort, ...], ends: str
) -> list[Pod]:
    crashes, completed = name.startswith("billing"), kind is TargetKind.JOB
    status = "CrashLoopBackOff" if crashes else "Completed" if completed else "Running"
    ready = status == "Running"
    restarts = 17 if crashes else int(name.startswith("recommendation"))
    return [
        Pod(
            namespace="shop", name=f"{name}-{end}", uid=f"{name}-{end}", status=status,
            phase="Succeeded" if completed else "Running", ready=ready,
            ready_since=created_at if ready else 0.0, containers_ready=int(ready),
            containers_total=1, restarts=restarts if n == 0 else 0,
            restarted_at=(NOW - 60 if crashes else NOW - 2 * _DAY_S) if restarts and not n else 0.0,
            created_at=created_at, node="node-b", ip=f"10.20.4.{17 + n}",
            owner=OwnerRef(_KIND_NAMES[kind], name), ports=ports,
        )
        for n, end in enumerate(ends.split())
    ]  # fmt: skip


def catalog(*, version: int = 1) -> CatalogView:
    """Return the objects of namespace shop of context staging."""
    pods: list[Pod] = []
    workloads: list[Workload] = []
    services: list[Service] = []
    for kind, name, days, ports, ends in _WORKLOADS:
        created_at = NOW - (days * _DAY_S + 60 if days else 5 * _HOUR_S + 60)
        own = _pods(kind, name, created_at, ports, ends)
        pods += own
        is_job = kind is TargetKind.JOB
        workloads.append(
            Workload(
                namespace="shop", name=name, kind=kind, uid=f"w-{name}", created_at=created_at,
                selector=f"app={name}", replicas=len(own), ready=sum(pod.ready for pod in own),
                ended="Complete" if is_job else "",
            )
        )  # fmt: skip
        if ports:
            services.append(
                Service(
                    namespace="shop", name=name, uid=f"s-{name}", selector=f"app={name}",
                    cluster_ip=f"10.96.0.{len(services) + 10}", created_at=created_at,
                    ports=tuple(
                        msgspec.structs.replace(port, container="", target=port.name)
                        for port in ports
                    ),
                )
            )  # fmt: skip
    counts = {
        "pods": len(pods), "services": len(services), "namespaces": 3,
        **dict.fromkeys(("deployments", "statefulsets", "daemonsets", "replicasets", "jobs"), 0),
    }  # fmt: skip
    return CatalogView(
        scope=SCOPE, version=version, complete=True,
        namespaces=tuple(Namespace(name=name) for name in ("data", "default", "shop")),
        pods=tuple(pods), workloads=tuple(workloads), services=tuple(services),
        resources=tuple(
            ResourceStatus(resource=resource, synced=True, count=count)
            for resource, count in counts.items()
        ),
        health=ApiHealth(
            context=STAGING, server="https://staging.k8s.internal:6443", ok=True,
            latency_s=0.004, version="v1.36.2",
        ),
    )  # fmt: skip


def hops() -> tuple[Hop, ...]:
    """Return the chain of the forward to billing-worker-invoice-retries."""
    return (
        Hop(kind=HopKind.LOCAL, name="127.0.0.1:9101", facts=("listening", "also [::1]:9101"),
            state=HopState.OK),
        Hop(kind=HopKind.API, name="staging.k8s.internal:6443", latency_s=0.004,
            facts=("v1.36.2", "token valid 7h51m"), state=HopState.OK),
        Hop(kind=HopKind.KUBELET, name="node-b", facts=("10.20.4.17", "Ready"), state=HopState.OK),
        Hop(kind=HopKind.RUNTIME, name="containerd 1.6.20", latency_s=0.002, state=HopState.OK,
            facts=("1 tunnel by SPDY, no stream",)),
        Hop(kind=HopKind.POD, name="billing-worker-invoice-retries-7d9c6b5f48-x2x9k",
            facts=("CrashLoopBackOff", "17 restarts", "exit code 1"), state=HopState.BROKEN,
            code=ReasonCode.POD_CRASH_LOOPING, error=reason_text(_CRASH_LOOP),
            hint=reason_hint(_CRASH_LOOP)),
        Hop(kind=HopKind.PORT, name="metrics 9101", facts=("not tested: no running container",)),
    )  # fmt: skip


def timeline() -> tuple[TimelineEntry, ...]:
    """Return the latest events of that forward, oldest first."""
    pod = "billing-worker-invoice-retries-7d9c6b5f48-x2x9k"
    ready, waiting = ForwardState.READY, ForwardState.WAITING
    rows = (
        (8039, ready, f"ready after 0.3 s: forwarding to {pod}:9101 by SPDY"),
        (316, TimelineKind.POD, f"pod {pod}: restart 16"),
        (315, ready, f"ready: forwarding to {pod}:9101 by SPDY"),
        (313, waiting, "waiting: container worker exited with code 1"),
        (3, TimelineKind.CONNECTION, "node (40112) 127.0.0.1:52390 closed: queued 30 s, "
         "no ready pod"),
        (2, waiting, f"waiting: pod {pod} crash-loops, 17 restarts"),
    )  # fmt: skip
    return tuple(
        TimelineEntry(
            at=NOW - ago, text=text,
            kind=what if isinstance(what, TimelineKind) else TimelineKind.STATE,
            state=what if isinstance(what, ForwardState) else None,
        )
        for ago, what, text in rows
    )  # fmt: skip


def pod_log() -> PodLog:
    """Return the log of the last run of billing-worker-invoice-retries."""
    stack = ("goroutine 1 [running]:", "main.mustConfig(0xc0000b6000, {0x9d2f4e, 0x15})",
             "\t/src/cmd/worker/config.go:88 +0x1f4", "main.main()", "runtime: panic")  # fmt: skip
    lines = (
        ("47.012", "INFO  worker starting, version 4.18.2"),
        ("47.655", "INFO  connected to postgres-primary:5432"),
        ("48.101", "WARN  STRIPE_WEBHOOK_SECRET is not set, reading vault path billing/stripe"),
        ("48.790", "ERROR vault: 403 permission denied on billing/stripe"),
        ("48.791", "ERROR panic: missing STRIPE_WEBHOOK_SECRET"),
        *(("48.791", text) for text in stack),
    )
    return PodLog(
        pod="billing-worker-invoice-retries-7d9c6b5f48-x2x9k", container="worker",
        containers=("worker",), previous=True, state="exited with code 1",
        lines=tuple((f"2026-11-29T12:26:{second}Z", text) for second, text in lines),
    )  # fmt: skip


class FleetSession(FakeSession):
    """Fake session of the scene; its totals are those of its forwards."""

    def __init__(self) -> None:
        super().__init__()
        self.forwards = {one.id: one for one in forwards()}
        self._count = len(self.forwards)
        self.connection_list = list(connections())
        self.history_list = histories()
        self.views[SCOPE] = catalog()
        self.hop_list = hops()
        self.doctor_results = doctor_results()
        self.timeline_entries = timeline()
        self.log = pod_log()
        self.port_checks = {
            2525: PortCheck(port=2525, problem="used by java (48213)", next_free=2526)
        }
        self.health = (
            self.views[SCOPE].health or ApiHealth(context=STAGING),
            ApiHealth(
                context=PROD, server="https://prod-eu.k8s.internal:6443", ok=False,
                code=_TOKEN_EXPIRED.code, error=reason_text(_TOKEN_EXPIRED),
                short_error=short_reason(_TOKEN_EXPIRED), hint=reason_hint(_TOKEN_EXPIRED),
                blocked_by=blocked_by(_TOKEN_EXPIRED),
            ),
        )  # fmt: skip
        self.context_list = (
            Context(name=STAGING, cluster=STAGING, namespace="shop", current=True),
            Context(name=PROD, cluster=PROD, namespace="shop"),
        )

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        counters = [one.counters for one in self.forwards.values()]
        totals = Counters(
            rate_from_pod=sum(one.rate_from_pod for one in counters),
            rate_to_pod=sum(one.rate_to_pod for one in counters),
            bytes_from_pod=sum(one.bytes_from_pod for one in counters),
            bytes_to_pod=sum(one.bytes_to_pod for one in counters),
            connections_open=sum(one.connections_open for one in counters),
        )
        return msgspec.structs.replace(await super().snapshot(), at=NOW, totals=totals)


def fleet() -> FleetSession:
    """Return a fake session of the scene."""
    return FleetSession()
