from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.support.waiting import until
from tui_forward.engine.host import process_lookup
from tui_forward.engine.host.process_lookup import ClientProcessLookup
from tui_forward.engine.host.socket_owners import SocketPair


@dataclass
class Record:
    process: str = ""


def pair_of(number: int) -> SocketPair:
    return SocketPair(("127.0.0.1", number), ("127.0.0.1", 80))


async def test_each_connection_is_looked_up_once_in_batches() -> None:
    batches: list[list[SocketPair]] = []

    def lookup(pairs: Sequence[SocketPair]) -> Mapping[SocketPair, str]:
        batches.append(list(pairs))
        return {pair: f"psql ({pair.client[1]})" for pair in pairs if pair.client[1] != 2}

    names = ClientProcessLookup(lookup)
    records = [Record() for _ in range(5)]
    for _ in range(3):
        for number, record in enumerate(records):
            names.request(number, pair_of(number), record)
    await until(lambda: records[4].process)
    assert [record.process for record in records] == [
        "psql (0)",
        "psql (1)",
        "",
        "psql (3)",
        "psql (4)",
    ]
    names.request(2, pair_of(2), records[2])
    await names.close()
    assert len(batches) == 1


async def test_failed_look_up_is_ignored() -> None:
    calls = 0

    def lookup(pairs: Sequence[SocketPair]) -> Mapping[SocketPair, str]:
        nonlocal calls
        calls += 1
        raise RuntimeError("no /proc")

    names = ClientProcessLookup(lookup)
    names.request(1, pair_of(1), Record())
    await until(lambda: calls)
    await names.close()
    names.forget(1)
    names.request(1, pair_of(1), Record())
    await names.close()
    assert calls <= 2


async def test_pending_connections_are_bounded() -> None:
    names = ClientProcessLookup(lambda pairs: {})
    for number in range(6000):
        names.request(number, pair_of(number), Record())
    assert len(names._pending) == process_lookup._MAX_PENDING
    await names.close()
