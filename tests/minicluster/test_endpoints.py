"""Endpoints, EndpointSlices and addresses of services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.minicluster.control_plane import ControlPlane, pod, wait_until

SERVICES = "/api/v1/namespaces/default/services"
PODS = "/api/v1/namespaces/default/pods"
ENDPOINTS = "/api/v1/namespaces/default/endpoints"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"

Object = dict[str, Any]


def service(name: str = "web", **spec: Any) -> Object:
    spec.setdefault("selector", {"app": "web"})
    spec.setdefault("ports", [{"name": "http", "port": 80, "targetPort": "http"}])
    return {"metadata": {"name": name}, "spec": spec}


def web_pod(name: str, port: int = 8080, **spec: Any) -> Object:
    made = pod(name, **spec)
    made["metadata"]["labels"] = {"app": "web"}
    made["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": port}]
    return made


async def add_pod(
    control_plane: ControlPlane, name: str, ip: str, *, ready: bool = True, **more: Any
) -> None:
    await control_plane.add(PODS, web_pod(name, nodeName="node-a", **more))
    await control_plane.set_running("default", name, ready=ready, ip=ip)


async def slices_of(control_plane: ControlPlane, name: str = "web") -> list[Object]:
    query = f"{SLICES}?labelSelector=kubernetes.io/service-name={name}"
    return list((await control_plane.request("GET", query)).json["items"])


def conditions_of(slices: list[Object]) -> dict[str, str]:
    """Return the conditions of each pod, such as `ready serving`."""
    return {
        endpoint["targetRef"]["name"]: " ".join(
            name for name, value in endpoint["conditions"].items() if value
        )
        for each in slices
        for endpoint in each["endpoints"]
    }


async def wait_slices(
    control_plane: ControlPlane, condition: Callable[[list[Object]], bool], name: str = "web"
) -> list[Object]:
    found: list[Object] = []

    async def is_true() -> bool:
        nonlocal found
        found = await slices_of(control_plane, name)
        return condition(found)

    await wait_until(is_true)
    return found


async def test_slice_follows_pods(control_plane: ControlPlane) -> None:
    await control_plane.add(SERVICES, service())
    (empty,) = await wait_slices(control_plane, lambda found: len(found) == 1)
    assert (empty["endpoints"], empty["ports"]) == ([], None)
    await add_pod(control_plane, "a", "10.0.0.1")
    await add_pod(control_plane, "b", "10.0.0.2", ready=False)
    both = {"a": "ready serving", "b": ""}
    (found,) = await wait_slices(control_plane, lambda found: conditions_of(found) == both)
    assert found["addressType"] == "IPv4"
    assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert found["endpoints"][0]["addresses"] == ["10.0.0.1"]
    assert found["endpoints"][0]["nodeName"] == "node-a"
    assert found["metadata"]["ownerReferences"][0]["kind"] == "Service"
    assert "status" not in found
    await control_plane.request("DELETE", f"{PODS}/a")
    going = {"a": "serving terminating", "b": ""}
    await wait_slices(control_plane, lambda found: conditions_of(found) == going)
    await control_plane.request("DELETE", f"{PODS}/a", body={"gracePeriodSeconds": 0})
    await wait_slices(control_plane, lambda found: conditions_of(found) == {"b": ""})
    await control_plane.patch(f"{PODS}/b", {"metadata": {"labels": {"app": "other"}}})
    (empty,) = await wait_slices(control_plane, lambda found: conditions_of(found) == {})
    await control_plane.request("DELETE", f"{SERVICES}/web")
    await wait_slices(control_plane, lambda found: not found)


async def test_endpoints_have_ready_and_unready_addresses(control_plane: ControlPlane) -> None:
    await control_plane.add(SERVICES, service())
    await add_pod(control_plane, "a", "10.0.0.1")
    await add_pod(control_plane, "b", "10.0.0.2", ready=False)
    subsets: list[Object] = []

    async def has_both() -> bool:
        nonlocal subsets
        response = await control_plane.request("GET", f"{ENDPOINTS}/web")
        subsets = response.json.get("subsets") or []
        return bool(subsets and subsets[0].get("notReadyAddresses"))

    await wait_until(has_both)
    (subset,) = subsets
    assert [each["ip"] for each in subset["addresses"]] == ["10.0.0.1"]
    assert [each["targetRef"]["name"] for each in subset["notReadyAddresses"]] == ["b"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    await control_plane.request("DELETE", f"{SERVICES}/web")

    async def is_gone() -> bool:
        return (await control_plane.request("GET", f"{ENDPOINTS}/web")).status == 404

    await wait_until(is_gone)


async def test_pods_with_other_port_numbers_have_slices_of_their_own(
    control_plane: ControlPlane,
) -> None:
    await control_plane.add(SERVICES, service())
    await add_pod(control_plane, "a", "10.0.0.1")
    await add_pod(control_plane, "b", "10.0.0.2", port=9090)
    found = await wait_slices(control_plane, lambda found: len(conditions_of(found)) == 2)
    ports = {each["endpoints"][0]["targetRef"]["name"]: each["ports"][0]["port"] for each in found}
    assert ports == {"a": 8080, "b": 9090}
    assert len({each["metadata"]["name"] for each in found}) == 2


async def test_headless_service_has_hostnames_of_its_pods(control_plane: ControlPlane) -> None:
    await control_plane.add(SERVICES, service(clusterIP="None", publishNotReadyAddresses=True))
    await add_pod(control_plane, "a", "10.0.0.1", ready=False, hostname="a-0", subdomain="web")
    await add_pod(control_plane, "b", "10.0.0.2", hostname="b-0", subdomain="other")
    expected = {"a": "ready", "b": "ready serving"}
    (found,) = await wait_slices(control_plane, lambda found: conditions_of(found) == expected)
    assert found["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert [each.get("hostname") for each in found["endpoints"]] == ["a-0", None]


async def test_deleted_slice_is_written_again(control_plane: ControlPlane) -> None:
    await control_plane.add(SERVICES, service())
    (first,) = await wait_slices(control_plane, lambda found: len(found) == 1)
    await control_plane.request("DELETE", f"{SLICES}/{first['metadata']['name']}")
    uid = first["metadata"]["uid"]
    await wait_slices(
        control_plane, lambda found: bool(found) and found[0]["metadata"]["uid"] != uid
    )


async def test_slices_of_users_stay(control_plane: ControlPlane) -> None:
    await control_plane.add(SERVICES, service(selector={}))
    written = {
        "metadata": {"name": "mine", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv6",
        "endpoints": [{"addresses": ["fd00::1"]}],
        "ports": [{"name": "http", "port": 8080}],
    }
    assert (await control_plane.add(SLICES, written))["addressType"] == "IPv6"
    # Its queue is in order: with the slices of another service, this one has been reconciled.
    await control_plane.add(SERVICES, service("other"))
    await wait_slices(control_plane, lambda found: len(found) == 1, "other")
    assert [each["metadata"]["name"] for each in await slices_of(control_plane)] == ["mine"]
    response = await control_plane.patch(
        f"{SLICES}/mine", {"ports": [{"name": "http", "port": 81}]}, "strategic-merge-patch"
    )
    assert response.json["ports"] == [{"name": "http", "port": 81}]
    invalid = await control_plane.request("POST", SLICES, body={"metadata": {"name": "x"}})
    assert invalid.status == 422
    assert "addressType" in invalid.json["message"]


async def test_endpoints_of_users_are_copied_to_slices(control_plane: ControlPlane) -> None:
    await control_plane.add(SERVICES, service(selector={}))
    subset = {"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 5432}]}
    await control_plane.add(ENDPOINTS, {"metadata": {"name": "web"}, "subsets": [subset]})
    found = await wait_slices(control_plane, lambda found: len(found) == 2)
    addresses = {each["addressType"]: each["endpoints"][0]["addresses"] for each in found}
    assert addresses == {"IPv4": ["10.0.0.1"], "IPv6": ["fd00::1"]}
    await control_plane.request("DELETE", f"{ENDPOINTS}/web")
    await wait_slices(control_plane, lambda found: not found)


async def test_external_name_has_neither_address_nor_slices(control_plane: ControlPlane) -> None:
    spec = {"type": "ExternalName", "externalName": "api.example", "ports": [{"port": 443}]}
    made = await control_plane.add(SERVICES, {"metadata": {"name": "partner"}, "spec": spec})
    assert "clusterIP" not in made["spec"]
    assert "ipFamilies" not in made["spec"]
    await control_plane.add(SERVICES, service())
    await wait_slices(control_plane, lambda found: len(found) == 1)
    assert await slices_of(control_plane, "partner") == []


async def test_cluster_addresses_are_unique_and_stay(control_plane: ControlPlane) -> None:
    made = [await control_plane.add(SERVICES, service(f"web-{n}")) for n in range(20)]
    addresses = [each["spec"]["clusterIP"] for each in made]
    assert len(set(addresses)) == 20
    assert all(each["spec"]["clusterIPs"] == [each["spec"]["clusterIP"]] for each in made)
    assert made[0]["spec"]["ipFamilies"] == ["IPv4"]
    assert made[0]["spec"]["ipFamilyPolicy"] == "SingleStack"
    replaced = await control_plane.request("PUT", f"{SERVICES}/web-0", body=service("web-0"))
    assert replaced.json["spec"]["clusterIP"] == addresses[0]
    asked = await control_plane.add(SERVICES, service("asked", clusterIPs=["10.96.0.10"]))
    assert asked["spec"]["clusterIP"] == "10.96.0.10"


async def test_node_ports_and_affinity_have_defaults(control_plane: ControlPlane) -> None:
    made = await control_plane.add(SERVICES, service(type="NodePort", sessionAffinity="ClientIP"))
    port = made["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port < 32768
    assert made["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    body = service(type="NodePort", sessionAffinity="None")
    replaced = await control_plane.request("PUT", f"{SERVICES}/web", body=body)
    assert replaced.json["spec"]["ports"][0]["nodePort"] == port
    assert "sessionAffinityConfig" not in replaced.json["spec"]


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"clusterIP": "10.96.0.9"}, "provided IP is already allocated"),
        ({"clusterIP": "10.97.0.9"}, "is not in the valid range"),
        ({"clusterIP": "nine"}, "must be a valid IP address"),
        ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6"'),
        ({"ipFamilyPolicy": "RequireDualStack"}, "not configured for dual-stack"),
    ],
)
async def test_invalid_addresses_are_rejected(
    control_plane: ControlPlane, spec: Object, cause: str
) -> None:
    await control_plane.add(SERVICES, service("taken", clusterIP="10.96.0.9"))
    response = await control_plane.request("POST", SERVICES, body=service(**spec))
    assert response.status == 422
    assert cause in response.json["message"]


async def test_cluster_address_does_not_change(control_plane: ControlPlane) -> None:
    await control_plane.add(SERVICES, service())
    body = service(clusterIP="10.96.9.9")
    response = await control_plane.request("PUT", f"{SERVICES}/web", body=body)
    assert response.status == 422
    assert "may not change once set" in response.json["message"]
