"""A doctor on a healthy chain, and what depends on what."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.engine.fake_cluster import GREETER
from tests.kube.api_server import Reply
from tests.kube.kubeconfigs import kubeconfig, write
from tests.session.doctor.chain_server import pod, running_chain
from tests.session.doctor.diagnosis import (
    ACTIVE_PORT,
    diagnose,
    fault_of,
    outcomes,
    target,
    write_config,
)
from tests.support.waiting import until
from tui_forward.model import (
    DoctorHop,
    DoctorOutcome,
    DoctorResult,
    ReasonCode,
    Target,
    TargetKind,
    TransportChoice,
)

Hop, Outcome = DoctorHop, DoctorOutcome
TO_PERMISSIONS = list(DoctorHop)[: list(DoctorHop).index(Hop.TARGET)]


def good(results: list[DoctorResult]) -> bool:
    return {one.outcome for one in results} == {Outcome.GOOD}


async def test_healthy_chain(tmp_path: Path) -> None:
    async with running_chain() as server:
        path = write_config(tmp_path, server.url)
        results = await diagnose(path, target())
    assert good(results), results
    transports = [one.transport for one in results if one.hop is Hop.UPGRADE]
    assert transports == [
        TransportChoice.SPDY, TransportChoice.WEBSOCKET, TransportChoice.CHANNELS
    ]  # fmt: skip
    assert list(dict.fromkeys(one.hop for one in results)) == list(DoctorHop)
    by_hop = {one.hop: one for one in results}
    assert by_hop[Hop.API].facts == ("v1.36.2",)
    assert by_hop[Hop.IDENTITY].facts == ("jane", "groups dev, system:authenticated")
    assert "kubelet v1.36.2" in by_hop[Hop.KUBELET].facts
    assert by_hop[Hop.PORT].facts[0].startswith("accepts connections, and is silent")
    assert all(one.duration_s is not None for one in results)


async def test_stops_at_permissions_without_a_target(tmp_path: Path) -> None:
    async with running_chain() as server:
        results = await diagnose(write_config(tmp_path, server.url))
    assert [one.hop for one in results] == TO_PERMISSIONS
    assert good(results), results
    assert not server.upgraded


async def test_namespace_of_no_target_must_exist(tmp_path: Path) -> None:
    async with running_chain() as server:
        path = write_config(tmp_path, server.url, namespace="shpo")
        results = await diagnose(path)
    found = fault_of(results)
    assert (found.hop, found.code) == (Hop.PERMISSIONS, ReasonCode.TARGET_NAMESPACE_NOT_FOUND)
    assert "Did you mean shop?" in found.fix


async def test_service_and_greeting(tmp_path: Path) -> None:
    async with running_chain() as server:
        server.put("pods", pod(port=GREETER))
        path = write_config(tmp_path, server.url)
        results = await diagnose(path, target("web", TargetKind.SERVICE), limits=ACTIVE_PORT)
    assert good(results), results
    by_hop = {one.hop: one for one in results}
    assert "service port 80 leads to port 1009 (http) of container main" in by_hop[Hop.TARGET].facts
    assert by_hop[Hop.PORT].facts[0] == "the application greets with 'hello'"


async def test_requested_transport_only(tmp_path: Path) -> None:
    async with running_chain() as server:
        path = write_config(tmp_path, server.url)
        results = await diagnose(path, target(), transport=TransportChoice.WEBSOCKET)
    assert good(results), results
    assert server.upgraded == ["websocket"]


async def test_hops_behind_a_fault_are_not_reached(tmp_path: Path) -> None:
    results = await diagnose(write_config(tmp_path, "https://127.0.0.1:1"), target())
    found = outcomes(results)
    assert found[Hop.TCP] is Outcome.FAULT
    assert [hop for hop in found if found[hop] is Outcome.NOT_REACHED] == list(DoctorHop)[5:]
    assert {one.broken for one in results if one.outcome is Outcome.NOT_REACHED} == {Hop.TCP}
    # Credentials and names are known without a connection.
    assert found[Hop.CREDENTIALS] is found[Hop.DNS] is Outcome.GOOD


async def test_nothing_is_left_open(tmp_path: Path) -> None:
    async with running_chain() as server:
        path = write_config(tmp_path, server.url)
        await diagnose(path, target())
        await until(lambda: not server.application.live)


@pytest.mark.parametrize("port", ["http", "1001", ""])
async def test_port_by_name_number_or_none(port: str, tmp_path: Path) -> None:
    async with running_chain() as server:
        results = await diagnose(write_config(tmp_path, server.url), target(port=port))
    assert good(results), results


@pytest.mark.parametrize(
    ("tested", "fix"),
    [
        (target("webb", TargetKind.SERVICE), "Did you mean web?"),
        (target("web"), "Did you mean svc/web?"),
        (target("nothing"), "Choose one of web-1"),
        (target("web", TargetKind.SERVICE, namespace="default"),
         "There is one in namespace shop: add -n shop"),
        (target(namespace="shpo"), "Did you mean shop?"),
        (target(port="metrics"), "Available ports: http (1001)"),
    ],
)  # fmt: skip
async def test_names_that_were_meant(tested: Target, fix: str, tmp_path: Path) -> None:
    async with running_chain() as server:
        server.put("namespaces", {"metadata": {"name": "default"}})
        results = await diagnose(write_config(tmp_path, server.url), tested)
    assert fault_of(results).fix == fix


async def test_role_that_is_missing(tmp_path: Path) -> None:
    async with running_chain() as server:
        server.rules = []
        results = await diagnose(write_config(tmp_path, server.url), target(port="1001"))
    fault = fault_of(results)
    role, binding = yaml.safe_load_all(fault.manifest)
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "shop")
    assert {"create", "get"} <= {
        verb
        for rule in role["rules"]
        if "pods/portforward" in rule["resources"]
        for verb in rule["verbs"]
    }
    assert binding["subjects"][0]["name"] == "jane"


@pytest.mark.parametrize(
    ("version", "verbs", "denied"),
    [
        ("v1.30.1", ("get",), [TransportChoice.SPDY]),
        ("v1.36.2", ("get",), None),
        ("v1.30.1", ("create",), [TransportChoice.WEBSOCKET, TransportChoice.CHANNELS]),
        ("v1.36.2", ("get", "create"), []),
    ],
)
async def test_verbs_depend_on_version_and_transport(
    version: str, verbs: tuple[str, ...], denied: list[TransportChoice] | None, tmp_path: Path
) -> None:
    async with running_chain() as server:
        read = {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]}
        forward = {"verbs": list(verbs), "apiGroups": [""], "resources": ["pods/portforward"]}
        server.rules = [read, forward]
        server.answers["/version"] = Reply(200, b'{"gitVersion":"%s"}' % version.encode())
        server.permitted = {"spdy": ("create",), "websocket": verbs, "channels": verbs}
        results = await diagnose(write_config(tmp_path, server.url), target())
    if denied is None:
        assert fault_of(results).hop is Hop.PERMISSIONS
        return
    untried = [
        one.transport
        for one in results
        if one.hop is Hop.UPGRADE and one.outcome is not Outcome.GOOD
    ]
    assert untried == denied
    assert Outcome.FAULT not in outcomes(results).values()


async def test_several_kubeconfigs_say_which_sets_what(tmp_path: Path) -> None:
    async with running_chain() as server:
        one = write(tmp_path / "one", kubeconfig(server.url) | {"contexts": []})
        two = write(tmp_path / "two", kubeconfig("https://127.0.0.1:1", namespace="shop"))
        environ = {"KUBECONFIG": f"{tmp_path}/none:{one}:{two}"}
        results = await diagnose(None, environ=environ)
    facts = results[0].facts
    assert f"context test (current in {one}): {two}, line 1" in facts
    assert f"cluster test: {one}, line 1" in facts
    assert f"cluster test in {two} has no effect: a file before has one" in facts
    assert facts[-1] == (f"the first file that has an entry counts; missing: {tmp_path}/none")
    assert good(results), results
