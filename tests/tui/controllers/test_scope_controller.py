from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.cli.fake_session import until
from tests.tui.app_harness import running, screen_text, shows
from tests.tui.samples import pod, shop, view
from tui_forward.model import (
    CatalogScope,
    Context,
)
from tui_forward.tui.screens.first_start import FirstStartScreen
from tui_forward.tui.screens.picker import Picker
from tui_forward.tui.storage.context_choice import ContextChoice, KubeconfigFile
from tui_forward.tui.storage.paths import DashboardPaths


async def test_namespace_picker_switches_the_namespace() -> None:
    session = shop()
    other = CatalogScope("here", "kube-system")
    session.views[other] = view(pod("dns-1", namespace="kube-system"), scope=other)
    every = CatalogScope("here", "")
    session.views[every] = view(pod("web-1"), pod("dns-1", namespace="kube-system"), scope=every)
    async with running(session, (100, 30)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press(*"all na", "enter")
        await shows(app, "kube-system/dns-1", "shop/web-1", "ns: all")
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press(*"kube-system", "enter")
        await shows(app, "dns-1", "ns: kube-system")
        assert "web-1" not in screen_text(app)
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press("escape")
        await shows(app, "ns: kube-system")


async def test_unlisted_namespace_can_be_typed() -> None:
    session = shop()
    hidden = CatalogScope("here", "hidden")
    session.views[hidden] = view(pod("web-9", namespace="hidden"), scope=hidden)
    async with running(session) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press(*"hidden", "enter")
        await shows(app, "web-9", "ns: hidden")


async def test_context_switch_keeps_forwards_running() -> None:
    session = shop()
    there = CatalogScope("there", "ops")
    session.context_list = (
        Context(name="here", cluster="c1", namespace="shop", current=True),
        Context(name="there", cluster="c2", namespace="ops"),
    )
    session.views[there] = view(pod("metrics-1", namespace="ops"), scope=there)
    async with running(session, (120, 34)) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("1", "c")
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press(*"ther", "enter")
        await shows(app, "there ▾", "ns: ops", "metrics-1", "pod/web-1:http", "● ready")
        await pilot.press("1")
        await until(lambda: len(session.forwards) == 2)
        assert session.forwards["f2"].spec.target.context == "there"


async def test_favorites_persist(tmp_path: Path) -> None:
    files = DashboardPaths(favorites=tmp_path / "browse.json")
    async with running(shop(), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("end", "asterisk")
        await shows(app, "★ web-3")
    async with running(shop(), files=files) as (app, _):
        await until(lambda: "web-3" in screen_text(app).split("web-1")[0])


async def test_favorite_namespaces_and_contexts_persist_and_come_first(
    tmp_path: Path,
) -> None:
    session = shop()
    session.context_list = tuple(
        Context(name=name, cluster=name, current=name == "here") for name in ("here", "there")
    )
    files = DashboardPaths(favorites=tmp_path / "browse.json")
    async with running(session, (100, 30), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("n", *"kube", "ctrl+s", "escape")
        await pilot.press("c", *"there", "ctrl+s", "escape")
    async with running(session, (100, 30), files=files) as (app, pilot):
        await shows(app, "web-1")
        await pilot.press("n")
        await shows(app, "★ kube-system")
        text = screen_text(app)
        assert text.index("kube-system") < text.index("default")
        await pilot.press("escape", "c")
        await shows(app, "★ there")
        text = screen_text(app)
        assert text.index("★ there") < text.index("cluster here")


@pytest.mark.parametrize(("namespace", "shown"), [(None, "ops"), ("", "all"), ("data", "data")])
async def test_choice_of_a_context_opens_first_and_gives_the_reason(
    namespace: str | None, shown: str
) -> None:
    session = shop()
    session.context_list = (
        Context(name="broken", cluster="x", problem="the kubeconfig lacks the cluster x"),
        Context(name="there", cluster="c2", namespace="ops"),
    )
    choice = ContextChoice("the kubeconfig has no current context", namespace)
    async with running(
        session, (100, 30), context="", namespace=namespace or "", choice=choice
    ) as (app, pilot):
        await until(lambda: isinstance(app.screen, Picker))
        await shows(
            app,
            "the kubeconfig has no current context. Choose one.",
            "broken",
            "the kubeconfig lacks",
        )
        await pilot.press(*"there", "enter")
        await shows(app, "there ▾", f"ns: {shown}")


FILES = (
    KubeconfigFile("/home/ana/.kube/old", "file not found"),
    KubeconfigFile("~/.kube/config", "2 contexts, current-context is empty"),
)


async def test_first_start_shows_what_is_wrong_and_numbered_choices() -> None:
    session = shop()
    session.context_list = (
        Context(name="staging", cluster="c1", namespace="shop", server="staging.internal"),
        Context(name="there", cluster="c2", namespace="ops"),
    )
    choice = ContextChoice("there is no current context", None, "KUBECONFIG=a:b", FILES, True)
    async with running(session, (100, 30), context="", namespace="", choice=choice) as (app, pilot):
        await shows(
            app, "No usable context", "✗ there is no current context", "KUBECONFIG=a:b",
            "/home/ana/.kube/old file not found", "2 contexts, current-context is empty",
            "1 Use context staging staging.internal", "3 Try the demo cluster needs no Kubernetes",
        )  # fmt: skip
        await pilot.press("9")  # no such line
        assert isinstance(app.screen, FirstStartScreen)
        await pilot.press("2")
        await shows(app, "there ▾", "ns: ops")
        assert not app.wants_demo


async def test_first_start_leads_to_the_demo() -> None:
    choice = ContextChoice("there is no current context", None, "KUBECONFIG=a:b", FILES, True)
    async with running(shop(), (100, 30), context="", namespace="", choice=choice) as (app, pilot):
        await shows(app, "2 Try the demo cluster")
        await pilot.press("down", "enter")
        await until(lambda: app.wants_demo)


async def test_first_start_without_contexts_reads_the_files_again() -> None:
    session = shop()
    contexts, session.context_list = session.context_list, ()
    choice = ContextChoice("no contexts", None, "KUBECONFIG=a", FILES, hint="Get one and set it")
    found = (KubeconfigFile("/home/ana/.kube/found", "2 contexts, current-context is empty"),)
    later = msgspec.structs.replace(choice, files=found)
    choice = msgspec.structs.replace(choice, read_again=lambda: later)
    async with running(session, (100, 30), context="", namespace="", choice=choice) as (app, pilot):
        await shows(app, "✗ no contexts", "Get one and set it", "1 Read the files again")
        await pilot.press("1")
        await shows(app, "/home/ana/.kube/found", "1 Read the files again")
        session.context_list = contexts
        await pilot.press("enter")
        await shows(app, "here ▾")


async def test_choice_that_is_canceled_can_be_made_later() -> None:
    session = shop()
    choice = ContextChoice("the kubeconfig has no current context", None)
    async with running(session, (100, 30), context="", namespace="", choice=choice) as (app, pilot):
        await until(lambda: isinstance(app.screen, Picker))
        await pilot.press("escape")
        await shows(app, "no context ▾")
        await pilot.press("c", "enter")
        await shows(app, "here ▾")
