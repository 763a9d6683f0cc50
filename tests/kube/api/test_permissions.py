"""What forwards must be allowed to do, compared with what a real API server has allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.kube.api_server import ApiServer, Reply, Request
from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tests.support.recorded_faults import load_fault, names_of
from tui_forward.errors import ApiError
from tui_forward.kube.api.permissions import (
    AccessRules,
    Permission,
    ResourceRule,
    all_permissions,
    forward_requirements,
    kubectl_requirements,
    missing_permissions,
    parse_version,
    role_yaml,
    tunnel_ways,
)
from tui_forward.model import TargetKind, TransportChoice

CREATE, GET = (Permission(verb, "pods/portforward") for verb in ("create", "get"))
GET_PODS, LIST_PODS = (Permission(verb, "pods") for verb in ("get", "list"))


@pytest.mark.parametrize(
    ("transport", "version", "ways"),
    [
        (TransportChoice.SPDY, "v1.36.2", ((CREATE,),)),
        (TransportChoice.WEBSOCKET, "v1.36.2", ((GET, CREATE),)),
        (TransportChoice.WEBSOCKET, "v1.35.0-rc.1+k3s1", ((GET, CREATE),)),
        (TransportChoice.WEBSOCKET, "v1.34.9-gke.100", ((GET,),)),
        (TransportChoice.CHANNELS, "v1.20.2", ((GET,),)),
        (TransportChoice.AUTO, "v1.34.1", ((CREATE,), (GET,))),
        (TransportChoice.AUTO, "", ((CREATE,), (GET, CREATE))),
    ],
)
def test_tunnels_need_verbs_by_version_and_transport(
    transport: TransportChoice, version: str, ways: tuple[tuple[Permission, ...], ...]
) -> None:
    assert tunnel_ways(transport, version) == ways


@pytest.mark.parametrize(
    ("text", "version"), [("v1.36.2", (1, 36)), ("1.29+", (1, 29)), ("", None), ("devel", None)]
)
def test_parse_version(text: str, version: tuple[int, int] | None) -> None:
    assert parse_version(text) == version


# The recordings of users with some of the permissions.
RBAC_FAULTS = names_of("80-93")


def recorded_permissions(fault: str) -> set[Permission]:
    """Return what the API server's reviews and answers have allowed."""
    allowed = set()
    for request in load_fault(fault)["requests"]:
        if not request["what"].endswith("/selfsubjectaccessreviews"):
            continue
        attributes = request["sent"]["body"]["resourceAttributes"]
        sub = attributes.get("subresource")
        resource = attributes["resource"] + (f"/{sub}" if sub else "")
        if request["answer_body"]["status"]["allowed"]:
            allowed.add(Permission(attributes["verb"], resource, attributes.get("group", "")))
    return allowed


def was_upgraded(fault: str, transport: str) -> bool:
    return any(
        "101" in request["answer_status"]
        for request in load_fault(fault)["requests"]
        if request["what"].startswith(f"upgrade {transport}:")
    )


@pytest.mark.parametrize("fault", RBAC_FAULTS)
@pytest.mark.parametrize("transport", ["spdy", "websocket", "channels"])
def test_recorded_upgrades_needed_these_verbs(fault: str, transport: str) -> None:
    requirements = forward_requirements(
        TargetKind.POD, transport=TransportChoice(transport), server_version="v1.36.2"
    )
    missing = missing_permissions(requirements, recorded_permissions(fault).__contains__)
    assert (not missing) == was_upgraded(fault, transport)


@pytest.mark.parametrize("fault", RBAC_FAULTS)
def test_recorded_kubectl_needed_these_verbs(fault: str) -> None:
    # kubectl tries a WebSocket first and falls back to SPDY.
    allowed = recorded_permissions(fault)
    expected = GET_PODS in allowed and CREATE in allowed
    requirements = kubectl_requirements(TargetKind.POD, server_version="v1.36.2")
    assert (not missing_permissions(requirements, allowed.__contains__)) == expected


def test_nearest_way_is_named() -> None:
    requirements = forward_requirements(TargetKind.POD, server_version="v1.36.2")
    assert missing_permissions(requirements, {GET}.__contains__) == (CREATE,)
    assert missing_permissions(requirements, set[Permission]().__contains__) == (CREATE,)
    # A WebSocket suffices for an old server.
    old = forward_requirements(TargetKind.POD, server_version="v1.30.1")
    assert missing_permissions(old, {GET}.__contains__) == ()


@pytest.mark.parametrize(
    ("kind", "read", "group"),
    [
        (TargetKind.SERVICE, "services", ""),
        (TargetKind.DEPLOYMENT, "deployments", "apps"),
        (TargetKind.JOB, "jobs", "batch"),
        (TargetKind.REPLICATION_CONTROLLER, "replicationcontrollers", ""),
    ],
)
def test_targets_with_pods_need_their_object_and_the_list_of_pods(
    kind: TargetKind, read: str, group: str
) -> None:
    requirements = forward_requirements(kind, server_version="v1.36.2")
    get = Permission("get", read, group)
    nothing = missing_permissions(requirements, set[Permission]().__contains__)
    assert nothing == (get, LIST_PODS, CREATE)
    # Either verb reads it.
    by_list = {Permission("list", read, group), LIST_PODS, CREATE}
    assert missing_permissions(requirements, by_list.__contains__) == ()


def test_pod_need_not_be_read_unless_its_port_has_a_name() -> None:
    numbered = forward_requirements(TargetKind.POD)
    named = forward_requirements(TargetKind.POD, has_port_number=False)
    assert missing_permissions(numbered, {CREATE}.__contains__) == ()
    assert missing_permissions(named, {CREATE}.__contains__) == (GET_PODS,)
    optional = [each.purpose for each in numbered if not each.is_required]
    assert optional == ["read the pod", "find the pod's replacement", "watch pods"]


def test_role_has_a_rule_for_resources_with_the_same_verbs() -> None:
    requirements = forward_requirements(TargetKind.DEPLOYMENT, server_version="v1.36.2")
    text = role_yaml("shop", all_permissions(requirements), user="bob")
    role, binding = yaml.safe_load_all(text)
    assert role["metadata"] == {"name": "port-forward", "namespace": "shop"}
    assert role["rules"] == [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["create", "get"]},
    ]
    assert binding["roleRef"]["name"] == "port-forward"
    assert binding["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}
    ]


@pytest.mark.parametrize("user", ["no", "a: b", "1", "x\ny", "Bob <bob@example.com>", "on"])
def test_any_user_name_is_one_value(user: str) -> None:
    _, binding = yaml.safe_load_all(role_yaml("123", [CREATE], user=user))
    assert binding["subjects"][0]["name"] == user
    assert binding["metadata"]["namespace"] == "123"


def test_service_account_is_its_own_kind_of_subject() -> None:
    user = "system:serviceaccount:ci:runner"
    _, binding = yaml.safe_load_all(role_yaml("shop", [CREATE], user=user))
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "runner", "namespace": "ci"}]


def rule(verbs: str, resources: str, *, groups: str = "", names: str = "") -> ResourceRule:
    return ResourceRule(
        frozenset(verbs.split()),
        frozenset(groups.split() or [""]),
        frozenset(resources.split()),
        frozenset(names.split()),
    )


@pytest.mark.parametrize(
    ("one", "permission", "allowed"),
    [
        (rule("get create", "pods/portforward"), CREATE, True),
        (rule("*", "*", groups="*"), CREATE, True),
        (rule("*", "pods"), CREATE, False),
        (rule("create", "*/portforward"), CREATE, True),
        (rule("get", "pods", names="web-1"), GET_PODS, True),
        (rule("list", "pods", names="web-1"), LIST_PODS, False),
        (rule("get", "deployments", groups="apps"), Permission("get", "deployments"), False),
    ],
)
def test_rules_match_as_in_rbac(
    one: ResourceRule, permission: Permission, *, allowed: bool
) -> None:
    assert AccessRules((one,)).allows(permission) == allowed


async def test_reviews_are_posted_and_decoded(config_path: Path, api: ApiServer) -> None:
    reviews = {
        "selfsubjectrulesreviews": {
            "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
            "nonResourceRules": [],
            "incomplete": True,
        },
        "selfsubjectaccessreviews": {"allowed": True},
        "selfsubjectreviews": {"userInfo": {"username": "bob", "groups": ["dev"]}},
    }

    def answer(request: Request) -> Reply | None:
        status = reviews.get(request.plural)
        if request.method != "POST" or status is None:
            return None
        return Reply(201, json.dumps({"status": status}).encode())

    api.intercept = answer
    cluster = cluster_for(write(config_path, kubeconfig(api.url)))
    try:
        rules = await cluster.access_rules("shop")
        assert (rules.allows(GET_PODS), rules.allows(CREATE), rules.incomplete) == (
            *(True, False),
            True,
        )
        assert await cluster.is_allowed("shop", CREATE)
        user = await cluster.user_info()
        assert (user.username, user.groups) == ("bob", ("dev",))
        api.intercept = lambda _: Reply(403, b"no", "text/plain")
        with pytest.raises(ApiError) as refused:
            await cluster.access_rules("shop")
        assert refused.value.forbidden
    finally:
        await cluster.close()
