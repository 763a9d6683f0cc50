from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kube.objects import capture_body, large_page, pod
from tui_forward.kube import DEPLOYMENTS, PODS, SERVICES, STATEFULSETS, Resource
from tui_forward.kube.api import pager
from tui_forward.kube.api.api_types import ListMetadata
from tui_forward.kube.api.pager import PageDecoder
from tui_forward.kube.api.resources import Item


def decoded(resource: Resource[Item], body: bytes, chunk: int = 65536) -> PageDecoder[Item]:
    page = PageDecoder(resource)
    for start in range(0, len(body), chunk):
        page.receive(body[start : start + chunk])
    page.finish()
    return page


def items(body: bytes, chunk: int = 65536) -> list[str]:
    return [item.name for item in decoded(PODS, body, chunk).items]


def listing(objects: list[dict[str, Any]], **metadata: Any) -> dict[str, Any]:
    # Go omits kind and apiVersion of the objects in a list.
    items = [{k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for o in objects]
    return {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}


def compact(content: dict[str, Any]) -> bytes:
    """Return JSON in the layout of Go."""
    return json.dumps(content, separators=(",", ":")).encode()


# A string with the border between two objects, except for its escapes.
TRAP = '"},{"metadata":{"name":"x"}},{"metadata":{'


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pager, "PIECE_BYTES", 1)
    monkeypatch.setattr(pager, "HEAD_BYTES", 200)


@pytest.mark.usefixtures("small_pieces")
def test_every_object_is_decoded_once_at_any_cut() -> None:
    objects = [pod(f"web-{number}", labels={"a": TRAP}) for number in range(20)]
    body = compact(listing(objects))
    assert items(body) == [f"web-{number}" for number in range(20)]


@pytest.mark.usefixtures("small_pieces")
def test_layout_other_than_go_is_decoded() -> None:
    objects = [pod(f"web-{number}") for number in range(3)]
    expected = ["web-0", "web-1", "web-2"]
    assert items(json.dumps(listing(objects), indent=2).encode()) == expected
    for item in objects:
        item["metadata"] = item.pop("metadata")  # metadata last
    backwards = dict(reversed(listing(objects).items()))
    assert items(compact(backwards)) == expected


@pytest.mark.usefixtures("small_pieces")
def test_nested_borders_are_not_cut() -> None:
    nested = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]
    objects = [
        {"metadata": {"name": name}, "spec": {"volumeClaimTemplates": nested, "replicas": 2}}
        for name in ("db", "cache")
    ]
    body = compact(listing(objects))
    found = decoded(STATEFULSETS, body).items
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
def test_empty_list_is_decoded(body: bytes) -> None:
    assert items(body) == []
    assert decoded(PODS, body).head == ListMetadata(resource_version="7")


def test_head_is_available_before_the_items() -> None:
    page = PageDecoder(PODS)
    page.receive(capture_body("pods-page-1")[: pager.HEAD_BYTES])
    assert page.head is not None
    assert page.head.resource_version == "21462"
    assert page.head.continue_token.startswith("eyJ")
    assert page.head.remaining_item_count == 10001


@pytest.mark.usefixtures("small_pieces")
@given(st.integers(1, 3000), st.integers(0, 12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_chunking_gives_the_same_objects(chunk: int, count: int) -> None:
    objects = [pod(f"web-{number}", labels={"a": TRAP}) for number in range(count)]
    page = decoded(PODS, compact(listing(objects, resourceVersion="7")), chunk)
    assert [item.name for item in page.items] == [f"web-{number}" for number in range(count)]
    assert page.head is not None
    assert page.head.resource_version == "7"


def test_fields_after_the_items_are_accepted() -> None:
    content = {"metadata": {"resourceVersion": "7"}, "items": [pod()], "kind": "PodList"}
    assert items(compact(content)) == ["web-1"]


def test_recorded_lists_are_decoded() -> None:
    assert len(items(capture_body("pods-page-1"))) == 2
    assert len(items(capture_body("pods-page-2"))) == 2
    services = decoded(SERVICES, capture_body("services")).items
    assert services[0].selector == "app=web"
    deployments = decoded(DEPLOYMENTS, capture_body("deployments")).items
    assert [(d.name, d.selector) for d in deployments] == [("one", "app=one"), ("web", "app=web")]


def test_large_page_is_decoded_completely() -> None:
    found = items(large_page(500, 500, 10_000))
    assert len(set(found)) == 500


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"items":{}}', b'{"items":[1]}', b"\xff"])
def test_body_other_than_a_list_is_an_error(body: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        items(body)


@pytest.mark.usefixtures("small_pieces")
@given(st.binary(max_size=400), st.integers(1, 100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_raises_documented_errors_only(body: bytes, chunk: int) -> None:
    for prefix in (b"", b'{"metadata":{},"items":[', b'{"metadata":{},"items":[{"metadata":{'):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            items(prefix + body, chunk)


@pytest.mark.usefixtures("small_pieces")
def test_invalid_object_is_detected_early() -> None:
    page = PageDecoder(PODS)
    objects = [pod("web-0"), {"metadata": {"name": 7}}, pod("web-2"), pod("web-3")]
    with pytest.raises(msgspec.ValidationError):
        page.receive(compact(listing(objects)))


def test_page_is_never_buffered_as_a_whole() -> None:
    page = PageDecoder(PODS)
    body = large_page(0, 200, 200)
    most = 0
    for start in range(0, len(body), 65536):
        page.receive(body[start : start + 65536])
        most = max(most, len(page._buffer))
    assert len(page.finish().resource_version) == 5
    assert most < 2 * pager.PIECE_BYTES < len(body)
