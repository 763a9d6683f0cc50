from __future__ import annotations

import json
from typing import Any

import pytest

from tests.kube.objects import capture_body, large_page, pod
from tui_forward.errors import ApiError
from tui_forward.kube import DEPLOYMENTS, PODS, SERVICES, STATEFULSETS
from tui_forward.kube import listing as listing_module
from tui_forward.kube.listing import decode_items, list_head


async def items(body: bytes) -> list[str]:
    return [item.name for item in await decode_items(PODS, body, "server")]


def listing(objects: list[dict[str, Any]], **metadata: Any) -> dict[str, Any]:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": objects}


def compact(content: dict[str, Any]) -> bytes:
    """As Go writes it."""
    return json.dumps(content, separators=(",", ":")).encode()


# A string that looks exactly like the border between two objects, but for its escapes.
TRAP = '"},{"metadata":{"name":"x"}},{"metadata":{'


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_module, "_PIECE_BYTES", 1)


@pytest.mark.usefixtures("small_pieces")
async def test_every_object_comes_once_wherever_it_is_cut() -> None:
    objects = [pod(f"web-{number}", labels={"a": TRAP}) for number in range(20)]
    body = compact(listing(objects))
    assert await items(body) == [f"web-{number}" for number in range(20)]


@pytest.mark.usefixtures("small_pieces")
async def test_other_layouts_are_understood_too() -> None:
    objects = [pod(f"web-{number}") for number in range(3)]
    expected = ["web-0", "web-1", "web-2"]
    assert await items(json.dumps(listing(objects), indent=2).encode()) == expected
    for item in objects:
        item["metadata"] = item.pop("metadata")  # metadata last
    backwards = dict(reversed(listing(objects).items()))
    assert await items(compact(backwards)) == expected


@pytest.mark.usefixtures("small_pieces")
async def test_objects_that_hold_such_borders_themselves() -> None:
    nested = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]
    objects = [
        {"metadata": {"name": name}, "spec": {"volumeClaimTemplates": nested, "replicas": 2}}
        for name in ("db", "cache")
    ]
    body = compact(listing(objects))
    found = await decode_items(STATEFULSETS, body, "server")
    assert [(item.name, item.replicas) for item in found] == [("db", 2), ("cache", 2)]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(listing([], resourceVersion="7")).encode(),
        b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":null}\n',
        b'{"metadata":{"resourceVersion":"7"}}',
        b'{"items":[],"metadata":{"resourceVersion":"7"}}',
    ],
)
async def test_nothing_is_a_list_too(body: bytes) -> None:
    assert await items(body) == []
    assert list_head(body).resource_version == "7"


def test_the_head_is_found_without_the_items() -> None:
    head = list_head(capture_body("pods-page-1") + b"trailing garbage is not even looked at")
    assert head.resource_version == "21462"
    assert head.continue_token.startswith("eyJ")
    assert head.remaining_item_count == 10001


async def test_the_recorded_lists_are_understood() -> None:
    assert len(await items(capture_body("pods-page-1"))) == 2
    assert len(await items(capture_body("pods-page-2"))) == 2
    services = await decode_items(SERVICES, capture_body("services"), "server")
    assert services[0].selector == "app=web"
    deployments = await decode_items(DEPLOYMENTS, capture_body("deployments"), "server")
    assert [(d.name, d.selector) for d in deployments] == [("one", "app=one"), ("web", "app=web")]


async def test_large_pages_come_whole() -> None:
    found = await items(large_page(500, 500, 10_000))
    assert len(set(found)) == 500


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"items":{}}', b'{"items":[1]}', b"\xff"])
async def test_what_is_no_list_is_an_error(body: bytes) -> None:
    with pytest.raises(ApiError, match="no answer to list pods"):
        await items(body)
