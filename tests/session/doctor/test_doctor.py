"""A doctor on a healthy chain, and what depends on what."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.fake_cluster import GREETER
from tests.session.doctor.chain_server import pod, running_chain
from tests.session.doctor.diagnosis import diagnose, outcomes, target, write_config
from tests.support.waiting import until
from tui_forward.model import (
    DoctorHop,
    DoctorOutcome,
    DoctorResult,
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


async def test_service_and_greeting(tmp_path: Path) -> None:
    async with running_chain() as server:
        server.put("pods", pod(port=GREETER))
        path = write_config(tmp_path, server.url)
        results = await diagnose(path, target("web", TargetKind.SERVICE))
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
