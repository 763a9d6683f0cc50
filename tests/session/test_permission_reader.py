"""Permissions known before a start: one review per namespace, cached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kube.api_server import ApiServer, Reply, Request, serving, status_body
from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tui_forward.model import CatalogScope, TargetKind
from tui_forward.session.permission_reader import PermissionReader

SHOP = CatalogScope("test", "shop")
CREATE = "create pods/portforward"


def rule(verbs: str, resources: str, group: str = "") -> dict[str, Any]:
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}


class Reviews:
    """Answers reviews, and counts them."""

    def __init__(self, *rules: dict[str, Any], incomplete: bool = False) -> None:
        self.rules = list(rules)
        self.incomplete = incomplete
        self.allowed: set[str] = set()  # by single questions
        self.refuses = False
        self.asked: list[str] = []

    def answer(self, request: Request) -> Reply | None:
        if request.method != "POST":
            return None
        if self.refuses:
            return Reply(403, status_body(403, "Forbidden", "no"))
        self.asked.append(request.plural)
        if request.plural == "selfsubjectrulesreviews":
            status: dict[str, Any] = {"resourceRules": self.rules, "incomplete": self.incomplete}
        else:
            asked = json.loads(request.body)["spec"]["resourceAttributes"]
            status = {"allowed": f"{asked['verb']} {asked['resource']}" in self.allowed}
        return Reply(201, json.dumps({"status": status}).encode())


async def read(
    folder: Path, reviews: Reviews, *scopes: CatalogScope, version: str = "v1.36.2"
) -> list[dict[TargetKind, tuple[str, ...]]]:
    async with serving() as api:
        api.intercept = reviews.answer
        cluster = cluster_for(write(folder / "config", kubeconfig(api.url)))
        reader = PermissionReader(lambda _context, _options: cluster)
        try:
            return [(await reader.read(scope, version)).by_kind for scope in scopes]
        finally:
            await reader.close()
            await cluster.close()


async def test_kinds_of_targets_lack_what_no_rule_allows(tmp_path: Path) -> None:
    reviews = Reviews(
        rule("get list watch", "pods services"), rule("get list watch", "deployments", "apps")
    )
    [missing] = await read(tmp_path, reviews, SHOP)
    assert missing[TargetKind.POD] == missing[TargetKind.SERVICE] == (CREATE,)
    assert missing[TargetKind.DEPLOYMENT] == (CREATE,)
    assert missing[TargetKind.JOB] == ("get jobs.batch", CREATE)
    assert reviews.asked == ["selfsubjectrulesreviews"]


async def test_nothing_is_missing_with_a_sufficient_role(tmp_path: Path) -> None:
    assert await read(tmp_path, Reviews(rule("*", "*", "*")), SHOP) == [{}]
    [missing] = await read(tmp_path, Reviews(rule("create", "pods/portforward")), SHOP)
    assert TargetKind.POD not in missing
    assert missing[TargetKind.SERVICE] == ("get services", "list pods")


async def test_old_server_needs_get_for_websockets_only(tmp_path: Path) -> None:
    reviews = Reviews(rule("get", "pods pods/portforward"))
    [missing] = await read(tmp_path, reviews, SHOP, version="v1.30.1")
    assert TargetKind.POD not in missing


async def test_each_namespace_is_reviewed_once(tmp_path: Path) -> None:
    reviews = Reviews(rule("get", "pods"))
    other = CatalogScope("test", "data")
    found = await read(tmp_path, reviews, *[SHOP] * 20, other, SHOP)
    assert all(each[TargetKind.POD] == (CREATE,) for each in found)
    assert reviews.asked == ["selfsubjectrulesreviews"] * 2


async def test_incomplete_rules_are_completed_by_single_questions(tmp_path: Path) -> None:
    reviews = Reviews(rule("get list watch", "pods"), incomplete=True)
    reviews.allowed = {"create pods"}
    [missing] = await read(tmp_path, reviews, SHOP)
    assert TargetKind.POD not in missing
    assert missing[TargetKind.SERVICE] == ("get services",)
    assert reviews.asked.count("selfsubjectrulesreviews") == 1
    assert 1 < len(reviews.asked) < 30


@pytest.mark.parametrize("refuses", [True, False])
async def test_nothing_is_said_if_the_server_tells_nothing(
    tmp_path: Path, *, refuses: bool
) -> None:
    reviews = Reviews()
    reviews.refuses = refuses
    if refuses:
        assert await read(tmp_path, reviews, SHOP) == [{}]
        return
    api = ApiServer()
    cluster = cluster_for(write(tmp_path / "config", kubeconfig("http://127.0.0.1:1")))
    reader = PermissionReader(lambda _context, _options: cluster)
    assert (await reader.read(SHOP, "")).by_kind == {}
    await reader.close()
    await cluster.close()
    assert not api.requests
