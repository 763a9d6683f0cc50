"""Objects without `metadata.managedFields`, as the program asks for them (KEP-5958)."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tests.minicluster.control_plane import ADMIN, ControlPlane, WatchStream, run_control_plane
from tui_forward.kube import PODS as POD_RESOURCE
from tui_forward.kube.api import watch
from tui_forward.kube.api.rest_client import OBJECTS
from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.get_and_list import MediaType, negotiate
from tui_forward.minicluster.apiserver.store import Item

DROP = ADMIN | {"Accept": OBJECTS}


def path_of(item: Item) -> str:
    return f"/api/v1/namespaces/{item.namespace}/pods/{item.name}"


@pytest.mark.parametrize(
    ("accept", "drops"),
    [
        (OBJECTS, True),
        ("application/json; drop=metadata.managedFields", True),
        ("*/*;drop=metadata.managedFields", True),
        ("application/json", False),
        ("application/json;drop=", False),
        ("application/json;drop=metadata", False),
        ("application/json;drop=spec", False),
        ("text/plain;drop=metadata.managedFields, application/json", False),
    ],
)
def test_accept_header(accept: str, drops: bool) -> None:
    assert negotiate(accept) == MediaType(drops_managed_fields=drops)


def test_item_without_managed_fields() -> None:
    raw = b'{"metadata":{"name":"a","uid":"u","managedFields":[{"manager":"m"}],"labels":{"x":"1"}}'
    raw += b',"spec":{"note":"\\"managedFields\\": no"}}'
    item = Item(resources.PODS, 7, raw)
    short = item.without_managed_fields()
    expected = msgspec.json.decode(raw)
    del expected["metadata"]["managedFields"]
    assert short.copy() == expected
    assert (short.version, short.name, short.labels) == (7, "a", {"x": "1"})
    assert item.without_managed_fields() is short
    assert short.without_managed_fields() is short


async def test_reads(tmp_path: Path) -> None:
    async with run_control_plane(tmp_path, pods=20) as control_plane:
        item = control_plane.store.all(resources.PODS)[0]
        for path in (path_of(item), "/api/v1/pods"):
            full = await control_plane.request("GET", path)
            short = await control_plane.request("GET", path, DROP)
            assert b"managedFields" in full.body
            assert b"managedFields" not in short.body
            assert len(short.body) < 0.7 * len(full.body)


async def test_watches(tmp_path: Path) -> None:
    async with run_control_plane(tmp_path, pods=20, churn=20.0) as control_plane:
        for query in ("watch=true", "watch=true&labelSelector=app"):
            await check_events(control_plane, query)


async def check_events(control_plane: ControlPlane, query: str) -> None:
    """Check the first objects of a watch, and those of changes."""
    found = []
    for headers in (ADMIN, DROP):
        client = await control_plane.client()
        await client.send("GET", f"/api/v1/pods?{query}", headers)
        stream = WatchStream(client)
        events = [await stream.next_event() for _ in range(30)]
        pods = [event["object"]["metadata"] for event in events if event["type"] != "BOOKMARK"]
        found.append({"managedFields" in metadata for metadata in pods})
    with_fields, without = found
    assert True in with_fields, query  # some pods are so new that they have none
    assert without == {False}, query


async def test_program_is_sent_no_managed_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = bytearray()
    split = watch.LineSplitter.receive

    def record(splitter: watch.LineSplitter, chunk: bytes) -> list[bytes]:
        received.extend(chunk)
        return split(splitter, chunk)

    monkeypatch.setattr(watch.LineSplitter, "receive", record)
    async with run_control_plane(tmp_path, pods=20) as control_plane:
        bytes_of_pods = sum(len(one.raw) for one in control_plane.store.all(resources.PODS))
        address = f"https://127.0.0.1:{control_plane.server.port}"
        content = kubeconfig(address, user={"token": "admin-token"})
        cluster = cluster_for(write(tmp_path / "config", content))
        async with aclosing(cluster.watch(POD_RESOURCE, resource_version="0")) as events:
            names = set()
            async for event in events:
                names |= {event.item.name} if event.item is not None else set()
                if len(names) == 20:
                    break
        await cluster.close()
    assert b"managedFields" not in received
    assert len(received) < 0.7 * bytes_of_pods
