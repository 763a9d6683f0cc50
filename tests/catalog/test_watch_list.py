"""The list after a 410: by a watch with initial events where the server offers it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.catalog.harness import Setup, pod_named
from tests.kube.api_server import ApiServer, Reply, Request, serving, status_body
from tests.kube.kubeconfigs import kubeconfig, write
from tests.kube.objects import pod
from tests.support.waiting import until
from tui_forward.catalog import reflector
from tui_forward.catalog.reflector import Reflector
from tui_forward.kube import PODS, ClusterClients, KubeconfigSource
from tui_forward.kube.api.watch import is_watch_list_enabled
from tui_forward.model import Pod, TargetKind

OFF = {"KUBE_FEATURE_WatchListClient": "false"}


class Follower:
    """A reflector of the pods of one namespace, and the changes that it has reported."""

    def __init__(self, path: Path, server: ApiServer, environ: dict[str, str]) -> None:
        write(path, kubeconfig(server.url))
        self.clusters = ClusterClients(KubeconfigSource(path, environ=environ))
        self.cluster = self.clusters.get()
        self.server = server
        self.changes: list[tuple[str, str]] = []
        self.reflector = Reflector(
            self.cluster, PODS, "shop", on_change=self._record, on_status=lambda: None
        )
        self.reflector.start()

    def _record(self, old: Pod | None, new: Pod | None) -> None:
        item = new or old
        assert item is not None
        self.changes.append(("gone" if new is None else "new" if old is None else "", item.name))

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.reflector.items}

    async def expire(self) -> None:
        """Make the version of the watch too old."""
        await until(lambda: self.server.count("watch", "pods") > 0)
        self.server.compact()
        await self.server.end_watches()

    async def synced(self) -> None:
        await until(lambda: self.reflector.synced and self.reflector.error is None)

    async def close(self) -> None:
        await self.reflector.stop()
        await self.clusters.close()


def counted(server: ApiServer) -> tuple[int, int]:
    """Return the numbers of lists, and of watches with initial events."""
    return server.count("list", "pods"), sum(one.lists_by_watch for one in server.requests)


@pytest.mark.parametrize(
    ("environ", "mode", "expected"),
    [
        ({}, "offered", (1, 1)),
        ({}, "refused", (2, 1)),
        ({}, "ignored", (2, 1)),
        (OFF, "offered", (2, 0)),
    ],
)
@pytest.mark.parametrize("as_http", [True, False])
async def test_list_after_an_expired_version(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    mode: str,
    expected: tuple[int, int],
    as_http: bool,
) -> None:
    monkeypatch.setattr(reflector, "_INITIAL_EVENTS_SILENCE_S", 0.1)
    async with serving(watch_list=mode, too_old_as_http=as_http) as server:
        for name in ("stays", "goes", "changes"):
            server.put("pods", pod(name))
        follower = Follower(tmp_path / "config", server, environ)
        await until(lambda: len(follower.names) == 3)
        follower.changes.clear()
        server.delete("pods", "shop", "goes")
        server.put("pods", pod("changes", phase="Failed"))
        server.put("pods", pod("comes"))
        server.put("pods", pod("elsewhere", namespace="other"))
        server.history.clear()  # none of it reaches the old watch
        await follower.expire()
        await until(lambda: follower.names == {"stays", "changes", "comes"})
        await until(lambda: counted(server) == expected)
        assert sorted(follower.changes) == [("", "changes"), ("gone", "goes"), ("new", "comes")]
        # The same watch, or the one after the list, goes on.
        server.put("pods", pod("later"))
        await until(lambda: "later" in follower.names)
        query = next((one.query for one in server.requests if one.lists_by_watch), None)
        if query is not None:
            assert query["resourceVersionMatch"] == "NotOlderThan"
            assert query["allowWatchBookmarks"] == "true"
            assert query["resourceVersion"] == ""
        # A refusal is remembered.
        await follower.expire()
        server.put("pods", pod("latest"))
        await until(lambda: "latest" in follower.names)
        assert follower.cluster.offers_watch_list == (mode == "offered" and not environ)
        if mode == "offered" and not environ:
            await until(lambda: counted(server)[1] == 2)
        else:
            assert counted(server)[1] == expected[1]
        await follower.close()


ENDINGS: dict[str, Callable[[Request], Reply | None]] = {
    "busy": lambda _: Reply(429, b""),
    "broken": lambda _: Reply(500, b"no"),
    "forbidden": lambda _: Reply(403, status_body(403, "Forbidden", "no")),
    "expired": lambda _: Reply(410, status_body(410, "Expired", "no")),
    "ends at once": lambda _: Reply(200, b""),
    "ends within": lambda _: Reply(200, b'{"type":"ADDED","object":{"metadata":{"name":"x","nam'),
    "ends before the bookmark": lambda _: Reply(
        200,
        b'{"type":"ADDED","object":{"metadata":{"name":"stays","namespace":"shop"}}}\n',
    ),
    "is noise": lambda _: Reply(200, b"<html>\n"),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_watch_list_that_fails_is_replaced_by_a_list(tmp_path: Path, ending: str) -> None:
    async with serving() as server:
        for name in ("stays", "goes"):
            server.put("pods", pod(name))
        follower = Follower(tmp_path / "config", server, {})
        await until(lambda: len(follower.names) == 2)
        server.intercept = lambda one: ENDINGS[ending](one) if one.lists_by_watch else None
        server.delete("pods", "shop", "goes")
        server.history.clear()
        await follower.expire()
        await until(lambda: follower.names == {"stays"})
        assert counted(server) == (2, 1)
        await follower.synced()
        # It failed, but was not refused.
        assert follower.cluster.offers_watch_list
        await follower.close()


async def test_broken_watch_list_continues_as_a_watch(tmp_path: Path) -> None:
    async with serving() as server:
        server.put("pods", pod("web-1"))
        follower = Follower(tmp_path / "config", server, {})
        await until(lambda: bool(follower.names))
        await follower.expire()
        await until(lambda: counted(server)[1] == 1)
        await follower.synced()
        await server.end_watches()
        server.put("pods", pod("web-2"))
        await until(lambda: "web-2" in follower.names)
        assert counted(server) == (1, 1)
        await follower.close()


async def test_many_objects_on_a_slow_network_are_listed_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "PAGE_LIMIT", 2)
    async with serving() as server:
        for number in range(5):
            server.put("pods", pod(f"web-{number}"))
        follower = Follower(tmp_path / "config", server, {})
        await until(lambda: len(follower.names) == 5)
        monkeypatch.setattr(type(follower.cluster), "is_slow", True)
        lists = counted(server)[0]
        await follower.expire()
        await until(lambda: counted(server)[0] > lists)
        assert counted(server)[1] == 0
        await follower.close()


async def test_targets_survive_an_expired_version(setup: Setup) -> None:
    setup.server.put("pods", pod("web-1"))
    watch = setup.watch(TargetKind.POD, "web-1", "http")
    before = await pod_named(watch, "web-1")
    await until(lambda: setup.server.count("watch", "pods") > 0)
    setup.server.compact()
    await setup.server.end_watches()
    await until(lambda: any(one.lists_by_watch for one in setup.server.requests))
    assert watch.current == before


@pytest.mark.parametrize(
    ("value", "enabled"),
    [
        (None, True), ("", True), ("true", True), ("1", True), ("T", True), ("no", True),
        ("false", False), ("False", False), ("FALSE", False), ("0", False), ("f", False),
        ("F", False), ("off", True), ("fAlse", True), (" false", True),
    ],
)  # fmt: skip
def test_feature_gate_is_read_as_by_client_go(value: str | None, enabled: bool) -> None:
    environ = {} if value is None else {"KUBE_FEATURE_WatchListClient": value}
    assert is_watch_list_enabled(environ) is enabled
    assert is_watch_list_enabled({"KUBE_FEATURE_WATCHLISTCLIENT": "false"})


_NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
_ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _NAMES),
        st.tuples(st.just("delete"), _NAMES),
        st.tuples(st.just("compact"), st.just("")),
        st.tuples(st.just("end"), st.just("")),
        st.tuples(st.just("mode"), st.sampled_from(["offered", "refused", "ignored"])),
    ),
    max_size=12,
)


@settings(max_examples=15)
@given(_ACTIONS)
def test_items_converge_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, str]]
) -> None:
    """Apply changes, compactions and ended watches; the items equal the server's in the end."""

    async def apply() -> None:
        async with serving() as server:
            follower = Follower(tmp_path_factory.mktemp("config") / "config", server, {})
            await follower.synced()
            for action, argument in actions:
                await act(server, action, argument)
                await asyncio.sleep(0)
            server.put("pods", pod("last"))
            wanted = {name for _, name in server.objects["pods"]}
            await until(lambda: follower.names == wanted)
            known: Any = {}
            for kind, name in follower.changes:
                known.pop(name, None) if kind == "gone" else known.update({name: 1})
            assert set(known) == wanted
            await follower.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reflector, "_INITIAL_EVENTS_SILENCE_S", 0.05)
        asyncio.run(apply())


async def act(server: ApiServer, action: str, argument: str) -> None:
    match action:
        case "put":
            server.put("pods", pod(argument))
        case "delete" if ("shop", argument) in server.objects.get("pods", {}):
            server.delete("pods", "shop", argument)
        case "compact":
            server.compact()
        case "end":
            await server.end_watches()
        case "mode":
            server.watch_list = argument
