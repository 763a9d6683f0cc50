"""Services without a selector: their endpoint slices lead to pods, or say that there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.catalog.harness import Setup, pod_named, reason, resolution
from tests.kube.objects import endpoint, endpoint_slice, pod, service
from tests.support.waiting import until
from tui_forward.catalog import endpoint_pods
from tui_forward.model import BlockedBy, ReasonCode, Resolved, TargetKind, Unresolved
from tui_forward.reasons import blocked_by, reason_hint, reason_text

PORTS = [{"name": "http", "port": 80, "targetPort": 9999, "protocol": "TCP"}]


def bare(**options: Any) -> dict[str, Any]:
    return service(selector={}, **{"ports": PORTS, **options})


@dataclass
class Case:
    """Slices, and the pod and port that the service leads to, or the code of the reason."""

    slices: Sequence[dict[str, Any]]
    expected: tuple[str, int] | ReasonCode
    text: str = ""
    port: str = "http"
    service: dict[str, Any] = field(default_factory=bare)
    denied: tuple[tuple[str, str], ...] = ()


CASES = {
    "pod by reference": Case([endpoint_slice("s", endpoint("10.0.0.1", "web-1"))], ("web-1", 8080)),
    "port by number": Case(
        [endpoint_slice("s", endpoint("10.0.0.1", "web-1"))], ("web-1", 8080), port="80"
    ),
    "pod by address": Case([endpoint_slice("s", endpoint("10.0.0.2"))], ("web-2", 8080)),
    "the ready one": Case(
        [endpoint_slice("s", endpoint("x", "late"), endpoint("10.0.0.2", "web-2"))],
        ("web-2", 8080),
    ),
    "two families": Case(
        [
            endpoint_slice("four", endpoint("10.0.0.1", "web-1")),
            endpoint_slice("six", endpoint("fd00::1", "web-1")),
        ],
        ("web-1", 8080),
    ),
    "a pod and an address elsewhere": Case(
        [endpoint_slice("s", endpoint("192.0.2.1"), endpoint("10.0.0.1", "web-1"))],
        ("web-1", 8080),
    ),
    "headless": Case(
        [endpoint_slice("s", endpoint("10.0.0.1", "web-1"))],
        ("web-1", 8080),
        service=bare(cluster_ip="None"),
    ),
    "unnamed port": Case(
        [endpoint_slice("s", endpoint("10.0.0.1", "web-1"), ports=[{"port": 5432}])],
        ("web-1", 5432),
        port="80",
        service=bare(ports=[{"port": 80, "protocol": "TCP"}]),
    ),
    "slice without ports": Case(
        [endpoint_slice("s", endpoint("10.0.0.1", "web-1"), ports=[])], ("web-1", 9999)
    ),
    "unknown readiness": Case(
        [endpoint_slice("s", endpoint("10.0.0.1", "web-1", ready=None))], ("web-1", 8080)
    ),
    "get without list": Case(
        [endpoint_slice("s", endpoint("10.0.0.1", "web-1"))],
        ("web-1", 8080),
        denied=(("list", "pods"), ("watch", "pods")),
    ),
    "slices of another service": Case(
        [endpoint_slice("s", endpoint("10.0.0.1", "web-1"), service="other")],
        ReasonCode.TARGET_NO_ENDPOINTS,
        "svc/web has neither a selector nor endpoints",
    ),
    "no slices": Case([], ReasonCode.TARGET_NO_ENDPOINTS),
    "empty slice": Case([endpoint_slice("s")], ReasonCode.TARGET_NO_ENDPOINTS),
    "a database elsewhere": Case(
        [endpoint_slice("s", endpoint("192.0.2.1"), endpoint("192.0.2.2"))],
        ReasonCode.TARGET_ENDPOINTS_NOT_PODS,
        "svc/web has no selector, and its endpoints are no pods: 192.0.2.1, 192.0.2.2",
    ),
    "many elsewhere": Case(
        [endpoint_slice("s", *(endpoint(f"192.0.2.{n}") for n in range(1, 7)))],
        ReasonCode.TARGET_ENDPOINTS_NOT_PODS,
        "192.0.2.1, 192.0.2.2, 192.0.2.3, …",
    ),
    "a pod of another namespace": Case(
        [endpoint_slice("s", endpoint("192.0.2.1", "web-1", namespace="other"))],
        ReasonCode.TARGET_ENDPOINTS_NOT_PODS,
    ),
    "a pod that does not exist": Case(
        [endpoint_slice("s", endpoint("10.0.0.9", "gone"))],
        ReasonCode.POD_NOT_FOUND,
        "pod gone does not exist in namespace shop",
    ),
    "forbidden": Case(
        [endpoint_slice("s", endpoint("10.0.0.1", "web-1"))],
        ReasonCode.RBAC_FORBIDDEN,
        "not allowed to list endpointslices.discovery.k8s.io in namespace shop",
        denied=(("*", "endpointslices"),),
    ),
    "a port that the service does not have": Case(
        [endpoint_slice("s", endpoint("10.0.0.1", "web-1"))],
        ReasonCode.PORT_UNKNOWN_NAME,
        port="admin",
    ),
    "a pod that does not run": Case(
        [endpoint_slice("s", endpoint("x", "late"))], ReasonCode.POD_CREATING
    ),
    "another host": Case(
        [],
        ReasonCode.TARGET_EXTERNAL_NAME,
        "svc/web is the ExternalName db.example.com, so it has no pods to forward to",
        service={
            **bare(kind="ExternalName"),
            "spec": {"type": "ExternalName", "externalName": "db.example.com", "ports": PORTS},
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_resolution(setup: Setup, name: str) -> None:
    case, server = CASES[name], setup.server
    server.denied = set(case.denied)
    server.put("services", case.service)
    server.put("pods", pod("web-1", labels={}, ip="10.0.0.1"))
    server.put("pods", pod("web-2", labels={}, ip="10.0.0.2"))
    server.put("pods", pod("late", phase="Pending", waiting="ContainerCreating", ip="10.0.0.3"))
    for each in case.slices:
        server.put("endpointslices", each)
    watch = setup.watch(TargetKind.SERVICE, "web", case.port)
    if isinstance(case.expected, tuple):
        found = await pod_named(watch, case.expected[0])
        assert found.port == case.expected[1]
        assert found.ready
        assert watch.find_pod(found.pod) is not None
        return
    refused = await resolution(
        watch, lambda r: isinstance(r, Unresolved) and r.reason.code is case.expected
    )
    assert isinstance(refused, Unresolved)
    assert case.text in reason_text(refused.reason)
    assert reason_hint(refused.reason) or refused.reason.code is ReasonCode.POD_CREATING
    if case.expected is ReasonCode.TARGET_EXTERNAL_NAME:
        assert blocked_by(refused.reason) is BlockedBy.TARGET
        assert "db.example.com" in reason_hint(refused.reason)
        assert server.count("list", "endpointslices") == 0


async def test_slices_are_followed(setup: Setup) -> None:
    server = setup.server
    server.put("services", bare())
    server.put("pods", pod("web-1", labels={}, ip="10.0.0.1"))
    server.put("pods", pod("web-2", labels={}, ip="10.0.0.2"))
    watch = setup.watch(TargetKind.SERVICE, "web")
    await reason(watch, "neither a selector nor endpoints")
    server.put("endpointslices", endpoint_slice("s", endpoint("10.0.0.1", "web-1")))
    await pod_named(watch, "web-1")
    server.put(
        "endpointslices",
        endpoint_slice("s", endpoint("10.0.0.2"), ports=[{"name": "http", "port": 81}]),
    )
    assert (await pod_named(watch, "web-2")).port == 81
    # The pod itself is followed, too.
    server.put("pods", pod("web-2", labels={}, ip="10.0.0.2", ready=False))
    await resolution(watch, lambda r: isinstance(r, Resolved) and not r.ready)
    server.delete("endpointslices", "shop", "s")
    await reason(watch, "neither a selector nor endpoints")
    # A selector makes the slices the business of the cluster.
    server.put("pods", pod("web-3"))
    server.put("services", service())
    await pod_named(watch, "web-3")
    server.put("services", bare())
    await reason(watch, "neither a selector nor endpoints")
    server.delete("services", "shop", "web")
    await reason(watch, 'there is no service "web"')


async def test_number_of_followed_pods_is_bounded(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_pods, "MAX_ENDPOINT_PODS", 3)
    server = setup.server
    server.put("services", bare())
    for number in range(9):
        server.put("pods", pod(f"web-{number}", labels={}, ip=f"10.0.0.{number}"))
    endpoints = [endpoint(f"10.0.0.{n}", f"web-{n}", ready=n == 7) for n in range(9)]
    server.put("endpointslices", endpoint_slice("s", *endpoints))
    watch = setup.watch(TargetKind.SERVICE, "web")
    await resolution(watch, lambda r: isinstance(r, Resolved))
    await until(lambda: server.count("watch", "pods") == 3)
    names = {r.query["fieldSelector"] for r in server.requests if r.plural == "pods"}
    assert names == {"metadata.name=web-7", "metadata.name=web-0", "metadata.name=web-1"}
    watch.close()
