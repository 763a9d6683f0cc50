"""Losses of the dashboard's terminal at random moments.

Each way of losing it, at each moment, ends the process within `MAX_END_S`, and a terminal that is
still there is restored. Forwards that were to stay are active afterwards, those that the user
stopped are not. No cluster is needed: forwards of an engine without one are active, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.e2e.pseudo_terminal import PseudoTerminal
from tests.endurance.engine_process import isolated_home, wait_until
from tests.support.cluster_process import REPOSITORY
from tests.support.engine_processes import engine_processes
from tui_forward.daemon import connect, connect_if_running
from tui_forward.model import ForwardSpec, Target, TargetKind

MAX_END_S = 3.0
_KILL_S = 60.0
_PROGRAM = (sys.executable, "-m", "tui_forward")
_IGNORE_HANGUP = "trap '' HUP"
_KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me, namespace: shop}}]
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {}}]
"""
_PROFILE = "forwards:\n  db: {target: sts/db, port: 5432}\n"
_SPEC = ForwardSpec(
    target=Target(context="here", namespace="shop", kind=TargetKind.POD, name="web", port="80"),
    local_port=0,
)


class Moment(NamedTuple):
    """What the dashboard is doing.

    Attributes:
        steps: Texts to wait for, each with the keys to type then.
        max_delay_s: The loss comes a random time after the last step.
        stops_forwards: Whether the user has stopped the forwards by then.
        ways: Names of the ways that make sense; all if empty.
    """

    steps: tuple[tuple[str, bytes], ...] = ()
    max_delay_s: float = 0.2
    stops_forwards: bool = False
    ways: tuple[str, ...] = ()


class Way(NamedTuple):
    """A way of losing the terminal, or of ending the process.

    Attributes:
        lose: Does it.
        leaves_terminal: Whether the terminal is still there and must be restored.
        before: Shell command that runs before the program.
    """

    lose: Callable[[PseudoTerminal], None]
    leaves_terminal: bool = False
    before: str = ""


_FORWARD = "pod/web:80"  # in the title of its connections
_QUESTION = ((_FORWARD, b"q"), (" running?", b""))
_CLOSING = ("hangup", "hangup ignored", "SIGHUP", "hangup while stuck")
MOMENTS = {
    "start": Moment(max_delay_s=1.5),
    "first frame": Moment((("\x1b[?1049h", b""),), 0.3),
    "dashboard": Moment(((_FORWARD, b""),), 0.5),
    "filter": Moment(((_FORWARD, b"/we"),)),
    "help": Moment(((_FORWARD, b"?"),)),
    "palette": Moment(((_FORWARD, b"\x10"),)),
    "input": Moment(((_FORWARD, b"v"), ("kubectl", b"svc/web 80"))),
    "engine log": Moment(((_FORWARD, b"\x0c"),)),
    "details": Moment(((_FORWARD, b"\td"),)),
    "question": Moment(_QUESTION),
    "quitting": Moment((*_QUESTION, (" running?", b"q")), 0.4),
    "stopping": Moment((*_QUESTION, (" running?", b"s")), 0.4, stops_forwards=True),
    "editor": Moment(
        ((_FORWARD, b"P"), (" profile ", b"\r"), ("Profile shop", b"e"), ("EDITING", b"")),
        ways=(*_CLOSING, "SIGTERM", "SIGTERM and SIGHUP"),
    ),
    "stopped": Moment(((_FORWARD, b"\x1a"),), ways=_CLOSING[:2]),
}


def _send(*numbers: signal.Signals) -> Callable[[PseudoTerminal], None]:
    def send(terminal: PseudoTerminal) -> None:
        for number in numbers:
            terminal.process.send_signal(number)
            time.sleep(0.02)

    return send


def _hang_up(terminal: PseudoTerminal) -> None:
    terminal.hang_up()


def _get_stuck(lose: Callable[[PseudoTerminal], None]) -> Callable[[PseudoTerminal], None]:
    """Return a loss after a time in which the terminal took no output."""

    def get_stuck(terminal: PseudoTerminal) -> None:
        terminal.stop_reading()
        with contextlib.suppress(OSError):
            for _ in range(40):  # each is a frame
                terminal.send(b"z")
                time.sleep(0.005)
        lose(terminal)

    return get_stuck


WAYS = {
    "hangup": Way(_hang_up),
    "hangup ignored": Way(_hang_up, before=_IGNORE_HANGUP),
    "SIGHUP": Way(_send(signal.SIGHUP), leaves_terminal=True),
    "SIGTERM": Way(_send(signal.SIGTERM), leaves_terminal=True),
    "SIGINT twice": Way(_send(signal.SIGINT, signal.SIGINT), leaves_terminal=True),
    "SIGTERM and SIGHUP": Way(_send(signal.SIGTERM, signal.SIGHUP), leaves_terminal=True),
    "SIGTERM while stuck": Way(_get_stuck(_send(signal.SIGTERM))),
    "hangup while stuck": Way(_get_stuck(_hang_up)),
}
CASES = [
    (moment, way)
    for moment in MOMENTS
    for way in WAYS
    if way in (MOMENTS[moment].ways or tuple(WAYS))
]


@dataclass
class LossResults:
    """Times from the loss to the end, and what was wrong."""

    end_s: dict[str, float] = field(default_factory=dict)  # by case, in order
    violations: list[str] = field(default_factory=list)

    def row(self) -> str:
        times = sorted(self.end_s.values())
        slowest = max(self.end_s, key=lambda case: self.end_s[case], default="none")
        median = times[len(times) // 2] if times else 0.0
        return (
            f"{len(times)} losses: ended after {median:.2f} s (p50), "
            f"{max(times, default=0.0):.2f} s at most ({slowest})"
        )


@contextlib.contextmanager
def dashboard_home() -> Iterator[Path]:
    """Set up a home folder with a kubeconfig and a profile, and end its engines afterwards."""
    with tempfile.TemporaryDirectory(prefix="tfl-") as name, isolated_home(Path(name)):
        home = Path(name)
        (home / "kubeconfig").write_text(_KUBECONFIG)
        profiles = home / ".config/tui-forward/profiles"
        profiles.mkdir(parents=True, exist_ok=True)
        (profiles / "shop.yaml").write_text(_PROFILE)
        editor = home / "editor"
        editor.write_text("#!/bin/sh\necho EDITING\nexec sleep 600\n")
        editor.chmod(0o755)
        try:
            yield home
        finally:
            for process in engine_processes(home):
                with contextlib.suppress(psutil.Error):
                    process.kill()


async def lose_terminal(home: Path, moment_name: str, way_name: str, delay_s: float) -> float:
    """Lose the terminal of a dashboard once; return the time to its end, in seconds.

    Raises:
        AssertionError: The dashboard did not end in time, or left something wrong.
    """
    moment, way = MOMENTS[moment_name], WAYS[way_name]
    kubeconfig = str(home / "kubeconfig")
    _discard_previous_sessions(home)
    session = await connect(kubeconfig)
    try:
        await session.set_keep_running(True)
        if not (await session.snapshot()).forwards:
            await session.start(_SPEC)
    finally:
        await session.close()
    seconds = await asyncio.to_thread(_lose_terminal, home, moment, way, delay_s)
    forwards = await _active_forwards(kubeconfig)
    if not moment.stops_forwards:
        assert forwards == 1, f"{forwards} forwards are active instead of 1"
    elif not forwards:  # else the loss came before the key
        await wait_until(lambda: not engine_processes(home), "the engine to end")
    return seconds


def _discard_previous_sessions(home: Path) -> None:
    """Delete what a dashboard would offer to restore, after a stop that was interrupted."""
    for path in home.rglob("*.previous.json"):
        path.unlink()


async def _active_forwards(kubeconfig: str) -> int:
    session = await connect_if_running(kubeconfig)
    if session is None:
        return 0
    try:
        return len((await session.snapshot()).forwards)
    finally:
        await session.close()


def _lose_terminal(home: Path, moment: Moment, way: Way, delay_s: float) -> float:
    kubeconfig = str(home / "kubeconfig")
    env = {
        **os.environ, "KUBECONFIG": kubeconfig, "TERM": "xterm-256color", "LANG": "C.UTF-8",
        "EDITOR": str(home / "editor"), "PYTHONPATH": str(REPOSITORY),
    }  # fmt: skip
    env.pop("VISUAL", None)
    arguments = ("--kubeconfig", kubeconfig)
    with PseudoTerminal(
        *_PROGRAM, *arguments, env=env, before=way.before, is_forked=bool(moment.steps)
    ) as terminal:
        for text, keys in moment.steps:
            terminal.wait_for_output(text)
            terminal.send(keys)
        time.sleep(delay_s)
        began = time.monotonic()
        way.lose(terminal)
        try:
            terminal.wait(_KILL_S)
        except Exception as error:
            raise AssertionError(f"has not ended after {_KILL_S:g} s") from error
        seconds = time.monotonic() - began
        if way.leaves_terminal:
            terminal.wait_until_restored()
    return seconds


async def run_losses(count: int, seed: int, *, max_end_s: float = MAX_END_S) -> LossResults:
    """Lose terminals `count` times, each case as often as the others, in random order."""
    chance = random.Random(seed)
    results = LossResults()
    with dashboard_home() as home:
        cases: list[tuple[str, str]] = []
        for number in range(count):
            if not cases:
                cases = chance.sample(CASES, len(CASES))
            moment, way = cases.pop()
            name = f"{moment}, {way} #{number}"
            delay_s = chance.uniform(0.0, MOMENTS[moment].max_delay_s)
            try:
                results.end_s[name] = await lose_terminal(home, moment, way, delay_s)
            except AssertionError as error:
                results.violations.append(f"{name}: {error}")
                continue
            if results.end_s[name] > max_end_s:
                results.violations.append(f"{name}: ended after {results.end_s[name]:.1f} s")
    return results
