"""Get, list, pages, selectors, Tables."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.minicluster.control_plane import ADMIN, TABLE, ControlPlane, control_plane, pod
from tui_forward.minicluster.apiserver import resources

CAPTURES = Path(__file__).parent.parent / "captures/api"
PODS = "/api/v1/namespaces/default/pods"


def captured(name: str) -> Any:
    return json.loads((CAPTURES / f"{name}.json").read_text())


@pytest.fixture
async def ten(plane: ControlPlane) -> ControlPlane:
    """Ten pods p0 to p9, the even ones labelled."""
    for number in range(10):
        item = pod(f"p{number}")
        item["metadata"]["labels"] = {"app": "x", "number": str(number)}
        if number % 2 == 0:
            item["metadata"]["labels"]["even"] = "yes"
        await plane.add(PODS, item)
    return plane


def names(answer: Any) -> list[str]:
    return [item["metadata"]["name"] for item in answer.json["items"]]


@pytest.mark.parametrize(
    "name", ["pod-not-found", "list-continue-expired", "api", "api-v1", "apis", "apis-apps-v1"]
)
async def test_as_recorded(plane: ControlPlane, name: str) -> None:
    recorded = captured(name)
    answer = await plane.ask("GET", recorded["request"]["path"])
    assert answer.status == recorded["status"]
    assert answer.headers["content-type"] == recorded["headers"]["Content-Type"]
    wanted = json.loads(recorded["body"])
    if name in ("pod-not-found", "list-continue-expired"):
        assert answer.body.decode() == recorded["body"]
    elif name.startswith("apis-apps"):
        real = {entry["name"]: entry for entry in wanted["resources"]}
        for entry in answer.json["resources"]:
            real[entry["name"]].pop("storageVersionHash", None)
            assert entry == real[entry["name"]]
    elif name == "api-v1":
        real = {entry["name"]: entry for entry in wanted["resources"]}
        for entry in answer.json["resources"]:
            real[entry["name"]].pop("storageVersionHash", None)
            assert entry == real[entry["name"]], entry["name"]
    else:
        assert set(answer.json) == set(wanted)


async def test_pages_are_one_version(ten: ControlPlane) -> None:
    first = await ten.ask("GET", f"{PODS}?limit=4")
    meta = first.json["metadata"]
    assert names(first) == ["p0", "p1", "p2", "p3"]
    assert meta["remainingItemCount"] == 6
    await ten.ask("DELETE", f"{PODS}/p5")
    await ten.add(PODS, pod("p45"))
    second = await ten.ask("GET", f"{PODS}?limit=4&continue={meta['continue']}")
    assert names(second) == ["p4", "p5", "p6", "p7"]
    assert second.json["metadata"]["resourceVersion"] == meta["resourceVersion"]
    last = await ten.ask("GET", f"{PODS}?limit=4&continue={second.json['metadata']['continue']}")
    assert names(last) == ["p8", "p9"]
    assert set(last.json["metadata"]) == {"resourceVersion"}


async def test_the_token_reads_like_a_real_one(ten: ControlPlane) -> None:
    real = json.loads(captured("pods-page-1")["body"])["metadata"]["continue"]
    ours = (await ten.ask("GET", "/api/v1/pods?limit=2")).json["metadata"]["continue"]

    def decoded(token: str) -> Any:
        return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))

    assert set(decoded(ours)) == set(decoded(real))
    assert decoded(ours)["start"] == "default/p1\0"


async def test_an_expired_token_says_how_to_go_on(ten: ControlPlane) -> None:
    token = (await ten.ask("GET", f"{PODS}?limit=4")).json["metadata"]["continue"]
    await ten.ask("DELETE", f"{PODS}/p4")
    ten.store.compact()
    answer = await ten.ask("GET", f"{PODS}?limit=4&continue={token}")
    assert (answer.status, answer.json["reason"]) == (410, "Expired")
    fresh = answer.json["metadata"]["continue"]
    rest = await ten.ask("GET", f"{PODS}?limit=4&continue={fresh}")
    assert names(rest) == ["p5", "p6", "p7", "p8"]


async def test_selected_pages_count_nothing(ten: ControlPlane) -> None:
    query = "limit=2&labelSelector=even"
    first = await ten.ask("GET", f"{PODS}?{query}")
    assert names(first) == ["p0", "p2"]
    assert "remainingItemCount" not in first.json["metadata"]
    token = first.json["metadata"]["continue"]
    assert names(await ten.ask("GET", f"{PODS}?{query}&continue={token}")) == ["p4", "p6"]


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
async def test_label_selectors(ten: ControlPlane, selector: str, found: str) -> None:
    answer = await ten.ask("GET", f"{PODS}?labelSelector={selector.replace(' ', '%20')}")
    assert names(answer) == [f"p{number}" for number in found]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("metadata.name=p3", ["p3"]),
        ("metadata.name!=p3,metadata.namespace=default", [f"p{n}" for n in "012456789"]),
        ("status.phase=Pending", [f"p{n}" for n in range(10)]),
        ("spec.nodeName=node-a", []),
    ],
)
async def test_field_selectors(ten: ControlPlane, selector: str, found: list[str]) -> None:
    assert names(await ten.ask("GET", f"/api/v1/pods?fieldSelector={selector}")) == found


@pytest.mark.parametrize(
    "query", ["labelSelector=a%20b%20c", "fieldSelector=spec.what=1", "limit=x", "continue=%21"]
)
async def test_what_cannot_be_understood(plane: ControlPlane, query: str) -> None:
    answer = await plane.ask("GET", f"{PODS}?{query}")
    assert (answer.status, answer.json["reason"]) == (400, "BadRequest")


async def test_versions(ten: ControlPlane) -> None:
    now = int((await ten.ask("GET", PODS)).json["metadata"]["resourceVersion"])
    await ten.ask("DELETE", f"{PODS}/p0")
    exact = await ten.ask("GET", f"{PODS}?resourceVersion={now}&resourceVersionMatch=Exact")
    assert names(exact)[0] == "p0"
    later = await ten.ask("GET", f"{PODS}?resourceVersion={now}")
    assert names(later)[0] == "p1"
    future = await ten.ask("GET", f"{PODS}?resourceVersion={now + 1000}")
    assert (future.status, future.json["details"]["causes"][0]["reason"]) == (
        504,
        "ResourceVersionTooLarge",
    )
    any_version = await ten.ask("GET", f"{PODS}?resourceVersion=0&limit=2")
    assert len(names(any_version)) == 9
    ten.store.compact()
    old = await ten.ask("GET", f"{PODS}?resourceVersion={now}&resourceVersionMatch=Exact")
    assert (old.status, old.json["reason"]) == (410, "Expired")


async def test_items_of_a_list_have_no_kind(ten: ControlPlane) -> None:
    answer = await ten.ask("GET", PODS)
    assert answer.json["kind"] == "PodList"
    assert list(answer.json["items"][0]) == ["metadata", "spec", "status"]
    one = await ten.ask("GET", f"{PODS}/p0")
    assert list(one.json) == ["kind", "apiVersion", "metadata", "spec", "status"]


@pytest.mark.parametrize("name", ["pods", "services", "deployments", "namespaces"])
async def test_tables_have_the_real_columns(tmp_path: Path, name: str) -> None:
    real = json.loads(captured(f"{name}-table")["body"])
    async with control_plane(tmp_path, workloads=True) as plane:
        group = "/apis/apps/v1" if name == "deployments" else "/api/v1"
        place = "" if name == "namespaces" else "/namespaces/shop"
        path = f"{group}{place}/{name}?limit=500"
        answer = await plane.ask("GET", path, {**ADMIN, "Accept": TABLE})

        async def columns(table: Any) -> list[tuple[Any, ...]]:
            return [
                (column["name"], column["type"], column["format"], column["priority"])
                for column in table["columnDefinitions"]
            ]

        assert await columns(answer.json) == await columns(real)
        row = answer.json["rows"][0]
        assert len(row["cells"]) == len(real["rows"][0]["cells"])
        assert [type(cell) for cell in row["cells"]] == [
            type(cell) for cell in real["rows"][0]["cells"]
        ]
        assert row["object"]["kind"] == "PartialObjectMetadata"


async def test_a_recorded_pod_looks_the_same_in_a_table(plane: ControlPlane) -> None:
    for name, cells in (
        ("pod", ["1/1", "Running", "0"]),
        ("pod-crashloop", ["0/1", "Error"]),
        ("pod-pending", ["0/1", "Pending", "0"]),
        ("pod-image-missing", ["0/1"]),
    ):
        item = json.loads(captured(name)["body"])
        plane.store.put(resources.PODS, item)
        path = f"/api/v1/namespaces/shop/pods/{item['metadata']['name']}"
        answer = await plane.ask("GET", path, {**ADMIN, "Accept": TABLE})
        assert answer.json["rows"][0]["cells"][1 : 1 + len(cells)] == cells


async def test_only_metadata(ten: ControlPlane) -> None:
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    answer = await ten.ask("GET", PODS, {**ADMIN, "Accept": accept})
    assert answer.json["kind"] == "PartialObjectMetadataList"
    assert set(answer.json["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_protobuf_alone_is_not_acceptable(plane: ControlPlane) -> None:
    accept = "application/vnd.kubernetes.protobuf"
    assert (await plane.ask("GET", PODS, {**ADMIN, "Accept": accept})).status == 406
    accept += ",application/json"
    assert (await plane.ask("GET", PODS, {**ADMIN, "Accept": accept})).status == 200


async def test_unknown_paths(plane: ControlPlane) -> None:
    for path in ("/api/v1/gizmos", "/apis/none/v1/x", "/apis/none", "/what", "/api/v1/pods/a/b/c"):
        answer = await plane.ask("GET", path)
        assert (answer.status, answer.json["reason"]) == (404, "NotFound"), path


async def test_health_and_version(plane: ControlPlane) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        answer = await plane.ask("GET", path, {})
        assert (answer.status, answer.body) == (200, b"ok")
    real = json.loads(captured("version")["body"])
    assert set((await plane.ask("GET", "/version", {})).json) == set(real)


async def test_many_requests_on_one_connection(ten: ControlPlane) -> None:
    client = await ten.client()
    for _ in range(20):
        assert (await client.ask("GET", f"{PODS}/p1")).status == 200


async def test_bad_http_ends_that_connection_only(ten: ControlPlane) -> None:
    client = await ten.client()
    await client.wire.write(b"\x16\x03garbage\r\n\r\n")
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 400") or answer == b""
    assert (await ten.ask("GET", f"{PODS}/p1")).status == 200


async def test_a_body_that_is_too_big(plane: ControlPlane) -> None:
    client = await plane.client()
    head = (
        b"POST /api/v1/namespaces/default/pods HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
    )
    head += b"Authorization: Bearer admin-token\r\n\r\n"

    async def send() -> None:
        await client.wire.write(head)
        for _ in range(9):
            await client.wire.write(bytes(1_000_000))

    sending = asyncio.ensure_future(send())
    answer = await client.exactly(20)
    assert answer.startswith(b"HTTP/1.1 413")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
