"""A session on top of another one."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from msgspec.structs import replace

from tests.cli.fake_session import FakeSession
from tui_forward.model import Context
from tui_forward.session import Session
from tui_forward.session.delegating import DelegatingSession

METHODS = [name for name, _ in inspect.getmembers(Session, inspect.isfunction) if name[0] != "_"]


@pytest.mark.parametrize("name", METHODS)
async def test_every_method_calls_that_of_the_session_below(name: str) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def called(*args: Any, **kwargs: Any) -> str:
        calls.append((args, kwargs))
        return "result"

    below = FakeSession()
    setattr(below, name, called)
    method = getattr(DelegatingSession(below), name)
    assert method(1, lines=2) == "result"
    assert calls == [((1,), {"lines": 2})]
    expected = list(inspect.signature(getattr(Session, name)).parameters.values())[1:]
    assert list(inspect.signature(method).parameters.values()) == expected


async def test_subclass_replaces_a_method() -> None:
    class Renamed(DelegatingSession):
        async def contexts(self) -> tuple[Context, ...]:
            return tuple(replace(one, name="x") for one in await self.below.contexts())

    session: Session = Renamed(FakeSession())
    assert {one.name for one in await session.contexts()} == {"x"}
