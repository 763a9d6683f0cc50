"""Program that uses the official Python client, which leaves sockets and threads behind.

`python official_client.py KUBECONFIG` reads lines from stdin, each with the name of a case and that
of a context, and prints the results as JSON, one per line.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward


def list_pages(api: Any) -> Any:
    """List pods in pages, and services."""
    first = api.list_pod_for_all_namespaces(limit=5)
    rest = api.list_pod_for_all_namespaces(limit=500, _continue=first.metadata._continue)
    services = api.list_namespaced_service("shop")
    return {
        "first": len(first.items),
        "remaining": first.metadata.remaining_item_count,
        "rest": len(rest.items),
        "versions": [first.metadata.resource_version, rest.metadata.resource_version],
        "services": [service.metadata.name for service in services.items],
    }


def get_missing(api: Any) -> Any:
    """Get a pod that does not exist."""
    try:
        api.read_namespaced_pod("nope", "shop")
    except ApiException as error:
        return {"status": error.status, "body": json.loads(error.body or "")}
    return None


def watch_objects(api: Any) -> Any:
    """Watch the creation and deletion of two objects."""
    since = api.list_namespaced_config_map("ops").metadata.resource_version
    for name in ("one", "two"):
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data={"a": "b"})
        api.create_namespaced_config_map("ops", body)
    for name in ("one", "two"):
        api.delete_namespaced_config_map(name, "ops")
    stream = watch.Watch().stream(
        api.list_namespaced_config_map, "ops", resource_version=since, timeout_seconds=1
    )
    return [(event["type"], event["object"].metadata.name) for event in stream]


def watch_compacted(api: Any) -> Any:
    """Watch from a compacted version."""
    stream = watch.Watch().stream(
        api.list_namespaced_pod, "ops", resource_version="1", timeout_seconds=2
    )
    try:
        return [event["type"] for event in stream]
    except ApiException as error:
        return error.status


def _open_forward(api: Any, port: int) -> tuple[Any, Any]:
    pods = api.list_namespaced_pod("ops", label_selector="app=toolbox").items
    method = api.connect_get_namespaced_pod_portforward
    forward = portforward(method, pods[0].metadata.name, "ops", ports=str(port))
    connection = forward.socket(port)
    connection.setblocking(True)
    return forward, connection


def forward_data(api: Any) -> Any:
    """Send 100 KB to an echo server and back."""
    _, connection = _open_forward(api, 7000)
    sent = bytes(range(256)) * 400
    connection.sendall(sent)
    data = b""
    while len(data) < len(sent):
        data += connection.recv(65536)
    return data == sent


def forward_closed_port(api: Any) -> Any:
    """Forward a port that no process listens on."""
    forward, connection = _open_forward(api, 7999)
    received = connection.recv(1)
    while not (error := forward.error(7999)):
        time.sleep(0.02)
    return [received.decode(), error]


CASES = {
    each.__name__: each
    for each in (
        list_pages,
        get_missing,
        watch_objects,
        watch_compacted,
        forward_data,
        forward_closed_port,
    )
}

if __name__ == "__main__":
    _, kubeconfig = sys.argv
    clients: dict[str, client.ApiClient] = {}  # by context
    for line in sys.stdin:
        name, context = line.split()
        if context not in clients:
            clients[context] = config.new_client_from_config(kubeconfig, context=context)
        result = CASES[name](client.CoreV1Api(clients[context]))
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
