"""The workloads of a new cluster: small services for demonstrations and tests.

============= ====================== =========================================================
namespace     workload               purpose
============= ====================== =========================================================
``shop``      ``deploy/web``         website: ports http 8080, metrics 9090, admin 15000
``shop``      ``deploy/echo``        echo server, port 7000
``shop``      ``deploy/gateway``     several containers, one with a UDP port
``shop``      ``deploy/stock``       website in three pods behind one service, port http 8080
``shop``      ``deploy/legacy``      declares port 8081 but does not listen on it
``shop``      ``deploy/payments``    crash loop
``shop``      ``deploy/recommender`` its image does not exist
``shop``      ``deploy/search``      pending: no node matches its node selector
``shop``      ``job/migrate``        completes after its first run
``data``      ``sts/db``             key-value store with a line protocol, port 5432, headless
``ops``       ``deploy/metrics``     large page of metrics that change constantly
``ops``       ``deploy/toolbox``     one port per behavior, for tests and benchmarks
``ops``       ``ds/agent``           one pod on every node
``default``   ``pod/echo``           a pod without an owner
============= ====================== =========================================================
"""

from __future__ import annotations

from typing import Any

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter
from tui_forward.minicluster.apiserver.resources import Object, Resource
from tui_forward.minicluster.apiserver.service_addresses import API_SERVER_ADDRESS
from tui_forward.minicluster.config import ApiServerConfig

NAMESPACES = ("default", "kube-system", "kube-public", "shop", "data", "ops")


def _port(name: str, number: int, protocol: str = "TCP") -> Object:
    return {"name": name, "containerPort": number, "protocol": protocol}


def _container(name: str, image: str, *ports: Object, **settings: str) -> Object:
    container: Object = {"name": name, "image": f"docker.io/local/{image}"}
    if ports:
        container["ports"] = list(ports)
    if settings:
        env = [{"name": key, "value": value} for key, value in settings.items()]
        container["env"] = env
    container["imagePullPolicy"] = "IfNotPresent"
    return container


def _pod_spec(*containers: Object, grace_s: int = 2, **more: Any) -> Object:
    return {"containers": list(containers), "terminationGracePeriodSeconds": grace_s, **more}


def _labels(name: str, part: str) -> dict[str, str]:
    return {"app": name, "app.kubernetes.io/part-of": part}


def _deployment(
    namespace: str, name: str, *containers: Object, replicas: int = 1, **pod: Any
) -> Object:
    labels = _labels(name, namespace)
    template = {"metadata": {"labels": labels}, "spec": _pod_spec(*containers, **pod)}
    selector = {"matchLabels": {"app": name}}
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    }


def _service(namespace: str, name: str, app: str, *ports: Object, **more: Any) -> Object:
    spec: Object = {"ports": list(ports), **more}
    if app:
        spec["selector"] = {"app": app}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _service_port(name: str, port: int, target: str | int | None = None, **more: Any) -> Object:
    entry: Object = {"name": name, "port": port, **more}
    if target is not None:
        entry["targetPort"] = target
    return entry


# From 7000 on, in the order of the toolbox.
_SERVICES = "echo sink source stuck reset slow late bye hold counters reset-late sink-all"
TOOLBOX_PORTS = {name: port for port, name in enumerate(_SERVICES.split(), 7000)}
TOOLBOX_PORTS |= {"closed": 7999, "http": 8080}


def _deployments() -> list[Object]:
    toolbox = _container(
        "toolbox", "toolbox:1", *(_port(name, number) for name, number in TOOLBOX_PORTS.items())
    )
    http = _port("http", 8080)
    proxy = _container("proxy", "http-site:1.4", _port("http", 8000), TITLE="Gateway", PORT="8000")
    statsd = _container("statsd", "silent:1", _port("statsd", 8125, "UDP"))
    search = _container("search", "http-site:1.4", http)
    return [
        _deployment(
            "shop",
            "web",
            _container("web", "http-site:1.4", http, TITLE="The shop"),
            _container("exporter", "metrics:0.9", _port("metrics", 9090), SERIES="50"),
            _container(
                "admin", "http-site:1.4", _port("admin", 15000), TITLE="Admin", PORT="15000"
            ),
            replicas=2,
        ),
        _deployment("shop", "echo", _container("echo", "echo:1", _port("echo", 7000))),
        _deployment("shop", "gateway", proxy, statsd),
        _deployment("shop", "legacy", _container("legacy", "silent:1", _port("http", 8081))),
        _deployment("shop", "payments", _container("payments", "crash-loop:3", http)),
        _deployment("shop", "recommender", _container("recommender", "recommender:9", http)),
        _deployment("shop", "search", search, nodeSelector={"disktype": "nvme"}),
        _deployment(
            "shop", "stock", _container("stock", "http-site:1.4", http, TITLE="Stock"), replicas=3
        ),
        _deployment("ops", "metrics", _container("metrics", "metrics:0.9", _port("metrics", 9090))),
        _deployment("ops", "toolbox", toolbox, grace_s=1),
    ]


def _services() -> list[Object]:
    metrics = _service_port("metrics", 9090, "metrics")
    statsd = _service_port("statsd", 8125, "statsd", protocol="UDP")
    https = _service_port("https", 443, 6443)
    gateway = (_service_port("http", 80, "http"), statsd)
    toolbox = [_service_port(name, number, name) for name, number in TOOLBOX_PORTS.items()]
    return [
        _service("default", "kubernetes", "", https, clusterIP=API_SERVER_ADDRESS),
        _service("shop", "web", "web", _service_port("http", 80, "http"), metrics),
        _service("shop", "web-direct", "web", _service_port("http", 8888, 8080)),
        _service("shop", "echo", "echo", _service_port("echo", 7, "echo")),
        _service("shop", "gateway", "gateway", *gateway, type="NodePort"),
        _service("shop", "legacy", "legacy", _service_port("http", 80, 8081)),
        _service("shop", "payments", "payments", _service_port("http", 80, "http")),
        _service("shop", "stock", "stock", _service_port("http", 80, "http")),
        {
            "metadata": {"name": "partner", "namespace": "shop"},
            "spec": {"type": "ExternalName", "externalName": "api.partner.example"},
        },
        _service("data", "db", "db", _service_port("sql", 5432, "sql"), clusterIP="None"),
        _service("data", "db-client", "db", _service_port("sql", 15432, "sql")),
        _service("ops", "metrics", "metrics", _service_port("metrics", 9090)),
        _service("ops", "toolbox", "toolbox", *toolbox),
    ]


def _other_objects() -> list[tuple[Resource, Object]]:
    agent = _deployment("ops", "agent", _container("agent", "silent:1"), grace_s=1)
    del agent["spec"]["replicas"]
    agent["spec"]["template"]["spec"]["tolerations"] = [
        {"operator": "Exists", "effect": "NoExecute"}
    ]
    container = _container("db", "database:16", _port("sql", 5432))
    database = _deployment("data", "db", container, replicas=2)
    database["spec"]["serviceName"] = "db"
    container = _container("migrate", "crash-loop:3", LIFE_S="0.5", EXIT_CODE="0")
    spec = _pod_spec(container, restartPolicy="Never")
    template = {"metadata": {"labels": _labels("migrate", "shop")}, "spec": spec}
    metadata = {"name": "migrate", "namespace": "shop", "labels": _labels("migrate", "shop")}
    migrate = {"metadata": metadata, "spec": {"template": template}}
    bare_pod = {
        "metadata": {"name": "echo", "namespace": "default", "labels": {"run": "echo"}},
        "spec": _pod_spec(_container("echo", "echo:1", _port("echo", 7000)), grace_s=1),
    }
    return [
        (resources.STATEFULSETS, database),
        (resources.DAEMONSETS, agent),
        (resources.JOBS, migrate),
        (resources.PODS, bare_pod),
    ]


def create_sample_workloads(config: ApiServerConfig, writer: ObjectWriter) -> None:
    """Create the namespaces and, if configured, the workloads and services."""
    for name in NAMESPACES:
        writer.create(resources.NAMESPACES, {"metadata": {"name": name}}, "")
    if not config.workloads:
        return
    for service in _services():
        writer.create(resources.SERVICES, service, service["metadata"]["namespace"])
    for deployment in _deployments():
        writer.create(resources.DEPLOYMENTS, deployment, deployment["metadata"]["namespace"])
    for resource, obj in _other_objects():
        writer.create(resource, obj, obj["metadata"]["namespace"])
