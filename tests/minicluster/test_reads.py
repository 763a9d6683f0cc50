"""Get, list, pages, selectors and Tables."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.minicluster.control_plane import ADMIN, TABLE, ControlPlane, pod, run_control_plane
from tui_forward.minicluster.apiserver import resources

CAPTURES = Path(__file__).parent.parent / "captures/api"
PODS = "/api/v1/namespaces/default/pods"


def captured(name: str) -> Any:
    return json.loads((CAPTURES / f"{name}.json").read_text())


@pytest.fixture
async def ten_pods(control_plane: ControlPlane) -> ControlPlane:
    """Create pods p0 to p9, the even ones with a label."""
    for number in range(10):
        item = pod(f"p{number}")
        item["metadata"]["labels"] = {"app": "x", "number": str(number)}
        if number % 2 == 0:
            item["metadata"]["labels"]["even"] = "yes"
        await control_plane.add(PODS, item)
    return control_plane


def names(response: Any) -> list[str]:
    return [item["metadata"]["name"] for item in response.json["items"]]


@pytest.mark.parametrize(
    "name", ["pod-not-found", "list-continue-expired", "api", "api-v1", "apis", "apis-apps-v1"]
)
async def test_response_equals_captured_one(control_plane: ControlPlane, name: str) -> None:
    capture = captured(name)
    response = await control_plane.request("GET", capture["request"]["path"])
    assert response.status == capture["status"]
    assert response.headers["content-type"] == capture["headers"]["Content-Type"]
    expected = json.loads(capture["body"])
    if name in ("pod-not-found", "list-continue-expired"):
        assert response.body.decode() == capture["body"]
    elif name.startswith("apis-apps"):
        real = {entry["name"]: entry for entry in expected["resources"]}
        for entry in response.json["resources"]:
            real[entry["name"]].pop("storageVersionHash", None)
            assert entry == real[entry["name"]]
    elif name == "api-v1":
        real = {entry["name"]: entry for entry in expected["resources"]}
        for entry in response.json["resources"]:
            real[entry["name"]].pop("storageVersionHash", None)
            assert entry == real[entry["name"]], entry["name"]
    else:
        assert set(response.json) == set(expected)


async def test_pages_show_one_version(ten_pods: ControlPlane) -> None:
    first = await ten_pods.request("GET", f"{PODS}?limit=4")
    meta = first.json["metadata"]
    assert names(first) == ["p0", "p1", "p2", "p3"]
    assert meta["remainingItemCount"] == 6
    await ten_pods.request("DELETE", f"{PODS}/p5")
    await ten_pods.add(PODS, pod("p45"))
    second = await ten_pods.request("GET", f"{PODS}?limit=4&continue={meta['continue']}")
    assert names(second) == ["p4", "p5", "p6", "p7"]
    assert second.json["metadata"]["resourceVersion"] == meta["resourceVersion"]
    last = await ten_pods.request(
        "GET", f"{PODS}?limit=4&continue={second.json['metadata']['continue']}"
    )
    assert names(last) == ["p8", "p9"]
    assert set(last.json["metadata"]) == {"resourceVersion"}


async def test_continue_token_has_real_format(ten_pods: ControlPlane) -> None:
    real = json.loads(captured("pods-page-1")["body"])["metadata"]["continue"]
    ours = (await ten_pods.request("GET", "/api/v1/pods?limit=2")).json["metadata"]["continue"]

    def decoded(token: str) -> Any:
        return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))

    assert set(decoded(ours)) == set(decoded(real))
    assert decoded(ours)["start"] == "default/p1\0"


async def test_expired_token_returns_inconsistent_continuation(ten_pods: ControlPlane) -> None:
    token = (await ten_pods.request("GET", f"{PODS}?limit=4")).json["metadata"]["continue"]
    await ten_pods.request("DELETE", f"{PODS}/p4")
    ten_pods.store.compact()
    response = await ten_pods.request("GET", f"{PODS}?limit=4&continue={token}")
    assert (response.status, response.json["reason"]) == (410, "Expired")
    fresh = response.json["metadata"]["continue"]
    rest = await ten_pods.request("GET", f"{PODS}?limit=4&continue={fresh}")
    assert names(rest) == ["p5", "p6", "p7", "p8"]


async def test_pages_with_selector_have_no_remaining_count(ten_pods: ControlPlane) -> None:
    query = "limit=2&labelSelector=even"
    first = await ten_pods.request("GET", f"{PODS}?{query}")
    assert names(first) == ["p0", "p2"]
    assert "remainingItemCount" not in first.json["metadata"]
    token = first.json["metadata"]["continue"]
    assert names(await ten_pods.request("GET", f"{PODS}?{query}&continue={token}")) == ["p4", "p6"]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("even=yes,number!=0", "2468"),
        ("even%3D%3Dyes", "02468"),
        ("!even", "13579"),
        ("number in (1,3)", "13"),
        ("number notin (1,2,3),even", "0468"),
        ("app,number > 7", "89"),
        ("nothing", ""),
    ],
)
async def test_label_selectors_match(ten_pods: ControlPlane, selector: str, found: str) -> None:
    response = await ten_pods.request("GET", f"{PODS}?labelSelector={selector.replace(' ', '%20')}")
    assert names(response) == [f"p{number}" for number in found]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("metadata.name=p3", ["p3"]),
        ("metadata.name!=p3,metadata.namespace=default", [f"p{n}" for n in "012456789"]),
        ("status.phase=Pending", [f"p{n}" for n in range(10)]),
        ("spec.nodeName=node-a", []),
    ],
)
async def test_field_selectors_match(
    ten_pods: ControlPlane, selector: str, found: list[str]
) -> None:
    assert names(await ten_pods.request("GET", f"/api/v1/pods?fieldSelector={selector}")) == found


@pytest.mark.parametrize(
    "query", ["labelSelector=a%20b%20c", "fieldSelector=spec.what=1", "limit=x", "continue=%21"]
)
async def test_invalid_query_is_bad_request(control_plane: ControlPlane, query: str) -> None:
    response = await control_plane.request("GET", f"{PODS}?{query}")
    assert (response.status, response.json["reason"]) == (400, "BadRequest")


async def test_list_at_resource_version(ten_pods: ControlPlane) -> None:
    now = int((await ten_pods.request("GET", PODS)).json["metadata"]["resourceVersion"])
    await ten_pods.request("DELETE", f"{PODS}/p0")
    exact = await ten_pods.request(
        "GET", f"{PODS}?resourceVersion={now}&resourceVersionMatch=Exact"
    )
    assert names(exact)[0] == "p0"
    later = await ten_pods.request("GET", f"{PODS}?resourceVersion={now}")
    assert names(later)[0] == "p1"
    future = await ten_pods.request("GET", f"{PODS}?resourceVersion={now + 1000}")
    assert (future.status, future.json["details"]["causes"][0]["reason"]) == (
        504,
        "ResourceVersionTooLarge",
    )
    any_version = await ten_pods.request("GET", f"{PODS}?resourceVersion=0&limit=2")
    assert len(names(any_version)) == 9
    ten_pods.store.compact()
    old = await ten_pods.request("GET", f"{PODS}?resourceVersion={now}&resourceVersionMatch=Exact")
    assert (old.status, old.json["reason"]) == (410, "Expired")


async def test_list_items_have_no_kind(ten_pods: ControlPlane) -> None:
    response = await ten_pods.request("GET", PODS)
    assert response.json["kind"] == "PodList"
    assert list(response.json["items"][0]) == ["metadata", "spec", "status"]
    one = await ten_pods.request("GET", f"{PODS}/p0")
    assert list(one.json) == ["kind", "apiVersion", "metadata", "spec", "status"]


@pytest.mark.parametrize("name", ["pods", "services", "deployments", "namespaces"])
async def test_tables_have_columns_of_real_server(tmp_path: Path, name: str) -> None:
    real = json.loads(captured(f"{name}-table")["body"])
    async with run_control_plane(tmp_path, workloads=True) as control_plane:
        group = "/apis/apps/v1" if name == "deployments" else "/api/v1"
        namespace = "" if name == "namespaces" else "/namespaces/shop"
        path = f"{group}{namespace}/{name}?limit=500"
        response = await control_plane.request("GET", path, {**ADMIN, "Accept": TABLE})

        async def columns(table: Any) -> list[tuple[Any, ...]]:
            return [
                (column["name"], column["type"], column["format"], column["priority"])
                for column in table["columnDefinitions"]
            ]

        assert await columns(response.json) == await columns(real)
        row = response.json["rows"][0]
        assert len(row["cells"]) == len(real["rows"][0]["cells"])
        assert [type(cell) for cell in row["cells"]] == [
            type(cell) for cell in real["rows"][0]["cells"]
        ]
        assert row["object"]["kind"] == "PartialObjectMetadata"


async def test_captured_pods_have_expected_table_cells(control_plane: ControlPlane) -> None:
    for name, cells in (
        ("pod", ["1/1", "Running", "0"]),
        ("pod-crashloop", ["0/1", "Error"]),
        ("pod-pending", ["0/1", "Pending", "0"]),
        ("pod-image-missing", ["0/1"]),
    ):
        item = json.loads(captured(name)["body"])
        control_plane.store.put(resources.PODS, item)
        path = f"/api/v1/namespaces/shop/pods/{item['metadata']['name']}"
        response = await control_plane.request("GET", path, {**ADMIN, "Accept": TABLE})
        assert response.json["rows"][0]["cells"][1 : 1 + len(cells)] == cells


async def test_partial_object_metadata_list(ten_pods: ControlPlane) -> None:
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    response = await ten_pods.request("GET", PODS, {**ADMIN, "Accept": accept})
    assert response.json["kind"] == "PartialObjectMetadataList"
    assert set(response.json["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_accepting_only_protobuf_is_not_acceptable(control_plane: ControlPlane) -> None:
    accept = "application/vnd.kubernetes.protobuf"
    assert (await control_plane.request("GET", PODS, {**ADMIN, "Accept": accept})).status == 406
    accept += ",application/json"
    assert (await control_plane.request("GET", PODS, {**ADMIN, "Accept": accept})).status == 200


async def test_unknown_paths_are_not_found(control_plane: ControlPlane) -> None:
    for path in ("/api/v1/gizmos", "/apis/none/v1/x", "/apis/none", "/what", "/api/v1/pods/a/b/c"):
        response = await control_plane.request("GET", path)
        assert (response.status, response.json["reason"]) == (404, "NotFound"), path


async def test_health_and_version_are_public(control_plane: ControlPlane) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        response = await control_plane.request("GET", path, {})
        assert (response.status, response.body) == (200, b"ok")
    real = json.loads(captured("version")["body"])
    assert set((await control_plane.request("GET", "/version", {})).json) == set(real)


async def test_connection_serves_many_requests(ten_pods: ControlPlane) -> None:
    client = await ten_pods.client()
    for _ in range(20):
        assert (await client.request("GET", f"{PODS}/p1")).status == 200


async def test_malformed_http_closes_only_its_connection(ten_pods: ControlPlane) -> None:
    client = await ten_pods.client()
    await client.connection.write(b"\x16\x03garbage\r\n\r\n")
    response = await client.read_to_end()
    assert response.startswith(b"HTTP/1.1 400") or response == b""
    assert (await ten_pods.request("GET", f"{PODS}/p1")).status == 200


async def test_large_body_is_rejected(control_plane: ControlPlane) -> None:
    client = await control_plane.client()
    head = (
        b"POST /api/v1/namespaces/default/pods HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
    )
    head += b"Authorization: Bearer admin-token\r\n\r\n"

    async def send() -> None:
        await client.connection.write(head)
        for _ in range(9):
            await client.connection.write(bytes(1_000_000))

    sending = asyncio.ensure_future(send())
    response = await client.read_exactly(20)
    assert response.startswith(b"HTTP/1.1 413")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
