from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.cli.fake_session import FakeSession, until
from tests.tui.app_harness import running, screen_text, shows
from tests.tui.samples import shop
from tui_forward.errors import UsageError
from tui_forward.model import (
    Counters,
    ForwardSpec,
    ProxySpec,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.tui.storage.paths import DashboardPaths
from tui_forward.tui.viewmodel.pane_layout import Pane


def write(path: Path, text: str) -> None:
    path.write_text(text)


async def open_target(session: FakeSession, name: str, proxy: str = "p1") -> str:
    target = Target(context="here", namespace="shop", kind=TargetKind.SERVICE, name=name, port="80")
    forward_id = await session.start(ForwardSpec(target=target, proxy=proxy))
    session.update(forward_id, listening=())
    return forward_id


async def test_proxy_of_the_context_starts_once() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("X")
        await shows(app, "▾ proxy 127.0.0.1:1080 · 0 targets", "socks5h://127.0.0.1:1080")
        spec = session.proxies["p1"].spec
        assert (spec.context, spec.namespace) == ("here", "shop")
        await pilot.press("X")
        await pilot.pause()
        await until(lambda: len(session.proxies) == 1)


async def test_it_has_what_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    text = 'proxy_domain = "corp.example"\nproxy_idle_timeout = "2m"\nqueue_timeout = "1m"\n'
    write(file, f'{text}half_close_timeout = "1s"\n')
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")
    session = shop()
    async with running(session, (120, 34), files=DashboardPaths(settings=file)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("X")
        await until(lambda: bool(session.proxies))
    assert session.proxies["p1"].spec == ProxySpec(
        context="here", namespace="shop", domain="corp.example", idle_timeout_s=120.0,
        queue_timeout_s=60.0, half_close_timeout_s=1.0, transport=TransportChoice.SPDY,
    )  # fmt: skip


async def test_targets_are_rows_that_a_host_finds() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("X")
        await shows(app, "0 targets")
        await open_target(session, "web")
        await open_target(session, "api")
        await shows(app, "proxy 127.0.0.1:1080 · 2 targets", "svc/web:80", "svc/api:80")
        app.dashboard.body.focus_pane(Pane.FORWARDS)
        await pilot.press("slash", *"api.shop")
        await shows(app, "1 target")
        assert "svc/web:80" not in screen_text(app)


async def test_stop_on_its_row_asks_while_it_has_connections() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("X")
        await shows(app, "0 targets")
        forward_id = await open_target(session, "web")
        session.update(forward_id, counters=Counters(connections_open=2))
        await shows(app, "1 target")
        app.dashboard.body.focus_pane(Pane.FORWARDS)
        table = app.dashboard.tables.forwards
        table.follow("#proxy:p1")
        await until(lambda: table.current_proxy is not None)
        await pilot.press("y")
        await shows(app, "Copied socks5h://127.0.0.1:1080")
        await pilot.press("x")
        await shows(app, "Stop the cluster proxy 127.0.0.1:1080? Closes 2 connections.")
        await pilot.press("enter")
        await until(lambda: not session.proxies)
        await shows(app, "Stopped the cluster proxy. u restores it.")
        await pilot.press("u")
        await shows(app, "Cluster proxy on port 1080 restored")
        assert session.proxies["p1"].spec.port == 1080
        await pilot.press("u")
        await shows(app, "Nothing to undo")


async def test_a_proxy_that_cannot_be_restored_can_be_later() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("X")
        await shows(app, "0 targets")
        spec = session.proxies["p1"].spec
        app._proxies.stop("p1")
        await until(lambda: app._forwards._undo)
        start, session.start_proxy = session.start_proxy, refuse  # type: ignore[method-assign]
        await pilot.press("u")
        await shows(app, "port 1080 is taken")
        session.start_proxy = start  # type: ignore[method-assign]
        await pilot.press("u")
        await until(lambda: session.proxies)
        assert next(iter(session.proxies.values())).spec == spec


async def refuse(spec: ProxySpec, *, proxy_id: str = "") -> str:
    raise UsageError(f"port {spec.port} is taken {proxy_id}")


async def test_command_line_starts_it() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("colon", *"proxy", "enter")
        await until(lambda: bool(session.proxies))


async def test_second_context_gets_another_port() -> None:
    session = shop()
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("X")
        await until(lambda: bool(session.proxies))
        first = session.proxies["p1"]
        other = msgspec.structs.replace(first.spec, context="there")
        session.proxies["p1"] = msgspec.structs.replace(first, spec=other)
        await until(lambda: app._sampler.snapshot.proxies[0].spec.context == "there")
        await pilot.press("X")
        await until(lambda: len(session.proxies) == 2)
        assert session.proxies["p2"].spec.port == 0
