from __future__ import annotations

import os

import pytest

from tests.bench.proxy_benchmark import FORWARD, SOCKS, warm_table
from tests.bench.proxy_clients import Samples, Way, compare, open_plain, open_socks
from tests.bench.proxy_peers import NOTHING, NOTHING_SOCKS, running_echo_servers


def test_a_way_that_fails_costs_only_its_line() -> None:
    with running_echo_servers() as ways:
        (plain, _) = ways
        pids = (os.getpid(),)
        broken = Way("broken", open_socks, plain.port, pids, "echo.shop")  # echoes the handshake
        own = [Way(FORWARD, open_plain, plain.port, pids), Way(SOCKS, open_plain, plain.port)]
        found = compare([*own, broken, *ways], b"hello", rounds=3, batches=1)
    assert found["broken"].failure
    for name in (FORWARD, SOCKS, NOTHING, NOTHING_SOCKS):
        assert len(found[name].first_bytes) == 3
        assert len(found[name].cpu) == 1
        assert not found[name].failure
    table = warm_table(found)
    assert f"broken: {found['broken'].failure}" in table
    assert sum(line.startswith(name) for name in found for line in table.splitlines()) == 5


def test_the_handshake_is_taken_off() -> None:
    found = {
        FORWARD: Samples([0.010] * 4, [0.001]),
        SOCKS: Samples([0.012] * 4, [0.002]),
        NOTHING: Samples([0.001] * 4, []),
        NOTHING_SOCKS: Samples([0.002] * 4, []),
    }
    lines = [line.split() for line in warm_table(found).splitlines()]
    assert [*lines[3][:2], lines[3][4], lines[3][6]] == ["proxy,", "SOCKS5", "1.20", "2.00"]
    assert lines[4][-3:] == ["11.00", "11.00–11.00", "1.10"]


@pytest.mark.parametrize("failed", [NOTHING, NOTHING_SOCKS])
def test_without_the_echo_servers_nothing_is_taken_off(failed: str) -> None:
    found = {
        FORWARD: Samples([0.010] * 4, []),
        SOCKS: Samples([0.012] * 4, []),
        NOTHING: Samples([0.001] * 4, []),
        NOTHING_SOCKS: Samples([0.002] * 4, []),
        failed: Samples([], [], "closed"),
    }
    assert "without" not in warm_table(found)
