"""Watches: events, end and continuation."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.minicluster.control_plane import ADMIN, TABLE, ControlPlane, pod, wait_until
from tui_forward.minicluster.apiserver import resources, watch

PODS = "/api/v1/namespaces/default/pods"
CAPTURES = Path(__file__).parent.parent / "captures/api"


async def current_version(control_plane: ControlPlane) -> str:
    response = await control_plane.request("GET", PODS)
    return str(response.json["metadata"]["resourceVersion"])


async def test_watch_from_version_reports_later_changes(control_plane: ControlPlane) -> None:
    since = await current_version(control_plane)
    await control_plane.add(PODS, pod("a"))
    stream = await control_plane.watch(f"{PODS}?watch=true&resourceVersion={since}")
    await control_plane.add(PODS, pod("b"))
    await control_plane.patch(f"{PODS}/b", {"metadata": {"labels": {"x": "y"}}})
    await control_plane.request("DELETE", f"{PODS}/a")
    assert await stream.next_names(4) == [
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("MODIFIED", "b"),
        ("DELETED", "a"),
    ]


@pytest.mark.parametrize("query", ["watch=1", "watch=True&resourceVersion=0", "watch="])
async def test_watch_without_version_starts_with_existing_objects(
    control_plane: ControlPlane, query: str
) -> None:
    await control_plane.add(PODS, pod("b"))
    await control_plane.add(PODS, pod("a"))
    stream = await control_plane.watch(f"{PODS}?{query}")
    await control_plane.add(PODS, pod("c"))
    assert await stream.next_names(3) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


@pytest.mark.parametrize("query", ["watch=0", "watch=false", "watch=False"])
async def test_false_watch_parameter_lists(control_plane: ControlPlane, query: str) -> None:
    assert (await control_plane.request("GET", f"{PODS}?{query}")).json["kind"] == "PodList"


async def test_deleted_event_has_whole_object_and_new_version(control_plane: ControlPlane) -> None:
    created = await control_plane.add(PODS, pod("a"))
    since = created["metadata"]["resourceVersion"]
    stream = await control_plane.watch(f"{PODS}?watch=1&resourceVersion={since}")
    await control_plane.request("DELETE", f"{PODS}/a")
    event = await stream.next_event()
    assert (event["type"], event["object"]["kind"], event["object"]["apiVersion"]) == (
        "DELETED",
        "Pod",
        "v1",
    )
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(since)


async def test_compacted_version_error_equals_captured_one(control_plane: ControlPlane) -> None:
    captured = json.loads((CAPTURES / "watch-too-old.json").read_text())
    await control_plane.add(PODS, pod("a"))
    control_plane.store.compact()
    stream = await control_plane.watch(f"{PODS}?watch=true&resourceVersion=1&timeoutSeconds=3")
    event = await stream.next_event()
    expected = json.loads(captured["body"])
    expected["object"]["message"] = f"too old resource version: 1 ({control_plane.store.version})"
    assert event == expected
    assert await stream.next_event() is None


async def test_gone_fault_ends_a_watch_with_an_event(control_plane: ControlPlane) -> None:
    control_plane.server.faults.gone = 1
    stream = await control_plane.watch(f"{PODS}?watch=1&resourceVersion=5")
    event = await stream.next_event()
    assert (event["type"], event["object"]["reason"]) == ("ERROR", "Expired")
    assert control_plane.server.faults.gone == 0


async def test_label_changes_enter_and_leave_selection(control_plane: ControlPlane) -> None:
    since = await current_version(control_plane)
    path = f"{PODS}?watch=1&labelSelector=x%3Dy&resourceVersion={since}"
    stream = await control_plane.watch(path)
    await control_plane.add(PODS, pod("a"))
    await control_plane.patch(f"{PODS}/a", {"metadata": {"labels": {"x": "y"}}})
    await control_plane.patch(f"{PODS}/a", {"metadata": {"labels": {"z": "1"}}})
    await control_plane.patch(f"{PODS}/a", {"metadata": {"labels": {"x": "n"}}})
    events = [await stream.next_event() for _ in range(3)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    last = events[2]["object"]["metadata"]
    assert last["labels"]["x"] == "y"
    assert int(last["resourceVersion"]) == control_plane.store.version


async def test_field_selector_reports_bound_pod(control_plane: ControlPlane) -> None:
    since = await current_version(control_plane)
    path = f"/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dnode-a&resourceVersion={since}"
    stream = await control_plane.watch(path)
    await control_plane.add_node("node-a")
    await control_plane.add(PODS, pod("a", schedulerName="default-scheduler"))
    assert await stream.next_names(1) == [("ADDED", "a")]


async def test_other_namespaces_are_not_reported(control_plane: ControlPlane) -> None:
    stream = await control_plane.watch(f"{PODS}?watch=1")
    await control_plane.add("/api/v1/namespaces/shop/pods", pod("other", namespace="shop"))
    await control_plane.add(PODS, pod("mine"))
    assert await stream.next_names(1) == [("ADDED", "mine")]


async def test_watch_of_one_object(control_plane: ControlPlane) -> None:
    await control_plane.add(PODS, pod("a"))
    stream = await control_plane.watch(f"{PODS}/a?watch=1")
    await control_plane.add(PODS, pod("b"))
    await control_plane.request("DELETE", f"{PODS}/a")
    assert await stream.next_names(2) == [("ADDED", "a"), ("DELETED", "a")]


async def test_watch_ends_after_timeout(control_plane: ControlPlane) -> None:
    stream = await control_plane.watch(f"{PODS}?watch=1&timeoutSeconds=1")
    assert await stream.next_event() is None
    await wait_until(lambda: _has_no_watches(control_plane))


async def _has_no_watches(control_plane: ControlPlane) -> bool:
    return (
        not control_plane.server.long_running.watches
        and not control_plane.store.tables[resources.PODS].listeners[1:]
    )


def _copy_pod(control_plane: ControlPlane) -> dict[str, Any]:
    item = control_plane.store.get(resources.PODS, "default", "a")
    assert item is not None
    return item.copy()


async def test_bookmarks_report_current_version(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "BOOKMARK_INTERVAL_S", 0.05)
    stream = await control_plane.watch(f"{PODS}?watch=1&allowWatchBookmarks=true")
    await control_plane.add("/api/v1/namespaces/shop/pods", pod("other", namespace="shop"))

    async def is_current() -> bool:
        event = await stream.next_event()
        assert event["type"] == "BOOKMARK"
        assert set(event["object"]) == {"kind", "apiVersion", "metadata"}
        assert event["object"]["kind"] == "Pod"
        return int(event["object"]["metadata"]["resourceVersion"]) == control_plane.store.version

    await wait_until(is_current)


async def test_initial_events_end_with_bookmark(control_plane: ControlPlane) -> None:
    await control_plane.add(PODS, pod("a"))
    query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true"
    refused = await control_plane.request("GET", f"{PODS}?{query}")
    assert refused.status == 400
    stream = await control_plane.watch(f"{PODS}?{query}&resourceVersionMatch=NotOlderThan")
    assert await stream.next_names(1) == [("ADDED", "a")]
    mark = await stream.next_event()
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_watch_as_table(control_plane: ControlPlane) -> None:
    await control_plane.add(PODS, pod("a"))
    stream = await control_plane.watch(f"{PODS}?watch=1", {**ADMIN, "Accept": TABLE})
    event = await stream.next_event()
    assert event["object"]["kind"] == "Table"
    assert event["object"]["columnDefinitions"][0]["name"] == "Name"
    assert event["object"]["rows"][0]["cells"][0] == "a"


async def test_disconnected_client_ends_watch(control_plane: ControlPlane) -> None:
    await control_plane.watch(f"{PODS}?watch=1")
    assert len(control_plane.server.long_running.watches) == 1
    control_plane.clients[-1].close()
    await wait_until(lambda: _has_no_watches(control_plane))


async def test_slow_client_is_disconnected(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_BACKLOG", 100_000)
    await control_plane.watch(f"{PODS}?watch=1")
    item = pod("a")
    item["metadata"]["annotations"] = {"big": "x" * 50_000}
    await control_plane.add(PODS, item)

    async def is_disconnected() -> bool:
        for _ in range(20):
            body = _copy_pod(control_plane)
            control_plane.store.put(resources.PODS, body)
        await asyncio.sleep(0)
        return not control_plane.server.long_running.watches

    await wait_until(is_disconnected, 60)


async def test_stalled_watch_reports_events_after_resume(control_plane: ControlPlane) -> None:
    stream = await control_plane.watch(f"{PODS}?watch=1")
    control_plane.server.stall("watches")
    await control_plane.add(PODS, pod("a"))
    waiting = asyncio.ensure_future(stream.next_names(1))
    done, _ = await asyncio.wait((waiting,), timeout=0.1)
    assert not done
    control_plane.server.stall("")
    assert await waiting == [("ADDED", "a")]


async def test_cut_resets_watches(control_plane: ControlPlane) -> None:
    stream = await control_plane.watch(f"{PODS}?watch=1")
    assert control_plane.server.cut("watches") == 1
    with pytest.raises(ConnectionResetError):
        await stream.next_event()


async def test_history_size_is_bounded(control_plane: ControlPlane) -> None:
    table = control_plane.store.tables[resources.PODS]
    await control_plane.add(PODS, pod("a"))
    for _ in range(table.changes.maxlen or 0):
        body = _copy_pod(control_plane)
        control_plane.store.put(resources.PODS, body)
    assert len(table.changes) == table.changes.maxlen
    assert control_plane.store.since(resources.PODS, table.compacted) is not None
    assert control_plane.store.since(resources.PODS, table.compacted - 1) is None
