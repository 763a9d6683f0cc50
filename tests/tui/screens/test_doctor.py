"""The screen of the doctor: what it tests, and what it shows while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tests.cli.fake_session import FakeSession, until
from tests.tui.app_harness import running, screen_text, shows
from tests.tui.samples import shop
from tui_forward.errors import TransportError
from tui_forward.model import (
    DoctorHop,
    DoctorOutcome,
    DoctorQuery,
    DoctorResult,
    ForwardState,
    ReasonCode,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.tui.screens.doctor import DoctorScreen
from tui_forward.tui.viewmodel.doctor_lines import (
    doctor_lines,
    doctor_state,
    doctor_title,
    result_key,
)
from tui_forward.tui.viewmodel.log_tail import LogLevel

Hop, Outcome = DoctorHop, DoctorOutcome
GOOD = DoctorResult(hop=Hop.DNS, outcome=Outcome.GOOD, tried="resolve api", duration_s=0.002)
FAULT = DoctorResult(
    hop=Hop.PERMISSIONS, outcome=Outcome.FAULT, tried="ask", code=ReasonCode.RBAC_FORBIDDEN,
    cause="not allowed to create pods/portforward", fix="ask for a role",
    manifest="kind: Role\nrules: []\n",
)  # fmt: skip
LOST = DoctorResult(hop=Hop.TARGET, outcome=Outcome.NOT_REACHED, broken=Hop.PERMISSIONS)


class HeldSession(FakeSession):
    """Its doctor waits at the second hop."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.ended = 0

    async def diagnose(self, query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        self.calls.append(("diagnose", query))
        try:
            yield GOOD
            yield DoctorResult(hop=Hop.PERMISSIONS, outcome=Outcome.RUNNING)
            await self.go_on.wait()
            yield FAULT
            yield LOST
        finally:
            self.ended += 1


def queries(session: FakeSession) -> list[DoctorQuery]:
    found = [call[1] for call in session.calls if call[0] == "diagnose"]
    return [one for one in found if isinstance(one, DoctorQuery)]


async def test_is_live_and_ends_with_the_screen() -> None:
    session = HeldSession()
    async with running(session, (100, 30)) as (app, pilot):
        await pilot.press("D")
        await shows(app, "doctor", "✓ DNS", "testing permissions", "◌ permissions")
        session.go_on.set()
        await shows(
            app, "✗ permissions", "fault: not allowed to create pods/portforward",
            "fix: ask for a role", "kind: Role", "Broken: permissions",
        )  # fmt: skip
        assert "testing" not in screen_text(app)
        session.go_on.clear()
        await pilot.press("R")
        await shows(app, "testing permissions")
        await pilot.press("escape")
        await until(lambda: session.ended == 2)
        assert not isinstance(app.screen, DoctorScreen)


async def test_what_the_key_tests() -> None:
    session = shop()
    async with running(session, (120, 36)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("D")
        await until(lambda: len(queries(session)) == 1)
        row = queries(session)[0].target
        assert row is not None
        assert (row.kind, row.name, row.port) == (TargetKind.POD, "web-1", "")
        await pilot.press("escape", "1")
        await until(lambda: len(session.forwards) == 1)
        await shows(app, "1 forward")
        await pilot.press("1", "D")  # of the forward
        await until(lambda: len(queries(session)) == 2)
        query = queries(session)[1]
        assert query.forward == "f1"
        assert query.target is not None
        assert query.target.port == "http"
        await shows(app, "doctor", "shop/pod/web-1:http")
        await pilot.press("escape", "d")
        await shows(app, "esc Back")
        await pilot.press("D")
        await until(lambda: len(queries(session)) == 3)
        assert queries(session)[2] == query
        await pilot.press("escape", "escape")


async def test_jump_command_opens_it() -> None:
    session = FakeSession()
    async with running(session, (100, 30)) as (app, pilot):
        await pilot.press("colon", *"doctor", "enter")
        await until(lambda: isinstance(app.screen, DoctorScreen))
        (query,) = queries(session)
        assert (query.context, query.namespace, query.target) == ("here", "shop", None)


async def test_engine_that_is_lost_is_reported() -> None:
    session = FakeSession()

    async def fail(query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        raise TransportError("the engine process is gone", hint="start it again")
        yield GOOD

    session.diagnose = fail  # type: ignore[method-assign]
    async with running(session, (100, 30)) as (app, pilot):
        await pilot.press("D")
        await shows(app, "✗ the engine process is gone", "→ start it again")


@pytest.mark.parametrize("state", [ForwardState.BLOCKED, ForwardState.RECONNECTING])
async def test_is_offered_where_a_forward_has_a_problem(state: ForwardState) -> None:
    session = shop()
    async with running(session, (120, 36)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1")
        await until(lambda: len(session.forwards) == 1)
        await pilot.press("1")
        session.change("f1", state)
        await shows(app, "D tests each hop")


def test_lines_and_title() -> None:
    lines = doctor_lines([GOOD, FAULT, LOST], 100)
    assert [line.text for line in lines] == [
        "✓ DNS                2.0 ms  resolve api",
        "✗ permissions                ask",
        "                             fault: not allowed to create pods/portforward",
        "                             fix: ask for a role",
        "                               kind: Role",
        "                               rules: []",
        "– target                     not reached: permissions is broken",
    ]
    assert [line.level for line in lines[:3]] == [LogLevel.INFO, LogLevel.ERROR, LogLevel.ERROR]
    target = Target(context="c", namespace="shop", kind=TargetKind.SERVICE, name="web", port="http")
    assert doctor_title(DoctorQuery(target=target)) == "shop/svc/web:http"
    assert doctor_title(DoctorQuery(namespace="shop")) == "shop"
    assert doctor_title(DoctorQuery()) == "as far as permissions"


def test_long_texts_are_wrapped_between_words() -> None:
    long = DoctorResult(hop=Hop.API, outcome=Outcome.GOOD, tried="word " * 30, duration_s=0.02)
    lines = doctor_lines([long], 60)
    assert all(len(line.text) <= 60 for line in lines)
    assert {line.text[:29] for line in lines[1:]} == {" " * 29}
    assert doctor_lines([long], 0)  # before the first layout


def test_texts_of_the_cluster_are_data() -> None:
    hostile = DoctorResult(
        hop=Hop.DNS, outcome=Outcome.FAULT, tried="\x1b[31m", cause="a\x07\u202eb"
    )
    assert all(line.text.isprintable() for line in doctor_lines([hostile], 100))


def test_state() -> None:
    results = {result_key(one): one for one in (GOOD,)}
    assert doctor_state(results, is_over=True).text == "✓ Every hop works: 1 tested in 0.0 s"
    results |= {result_key(FAULT): FAULT}
    assert doctor_state(results, is_over=True).text == "✗ Broken: permissions"
    assert doctor_state(results, is_over=False).text == "◌ testing"
    spdy = DoctorResult(hop=Hop.UPGRADE, outcome=Outcome.RUNNING, transport=TransportChoice.SPDY)
    assert doctor_state({result_key(spdy): spdy}, is_over=False).text == "◌ testing upgrade"
