"""Scenes of the screenshots: one run of the dashboard each, with the keys before each picture."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from textual.pilot import Pilot
from textual.widgets import Input

from tests.support.fleet import FleetSession, fleet
from tests.support.fleet_app import NO_CONTEXT, fleet_app, settled
from tests.support.fleet_proxy import add_targets, fleet_before_proxy, fleet_with_proxy
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.storage.context_choice import ContextChoice

_WAIT_S = 60.0
_LARGE, _USUAL, _SMALL = (200, 60), (120, 36), (80, 24)


@dataclass(frozen=True)
class Picture:
    """One picture: what is done before it is taken, and what it shows."""

    name: str
    title: str
    keys: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    size: tuple[int, int] = _USUAL
    kept: bool = False  # whether the file belongs to the repository
    after: tuple[str, ...] = ()  # keys that go back to the dashboard
    change: Callable[[FleetSession], None] | None = None  # of the session, before the keys
    # Name of the recording that it is a frame of, and for how long.
    recording: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Pictures of one run of the dashboard, in order."""

    pictures: tuple[Picture, ...]
    theme: str = "forward-dark"
    env: Mapping[str, str] = field(default_factory=dict)
    choice: ContextChoice | None = None  # of a context, where none is shown at first
    session: Callable[[], FleetSession] = fleet


_FORWARDS: Final = ("tab", "tab", "g", *["down"] * 6)  # the download
_MAIN: Final = ("problems first", "prod-eu!", "pg_dump")
SCENES: Final = (
    Scene((
        Picture("dashboard", "tui-forward", _FORWARDS, _MAIN, kept=True),
        Picture("narrow", "80 columns", ("g", *["down"] * 3), ("0 ─",), _SMALL, kept=True),
        Picture("main_100x30", "100 columns", ("g", *["down"] * 6), ("pg_dump",), (100, 30)),
        Picture("main_160x45", "160 columns", (), ("2 blocked",), (160, 45)),
        Picture("wide", "200 columns", ("T", "g", "shift+tab", "g", *["down"] * 3),
                ("queued 8 s", "└"), _LARGE, kept=True),
        Picture("zoom", "every problem with its cause and fix", ("g", "down", "z"), ("zoomed",),
                after=("z",)),
        Picture("connections", "top talkers", ("T", "z"), ("zoomed", "queued 8 s"), kept=True,
                after=("z", "a", "shift+tab")),
        Picture("detail", "one forward, hop by hop", ("g", *["down"] * 3, "d"),
                ("timeline", "tested 0 s ago"), (100, 40), kept=True, after=("escape",)),
        Picture("doctor", "the doctor", ("g", *["down"] * 2, "D"), ("Broken: kubelet",), (120, 36),
                kept=True, after=("escape",)),
        Picture("logs", "the run before the crash", ("l",), ("STRIPE",), (100, 24),
                after=("escape",)),
        Picture("help", "help", ("question_mark",), ("Help: forwards",), after=("escape",)),
        Picture("jump", "go anywhere", ("colon", *"postg"), ("postgres-primary",),
                after=("escape",)),
        Picture("palette", "all commands", ("ctrl+p", *"re"), ("Reconnect",), after=("escape",)),
        Picture("form", "a local port that is used", ("g", "down", "e"), ("local port",),
                (100, 30), after=("escape",)),
        Picture("profiles", "profiles", ("P",), ("shop-dev",), (100, 30)),
        Picture("profile", "what a profile changes", ("enter",), ("port used",), (120, 36),
                after=("escape",)),
    )),
    Scene((
        Picture("first_start", "first start", (), ("Try the demo cluster",), (100, 30)),
    ), choice=NO_CONTEXT),
    Scene((
        Picture("proxy", "a whole cluster through one port", ("tab", "tab", "g"),
                ("proxy 127.0.0.1:1080 · 5 targets", "k6 (70112)")),
        Picture("spread", "connections spread over three pods", ("d",),
                ("8hkmn 2 open", "tested 0 s ago"), (100, 30), kept=True),
    ), session=fleet_with_proxy),
    Scene(
        tuple(
            Picture(f"recording_{number}", "tui-forward: the cluster proxy", keys, shows,
                    size=(100, 28), change=change, kept=True, recording="recording",
                    seconds=seconds)
            for number, (keys, shows, change, seconds) in enumerate((
                (("tab", "tab", "g"), ("problems first",), None, 1.5),
                (("X",), ("0 targets",), None, 1.5),
                ((), ("2 targets", "orders-queue"), partial(add_targets, count=2), 1.2),
                ((), ("5 targets", "webhook-relay"), partial(add_targets, count=5), 4.0),
            ))
        ),
        session=fleet_before_proxy,
    ),
    Scene((Picture("light", "in daylight", _FORWARDS, _MAIN, kept=True),), theme="forward-light"),
    Scene((Picture("no_color", "NO_COLOR", _FORWARDS, _MAIN),), env={"NO_COLOR": "1"}),
)  # fmt: skip


async def take(scene: Scene, folder: Path, wanted: frozenset[str]) -> dict[str, str]:
    """Run a scene as far as needed; return its wanted pictures as SVG by name."""
    taken: dict[str, str] = {}
    last = max(place for place, one in enumerate(scene.pictures) if one.name in wanted)
    session = scene.session()
    app = fleet_app(folder, session, few_colors="NO_COLOR" in scene.env, choice=scene.choice)
    async with app.run_test(size=scene.pictures[0].size) as pilot:
        if not scene.env:
            app.theme = scene.theme
        if scene.choice is None:
            await wait_for(app, pilot, "deploy/api-gateway", "prod-eu!")
        for picture in scene.pictures[: last + 1]:
            await pilot.resize_terminal(*picture.size)
            if picture.change is not None:
                picture.change(session)
            await pilot.press(*picture.keys)
            await wait_for(app, pilot, *picture.shows)
            if picture.recording:
                app.clear_notifications()  # they go by themselves, after a while
            if picture.name in wanted:
                taken[picture.name] = await _svg(app, pilot, picture.title)
            await pilot.press(*picture.after)
    return taken


async def _svg(app: TuiForwardApp, pilot: Pilot[None], title: str) -> str:
    """Return the screen as SVG when no update is pending."""
    if isinstance(app.focused, Input):
        app.focused.cursor_blink = False
    await settled(app, pilot, screen_text)
    svg = app.export_screenshot(title=title)
    # Some viewers collapse spaces otherwise.
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)


def screen_text(app: TuiForwardApp) -> str:
    """Return the text on the terminal."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def wait_for(app: TuiForwardApp, pilot: Pilot[None], *texts: str) -> None:
    """Wait until the screen shows all texts, with any number of spaces between words.

    Raises:
        TimeoutError: It did not in time.
    """
    deadline = time.monotonic() + _WAIT_S
    while True:
        shown = screen_text(app)
        missing = [one for one in texts if one not in shown and one not in re.sub(" +", " ", shown)]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{missing} are not on the screen\n{shown}")
        await pilot.pause(0.02)
