"""Profiles under edit, and a real engine that follows them.

Ten profiles are edited at once, again and again: validly, wrongly, cut short, deleted, replaced by
links, folders, pipes, devices. After each round what is on is exactly what the last valid version
of each file says, less what was stopped by hand, and what an edit was not about is the very
forward that it was. Nothing here needs a cluster: forwards hold their ports while theirs is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.endurance.engine_process import (
    EngineProcess,
    isolated_home,
    open_session,
    running_engine,
)
from tests.endurance.random_edits import (
    ANCHOR,
    ExpectApplied,
    ExpectRejected,
    Outcome,
    ProfileEditor,
    Row,
    row_of,
    rows_of,
)
from tests.support.engine_processes import KUBECONFIG
from tui_forward.common import paths as paths
from tui_forward.daemon import session_store as session_store
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import EngineNotice, Forward, Snapshot
from tui_forward.profiles.parser import parse_profile
from tui_forward.profiles.trust import TrustStore

PROFILES = 10
_SEEN_S = 20.0


@dataclass
class EditStatistics:
    """What was done.

    Attributes:
        kinds: How often each kind of edit was seen by the engine, as it should be.
        slowest_s: The longest time from an edit until it was seen.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    took_s: float = 0.0

    def row(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common())
        return (
            f"{self.kinds.total()} edits in {self.took_s:.1f} s, each seen within "
            f"{self.slowest_s:.2f} s: {kinds}"
        )


class ProfileEditors:
    """All desks, and the engine that follows their files.

    Args:
        running: The engine.
        session: A front end of it.
        folder: For the files.
        seed: Everything random comes from it.
    """

    def __init__(
        self, running: EngineProcess, session: RemoteSession, folder: Path, seed: int
    ) -> None:
        self._running = running
        self._session = session
        self._dice = random.Random(seed)
        own = paths.profiles_dir()
        own.mkdir(parents=True, exist_ok=True)
        ports = free_ports(5 * PROFILES, self._dice)
        self.editors = []
        for number in range(PROFILES):
            team = number == PROFILES - 1
            path = own / f"p{number}.yaml"
            if team:
                path = folder / "team" / ".tui-forward.yaml"
                path.parent.mkdir()
            mine = ports[5 * number : 5 * number + 5]
            self.editors.append(ProfileEditor(path, team=team, ports=mine, dice=self._dice))

    async def run(self, edits: int) -> EditStatistics:
        """So many edits of all profiles together."""
        tally, began = EditStatistics(), time.monotonic()
        for desk in self.editors:
            await self._switch_on(desk)
        pid = self._session.engine_pid
        while tally.kinds.total() < edits:
            notices = (await self._session.snapshot()).notices
            before = notices[-1].number if notices else 0
            at = time.monotonic()
            asked = [PendingEdit(desk, *desk.edit(), before) for desk in self.editors]
            await self._until(partial(self._all_seen, asked), asked)
            tally.slowest_s = max(tally.slowest_s, time.monotonic() - at)
            tally.kinds.update(one.kind for one in asked)
            for desk in self.editors:
                if not desk.started:
                    await self._switch_on(desk)
                elif len(desk.started) > 1 and self._dice.random() < 0.1:
                    await self._stop_one(desk)
        assert self._session.engine_pid == pid == self._running.pid
        assert self._session.lost is None
        assert not self._running.log_errors(), self._running.log_errors()
        tally.took_s = time.monotonic() - began
        return tally

    async def _switch_on(self, desk: ProfileEditor) -> None:
        """As `tui-forward up` does."""
        version = desk.next_version()
        text = desk.text(version)
        if desk.team:
            TrustStore(paths.trusted_profiles_file()).trust(desk.path, text)
        desk.put(text)
        for one in parse_profile(text, desk.path, team=desk.team).forwards:
            await self._session.start(one.spec)
        desk.version, desk.started, desk.forwards = {}, {}, {}
        asked = [PendingEdit(desk, "switched on", ExpectApplied(version), 0)]
        await self._until(partial(self._all_seen, asked), asked)
        # And the engine has seen the file as it is.
        path = session_store.session_file(self._running.socket)

        def seen(_: Snapshot) -> bool:
            known = session_store.profiles_of(session_store.load_session(path)).get(desk.id)
            rows = {} if known is None else rows_of(known)
            return rows == desk.version

        await self._until(seen, asked)

    async def _stop_one(self, desk: ProfileEditor) -> None:
        """By hand: whatever is edited, it stays off."""
        name = self._dice.choice(sorted(desk.started.keys() - {ANCHOR}))
        await self._session.stop(desk.forwards[name].id)
        del desk.started[name], desk.forwards[name]

    async def _until(self, condition: Callable[[Snapshot], bool], asked: list[PendingEdit]) -> None:
        deadline = time.monotonic() + _SEEN_S
        while not condition(now := await self._session.snapshot()):
            if time.monotonic() > deadline:
                raise AssertionError("\n".join(one.explained(now) for one in asked))
            await asyncio.sleep(0.01)

    def _all_seen(self, asked: list[PendingEdit], now: Snapshot) -> bool:
        """Whether every edit has led to what it should, and to nothing else."""
        if not all(one.seen(now) for one in asked):
            return False
        mine = {desk.id for desk in self.editors}
        assert all(one.spec.profile in mine for one in now.forwards)
        for one in asked:
            one.done(now)
        return True


@dataclass(frozen=True)
class PendingEdit:
    """An edit that was made.

    Attributes:
        before: The last notice from before it.
    """

    desk: ProfileEditor
    kind: str
    outcome: Outcome
    before: int

    def _should(self) -> tuple[dict[str, Row], set[str]]:
        if isinstance(self.outcome, ExpectApplied):
            return self.desk.expected_forwards(self.outcome.version)
        return self.desk.started, set(self.desk.started)

    def _told(self, now: Snapshot) -> list[EngineNotice]:
        return [n for n in now.notices if n.profile == self.desk.name and n.number > self.before]

    def seen(self, now: Snapshot) -> bool:
        """Whether what should be is."""
        if isinstance(self.outcome, ExpectRejected):
            text = self.outcome.text
            if not any(one.is_problem and text in one.text for one in self._told(now)):
                return False
        begun, untouched = self._should()
        on = _on(self.desk, now)
        return on.keys() == begun.keys() and all(
            row_of(on[name].spec) == row
            and bool(on[name].listening)
            and row.local in (0, on[name].listening[0].port)
            and (name not in untouched or on[name].id == self.desk.forwards[name].id)
            for name, row in begun.items()
        )

    def done(self, now: Snapshot) -> None:
        """That is how it stands now."""
        if isinstance(self.outcome, ExpectApplied):
            self.desk.started, _ = self._should()
            self.desk.version = self.outcome.version
        self.desk.forwards = _on(self.desk, now)

    def explained(self, now: Snapshot) -> str:
        """What should be and what is, for a person; nothing if that is the same."""
        if self.seen(now):
            return ""
        begun, untouched = self._should()
        lines = [
            f"{self.desk.id}: {self.kind} → {self.outcome}",
            f"  should be on: {begun}, untouched: {untouched}",
            f"  was on: {[(name, one.id) for name, one in self.desk.forwards.items()]}",
            *(f"  is on: {one.id} {one.spec}" for one in _on(self.desk, now).values()),
            *(f"  told: {one.text}" for one in self._told(now)),
        ]  # fmt: skip
        return "\n".join(lines)


def _on(desk: ProfileEditor, now: Snapshot) -> dict[str, Forward]:
    return {one.spec.name: one for one in now.forwards if one.spec.profile == desk.id}


def free_ports(count: int, dice: random.Random) -> list[int]:
    """Ports nobody has, and which the system gives to nobody who asks for any."""
    found: set[int] = set()
    while len(found) < count:
        port = dice.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return sorted(found)


@contextlib.asynccontextmanager
async def running_editors(seed: int) -> AsyncIterator[ProfileEditors]:
    """An engine, and profiles in folders of one's own."""
    with tempfile.TemporaryDirectory(prefix="tfo-") as name, isolated_home(Path(name)):
        kubeconfig = Path(name) / "config"
        kubeconfig.write_text(KUBECONFIG)
        with running_engine(kubeconfig, HOME=name) as running:
            async with open_session(running) as session:
                yield ProfileEditors(running, session, Path(name), seed)
                for forward in (await session.snapshot()).forwards:
                    await session.stop(forward.id)


async def run_edits(edits: int, seed: int) -> EditStatistics:
    """So many random edits of profiles that are on."""
    async with running_editors(seed) as running:
        return await running.run(edits)
