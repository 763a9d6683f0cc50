"""Watches: what they say, when they end, how they go on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.minicluster.control_plane import ADMIN, TABLE, ControlPlane, pod, until
from tui_forward.minicluster.apiserver import resources, watch

PODS = "/api/v1/namespaces/default/pods"
CAPTURES = Path(__file__).parent.parent / "captures/api"


async def version(plane: ControlPlane) -> str:
    answer = await plane.ask("GET", PODS)
    return str(answer.json["metadata"]["resourceVersion"])


async def test_from_a_version(plane: ControlPlane) -> None:
    since = await version(plane)
    await plane.add(PODS, pod("a"))
    watching = await plane.watch(f"{PODS}?watch=true&resourceVersion={since}")
    await plane.add(PODS, pod("b"))
    await plane.patch(f"{PODS}/b", {"metadata": {"labels": {"x": "y"}}})
    await plane.ask("DELETE", f"{PODS}/a")
    assert await watching.take(4) == [
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("MODIFIED", "b"),
        ("DELETED", "a"),
    ]


@pytest.mark.parametrize("query", ["watch=1", "watch=True&resourceVersion=0", "watch="])
async def test_without_a_version_begins_with_what_is(plane: ControlPlane, query: str) -> None:
    await plane.add(PODS, pod("b"))
    await plane.add(PODS, pod("a"))
    watching = await plane.watch(f"{PODS}?{query}")
    await plane.add(PODS, pod("c"))
    assert await watching.take(3) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


@pytest.mark.parametrize("query", ["watch=0", "watch=false", "watch=False"])
async def test_watch_can_be_denied(plane: ControlPlane, query: str) -> None:
    assert (await plane.ask("GET", f"{PODS}?{query}")).json["kind"] == "PodList"


async def test_objects_are_whole_and_deletion_has_a_version_of_its_own(plane: ControlPlane) -> None:
    made = await plane.add(PODS, pod("a"))
    since = made["metadata"]["resourceVersion"]
    watching = await plane.watch(f"{PODS}?watch=1&resourceVersion={since}")
    await plane.ask("DELETE", f"{PODS}/a")
    event = await watching.next()
    assert (event["type"], event["object"]["kind"], event["object"]["apiVersion"]) == (
        "DELETED",
        "Pod",
        "v1",
    )
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(since)


async def test_too_old_is_said_as_recorded(plane: ControlPlane) -> None:
    recorded = json.loads((CAPTURES / "watch-too-old.json").read_text())
    await plane.add(PODS, pod("a"))
    plane.store.compact()
    watching = await plane.watch(f"{PODS}?watch=true&resourceVersion=1&timeoutSeconds=3")
    event = await watching.next()
    wanted = json.loads(recorded["body"])
    wanted["object"]["message"] = f"too old resource version: 1 ({plane.store.version})"
    assert event == wanted
    assert await watching.next() is None


async def test_gone_by_status_on_request(plane: ControlPlane) -> None:
    plane.server.faults.gone = 1
    answer = await plane.ask("GET", f"{PODS}?watch=1&resourceVersion=5")
    assert (answer.status, answer.json["reason"]) == (410, "Expired")
    assert plane.server.faults.gone == 0


async def test_a_selector_adds_and_removes(plane: ControlPlane) -> None:
    since = await version(plane)
    path = f"{PODS}?watch=1&labelSelector=x%3Dy&resourceVersion={since}"
    watching = await plane.watch(path)
    await plane.add(PODS, pod("a"))
    await plane.patch(f"{PODS}/a", {"metadata": {"labels": {"x": "y"}}})
    await plane.patch(f"{PODS}/a", {"metadata": {"labels": {"z": "1"}}})
    await plane.patch(f"{PODS}/a", {"metadata": {"labels": {"x": "n"}}})
    events = [await watching.next() for _ in range(3)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    last = events[2]["object"]["metadata"]
    assert last["labels"]["x"] == "y"
    assert int(last["resourceVersion"]) == plane.store.version


async def test_a_field_selector_follows_a_node(plane: ControlPlane) -> None:
    since = await version(plane)
    path = f"/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dnode-a&resourceVersion={since}"
    watching = await plane.watch(path)
    await plane.node("node-a")
    await plane.add(PODS, pod("a", schedulerName="default-scheduler"))
    assert await watching.take(1) == [("ADDED", "a")]


async def test_other_namespaces_are_not_seen(plane: ControlPlane) -> None:
    watching = await plane.watch(f"{PODS}?watch=1")
    await plane.add("/api/v1/namespaces/shop/pods", pod("other", namespace="shop"))
    await plane.add(PODS, pod("mine"))
    assert await watching.take(1) == [("ADDED", "mine")]


async def test_one_object(plane: ControlPlane) -> None:
    await plane.add(PODS, pod("a"))
    watching = await plane.watch(f"{PODS}/a?watch=1")
    await plane.add(PODS, pod("b"))
    await plane.ask("DELETE", f"{PODS}/a")
    assert await watching.take(2) == [("ADDED", "a"), ("DELETED", "a")]


async def test_ends_in_order_at_its_time(plane: ControlPlane) -> None:
    watching = await plane.watch(f"{PODS}?watch=1&timeoutSeconds=1")
    assert await watching.next() is None
    await until(lambda: _unwatched(plane))


async def _unwatched(plane: ControlPlane) -> bool:
    return (
        not plane.server.long_running.watches
        and not plane.store.tables[resources.PODS].listeners[1:]
    )


def _copy(plane: ControlPlane) -> dict[str, Any]:
    item = plane.store.get(resources.PODS, "default", "a")
    assert item is not None
    return item.copy()


async def test_bookmarks(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BOOKMARK_INTERVAL_S", 0.05)
    watching = await plane.watch(f"{PODS}?watch=1&allowWatchBookmarks=true")
    await plane.add("/api/v1/namespaces/shop/pods", pod("other", namespace="shop"))

    async def current() -> bool:
        event = await watching.next()
        assert event["type"] == "BOOKMARK"
        assert set(event["object"]) == {"kind", "apiVersion", "metadata"}
        assert event["object"]["kind"] == "Pod"
        return int(event["object"]["metadata"]["resourceVersion"]) == plane.store.version

    await until(current)


async def test_streamed_lists(plane: ControlPlane) -> None:
    await plane.add(PODS, pod("a"))
    query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true"
    refused = await plane.ask("GET", f"{PODS}?{query}")
    assert refused.status == 400
    watching = await plane.watch(f"{PODS}?{query}&resourceVersionMatch=NotOlderThan")
    assert await watching.take(1) == [("ADDED", "a")]
    mark = await watching.next()
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_as_a_table(plane: ControlPlane) -> None:
    await plane.add(PODS, pod("a"))
    watching = await plane.watch(f"{PODS}?watch=1", {**ADMIN, "Accept": TABLE})
    event = await watching.next()
    assert event["object"]["kind"] == "Table"
    assert event["object"]["columnDefinitions"][0]["name"] == "Name"
    assert event["object"]["rows"][0]["cells"][0] == "a"


async def test_a_client_that_leaves_is_forgotten(plane: ControlPlane) -> None:
    await plane.watch(f"{PODS}?watch=1")
    assert len(plane.server.long_running.watches) == 1
    plane.clients[-1].close()
    await until(lambda: _unwatched(plane))


async def test_a_client_that_is_too_slow_is_cut_off(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_BACKLOG", 100_000)
    await plane.watch(f"{PODS}?watch=1")
    item = pod("a")
    item["metadata"]["annotations"] = {"big": "x" * 50_000}
    await plane.add(PODS, item)

    async def cut() -> bool:
        for _ in range(20):
            body = _copy(plane)
            plane.store.put(resources.PODS, body)
        await asyncio.sleep(0)
        return not plane.server.long_running.watches

    await until(cut, 20)


async def test_stalled_watches_say_nothing_and_then_everything(plane: ControlPlane) -> None:
    watching = await plane.watch(f"{PODS}?watch=1")
    plane.server.stall("watches")
    await plane.add(PODS, pod("a"))
    waiting = asyncio.ensure_future(watching.take(1))
    done, _ = await asyncio.wait((waiting,), timeout=0.1)
    assert not done
    plane.server.stall("")
    assert await waiting == [("ADDED", "a")]


async def test_cut_watches(plane: ControlPlane) -> None:
    watching = await plane.watch(f"{PODS}?watch=1")
    assert plane.server.cut("watches") == 1
    with pytest.raises(ConnectionResetError):
        await watching.next()


async def test_history_is_bounded(plane: ControlPlane) -> None:
    table = plane.store.tables[resources.PODS]
    await plane.add(PODS, pod("a"))
    for _ in range(table.changes.maxlen or 0):
        body = _copy(plane)
        plane.store.put(resources.PODS, body)
    assert len(table.changes) == table.changes.maxlen
    assert plane.store.since(resources.PODS, table.compacted) is not None
    assert plane.store.since(resources.PODS, table.compacted - 1) is None
