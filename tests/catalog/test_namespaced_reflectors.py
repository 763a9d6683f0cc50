"""All namespaces, for users who may list in some of them only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.catalog.harness import Setup, view
from tests.kube.api_server import Reply, Request, serving, status_body
from tests.kube.kubeconfigs import kubeconfig, write
from tests.kube.objects import pod, service, workload
from tests.support.waiting import until
from tui_forward.catalog import namespaced_reflectors, reflector
from tui_forward.model import CatalogScope, CatalogView, ResourceStatus

ALL = CatalogScope("test")
NAMESPACES = ("alpha", "beta", "default", "gamma")


class Role:
    """What the user may do: resources by namespace, "" for a list of all namespaces."""

    def __init__(self, rules: dict[str, set[str]]) -> None:
        self.rules = rules

    def __call__(self, request: Request) -> Reply | None:
        parts = request.path.split("/")
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else ""
        allowed = self.rules.get(namespace, set()) | self.rules.get("*", set())
        if request.path == "/version" or request.plural in allowed:
            return None
        message = f'{request.plural} is forbidden: User "u" cannot list resource "{request.plural}"'
        return Reply(403, status_body(403, "Forbidden", message))


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    async with serving() as server:
        for name in NAMESPACES:
            server.put("namespaces", {"metadata": {"name": name}})
            server.put("pods", pod(f"web-{name}", namespace=name))
            server.put("services", service("web", namespace=name))
            server.put("deployments", workload("web", namespace=name))
        live = Setup(server, tmp_path / "config")
        yield live
        await live.close()


def status(found: CatalogView, resource: str) -> ResourceStatus:
    return next(one for one in found.resources if one.resource == resource)


def settled(found: CatalogView) -> bool:
    return all(one.synced or one.error for one in found.resources)


def names(found: CatalogView) -> list[str]:
    return sorted(f"{one.namespace}/{one.name}" for one in found.pods)


WORKLOADS = {"deployments", "statefulsets", "daemonsets", "replicasets", "jobs"}
EVERYTHING = {"pods", "services", *WORKLOADS}
CASES = {
    # Rules, pods that are shown, namespaces that are named as refused.
    "two namespaces": (
        {"": {"namespaces"}, "alpha": EVERYTHING, "gamma": EVERYTHING},
        ["alpha/web-alpha", "gamma/web-gamma"],
        ("beta", "default"),
    ),
    "all, one by one": (
        {"": {"namespaces"}, **dict.fromkeys(NAMESPACES, EVERYTHING)},
        [f"{name}/web-{name}" for name in NAMESPACES],
        (),
    ),
    "the namespace of the context, others unknown": (
        {"default": EVERYTHING}, ["default/web-default"], (),
    ),
    "all at once": ({"*": EVERYTHING}, [f"{name}/web-{name}" for name in NAMESPACES], ()),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_what_is_allowed_is_shown(setup: Setup, name: str) -> None:
    rules, pods, refused = CASES[name]
    setup.server.intercept = Role(rules)
    found = await view(setup, ALL, lambda v: settled(v) and names(v) == pods)
    for resource in EVERYTHING:
        one = await view(setup, ALL, lambda v: status(v, resource).synced)  # noqa: B023
        assert status(one, resource).error == ""
        assert not status(one, resource).forbidden
    found = await view(setup, ALL, lambda v: status(v, "pods").forbidden_in == refused)
    assert len(found.services) == len(pods)
    assert status(found, "pods").count == len(pods)
    is_split = name != "all at once"
    shown = {one.partition("/")[0] for one in pods}
    assert set(status(found, "pods").only_in) == (shown if is_split else set())
    # Changes arrive.
    for place in NAMESPACES:
        setup.server.put("pods", pod("new", namespace=place))
    await view(setup, ALL, lambda v: len(names(v)) == 2 * len(pods))
    assert {one.namespace for one in setup.catalog.view(ALL).pods} == shown
    for place in NAMESPACES:
        setup.server.delete("pods", place, "new")
    await view(setup, ALL, lambda v: names(v) == pods)


async def test_list_is_not_complete_before_the_namespaces_are_known(setup: Setup) -> None:
    setup.server.intercept = Role({"": {"namespaces"}, **dict.fromkeys(NAMESPACES, EVERYTHING)})
    held = setup.server.held["namespaces"] = asyncio.Event()
    found = await view(setup, ALL, lambda v: names(v) == ["default/web-default"])
    assert not status(found, "pods").synced
    held.set()
    found = await view(setup, ALL, lambda v: status(v, "pods").synced)
    assert names(found) == [f"{name}/web-{name}" for name in NAMESPACES]


async def test_resources_are_refused_one_by_one(setup: Setup) -> None:
    rules = {"": {"namespaces"}, "alpha": {"pods"}, "beta": {"pods", "services"}}
    setup.server.intercept = Role(rules)
    found = await view(setup, ALL, lambda v: settled(v) and len(v.pods) == 2)
    found = await view(setup, ALL, lambda v: len(status(v, "services").forbidden_in) == 3)
    assert [one.namespace for one in found.services] == ["beta"]
    assert status(found, "pods").forbidden_in == ("default", "gamma")
    jobs = status(found, "jobs")
    assert jobs.forbidden
    assert "not allowed to list jobs.batch in all namespaces" in jobs.error
    assert "Choose one namespace" in jobs.hint
    assert jobs.forbidden_in == ()


async def test_namespaces_come_and_go(setup: Setup) -> None:
    server = setup.server
    server.intercept = role = Role({"": {"namespaces"}, "alpha": EVERYTHING, "new": EVERYTHING})
    await view(setup, ALL, lambda v: settled(v) and names(v) == ["alpha/web-alpha"])
    server.put("pods", pod("web", namespace="new"))
    server.put("namespaces", {"metadata": {"name": "new"}})
    await view(setup, ALL, lambda v: names(v) == ["alpha/web-alpha", "new/web"])
    server.delete("namespaces", "", "alpha")
    await view(setup, ALL, lambda v: names(v) == ["new/web"])
    assert role.rules


async def test_role_that_changes(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "_FORBIDDEN_RETRY_S", 0.05)
    monkeypatch.setattr(namespaced_reflectors, "_REFUSED_RETRY_S", 0.05)
    server = setup.server
    server.intercept = role = Role({"": {"namespaces"}, "alpha": EVERYTHING})
    await view(setup, ALL, lambda v: settled(v) and names(v) == ["alpha/web-alpha"])
    role.rules["beta"] = EVERYTHING
    await view(setup, ALL, lambda v: len(names(v)) == 2)
    before = setup.catalog.view(ALL)
    role.rules["*"] = EVERYTHING
    found = await view(setup, ALL, lambda v: len(names(v)) == 4)
    found = await view(setup, ALL, lambda v: status(v, "pods").forbidden_in == ())
    assert status(found, "pods").count == 4
    # Objects that stay are not reported again.
    changes = setup.catalog.view(ALL, before.version)
    assert not changes.complete
    assert {one.namespace for one in changes.pods} == {"default", "gamma"}
    assert changes.removed == ()
    # Less is allowed again.
    role.rules = {"": {"namespaces"}, "gamma": EVERYTHING}
    await server.end_watches()
    server.compact()
    await server.end_watches()
    await view(setup, ALL, lambda v: names(v) == ["gamma/web-gamma"])
    found = await view(setup, ALL, lambda v: len(status(v, "pods").forbidden_in) == 3)
    assert "gamma" not in status(found, "pods").forbidden_in


async def test_number_of_followed_namespaces_is_bounded(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaced_reflectors, "MAX_NAMESPACES", 2)
    rules = {"": {"namespaces"}, **dict.fromkeys(NAMESPACES, EVERYTHING)}
    setup.server.intercept = Role(rules)
    found = await view(
        setup, ALL, lambda v: settled(v) and len(status(v, "pods").beyond_limit) == 2
    )
    # The namespace of the context comes first.
    assert {one.namespace for one in found.pods} == {"default", "alpha"}
    assert status(found, "pods").beyond_limit == ("beta", "gamma")
    assert status(found, "pods").forbidden_in == ()


async def test_contexts_of_the_same_cluster_name_namespaces(tmp_path: Path) -> None:
    async with serving(intercept=Role({"alpha": EVERYTHING, "beta": EVERYTHING})) as server:
        for name in ("alpha", "beta", "gamma"):
            server.put("pods", pod("web", namespace=name))
        setup = Setup(server, tmp_path / "config")
        content = kubeconfig(server.url, namespace="alpha")
        other = {"name": "elsewhere", "cluster": {"server": server.url}}
        content["clusters"].append(other)
        for name, namespace, cluster in (
            ("two", "beta", "test"), ("three", "gamma", "elsewhere"), ("four", "delta", "test")
        ):  # fmt: skip
            context = {"cluster": cluster, "user": "test", "namespace": namespace}
            content["contexts"].append({"name": name, "context": context})
        write(setup.path, content)
        found = await view(setup, ALL, lambda v: settled(v) and len(v.pods) == 2)
        assert names(found) == ["alpha/web", "beta/web"]
        found = await view(setup, ALL, lambda v: bool(status(v, "pods").forbidden_in))
        assert status(found, "pods").forbidden_in == ("delta",)
        await setup.close()


async def test_unreachable_server_is_no_refusal(setup: Setup) -> None:
    setup.server.intercept = Role({"": {"namespaces"}, "alpha": EVERYTHING})
    found = await view(setup, ALL, lambda v: settled(v) and len(v.pods) == 1)
    port = setup.server.port
    await setup.server.stop()
    found = await view(setup, ALL, lambda v: bool(status(v, "pods").error))
    assert not status(found, "pods").forbidden
    assert "refuses connections" in status(found, "pods").error
    assert len(found.pods) == 1
    await setup.server.start(port)
    setup.catalog.refresh()
    found = await view(
        setup, ALL, lambda v: status(v, "pods").synced and not status(v, "pods").error
    )
    assert names(found) == ["alpha/web-alpha"]


async def test_search_ends_with_the_scope(setup: Setup) -> None:
    setup.server.intercept = Role({"": {"namespaces"}, "alpha": EVERYTHING})
    setup.catalog.view(ALL)
    await until(lambda: any("alpha" in one.path for one in setup.server.requests))
    await setup.catalog.close()  # leaks of tasks and sockets fail every test
