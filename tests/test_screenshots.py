"""The screenshots of the README are up to date, and do not depend on how busy a machine is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from screenshots.held_session import HeldSession
from screenshots.svg_text import describe_difference
from tests.session import factories
from tests.tui.samples import SHOP, connection, pod, view
from tui_forward.model import (
    CatalogScope,
    CatalogView,
    Connection,
    Counters,
    Forward,
    ForwardState,
    Hop,
    HopKind,
    HopState,
    LocalAddress,
    OwnerRef,
    Snapshot,
    TargetKind,
    TimelineEntry,
    TimelineKind,
    Workload,
)
from tui_forward.session import Session

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.timeout(240)
def test_screenshots_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "screenshots", "--check"],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


class _RealSession:
    """A session whose facts arrive one after the other."""

    def __init__(self) -> None:
        self.forward = factories.forward(
            id="f1",
            tunnels=1,
            round_trip_s=0.002,
            counters=Counters(connections_open=1),
        )
        self.others: tuple[Forward, ...] = ()
        self.client = replace(connection(1), first_byte_s=0.001)
        self.path = [
            Hop(kind=kind, name="x", facts=tuple("abcde"), state=HopState.OK) for kind in HopKind
        ]
        self.entries = ["started", "connecting: connecting to web-1", "ready: forwarding to web-1"]
        workload = Workload(
            namespace="shop", name="web", kind=TargetKind.DEPLOYMENT, replicas=1, ready=1
        )
        owned = replace(pod("web-1"), owner=OwnerRef("Deployment", "web"))
        self.view = replace(view(owned), workloads=(workload,))

    async def snapshot(self) -> Snapshot:
        return Snapshot(version=1, at=0.0, forwards=(self.forward, *self.others))

    async def connections(self, forward_id: str) -> tuple[Connection, ...]:
        return (self.client,)

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        return tuple(self.path)

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        return tuple(
            TimelineEntry(at=0.0, kind=TimelineKind.STATE, text=text) for text in self.entries
        )

    async def catalog(self, scope: CatalogScope, since: int) -> CatalogView:
        return self.view


def _without_facts(real: _RealSession) -> None:
    real.path = [replace(hop, facts=hop.facts[:1]) for hop in real.path]


def _with_forward(**fields: Any) -> Callable[[_RealSession], None]:
    return lambda real: setattr(real, "forward", replace(real.forward, **fields))


def _with_client(**fields: Any) -> Callable[[_RealSession], None]:
    return lambda real: setattr(real, "client", replace(real.client, **fields))


def _with_view(**fields: Any) -> Callable[[_RealSession], None]:
    """Replace fields of the only pod, workload or resource of the view."""

    def change(real: _RealSession) -> None:
        (name, values), *_ = fields.items()
        (item,) = getattr(real.view, name)
        real.view = replace(real.view, **{name: (replace(item, **values),)})

    return change


LATE: dict[str, Callable[[_RealSession], None]] = {
    "state": _with_forward(state=ForwardState.CONNECTING),
    "tunnel": _with_forward(tunnels=0),
    "round trip": _with_forward(round_trip_s=None),
    "count of connections": _with_forward(counters=Counters(connections_open=2)),
    "process": _with_client(process=""),
    "first byte": _with_client(first_byte_s=None),
    "bytes": _with_client(bytes_from_pod=0),
    "node": _without_facts,
    "workload": _with_view(workloads={"ready": 0}),
    "pod": _with_view(pods={"ready": False}),
    "list": _with_view(resources={"synced": False}),
}


@pytest.mark.parametrize("fact", LATE)
async def test_screenshot_waits_for_each_fact(fact: str) -> None:
    real = _RealSession()
    LATE[fact](real)
    session = _held(real)
    assert await session.hold_ready(SHOP, 1)
    vars(real).update(vars(_RealSession()))
    real.view = replace(real.view, version=2)
    assert not await session.hold_ready(SHOP, 1)


async def test_screenshot_shows_nothing_that_happens_later() -> None:
    real = _RealSession()
    session = _held(real)
    assert not await session.hold_ready(SHOP, 1)
    before = await _shown(session)
    real.entries.append("the network changed: another default route: trying again")
    for change in LATE.values():
        change(real)
    assert await _shown(session) == before


async def test_timeline_lacks_what_a_busy_machine_adds() -> None:
    real = _RealSession()
    real.entries[2:2] = ["the network changed: another default route: trying again"]
    session = _held(real)
    assert not await session.hold_ready(SHOP, 1)
    texts = [entry.text for entry in await session.timeline("f1")]
    assert texts == _RealSession().entries


async def test_ports_are_replaced_although_one_is_shown_for_another_forward() -> None:
    real = _RealSession()
    other = replace(
        real.forward, id="f2", remote_port=8000, listening=(LocalAddress("127.0.0.1", 8080),)
    )
    real.forward = replace(real.forward, listening=(LocalAddress("127.0.0.1", 41000),))
    real.others = (other,)
    real.entries[1:1] = ["listening on 127.0.0.1:41000"]
    session = _held(real)
    assert not await session.hold_ready(SHOP, 2)
    forwards = (await session.snapshot()).forwards
    assert [one.listening[0].port for one in forwards] == [8080, 8000]
    texts = [entry.text for entry in await session.timeline("f1")]
    assert "listening on 127.0.0.1:8080" in texts


def _held(real: _RealSession) -> HeldSession:
    return HeldSession(
        cast("Session", real), server="127.0.0.1:1", rates={str(factories.TARGET): (9, 9)}
    )


async def _shown(session: HeldSession) -> list[object]:
    return [
        await session.snapshot(),
        await session.connections("f1"),
        await session.hops("f1"),
        await session.timeline("f1"),
        await session.catalog(SHOP),
    ]


def _svg(*lines: str) -> str:
    return "\n".join(
        f'<text class="r" x="0" y="{20 * place}">{line}</text>' for place, line in enumerate(lines)
    )


def test_a_difference_names_the_lines_that_differ() -> None:
    before, after = _svg("a", "7&#160;conns", "c"), _svg("a", "8&#160;conns", "c")
    assert describe_difference(before, after) == ["-7 conns", "+8 conns"]
    styled = before.replace('"r"', '"s"')
    assert describe_difference(before, styled)[0] == "the text is the same, the style is not:"
