"""Random edits of profiles that a real engine follows.

Ten profiles are edited concurrently: valid and invalid edits, truncation, deletion, replacement
by links, folders, pipes, devices. After each round the active forwards are exactly those of the
last valid version of each file, except those stopped by hand, and an unaffected forward is the
same forward as before. No cluster is needed: forwards keep their ports while theirs is away.
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
_APPLY_TIMEOUT_S = 20.0


@dataclass
class EditStatistics:
    """Statistics of a run.

    Attributes:
        kinds: Number of edits that the engine handled as expected, by kind.
        slowest_s: Longest time from an edit until it was handled.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    took_s: float = 0.0

    def row(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common())
        return (
            f"{self.kinds.total()} edits in {self.took_s:.1f} s, each handled within "
            f"{self.slowest_s:.2f} s: {kinds}"
        )


class ProfileEditors:
    """Editors of all profiles, and the engine that follows their files.

    Args:
        running: The engine.
        session: Client of the engine.
        folder: Folder of the team profile.
        seed: Seed of all random choices.
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
        """Make at least `edits` edits of all profiles together."""
        tally, began = EditStatistics(), time.monotonic()
        for editor in self.editors:
            await self._start_profile(editor)
        pid = self._session.engine_pid
        while tally.kinds.total() < edits:
            notices = (await self._session.snapshot()).notices
            before = notices[-1].number if notices else 0
            at = time.monotonic()
            pending = [PendingEdit(editor, *editor.edit(), before) for editor in self.editors]
            await self._until(partial(self._all_handled, pending), pending)
            tally.slowest_s = max(tally.slowest_s, time.monotonic() - at)
            tally.kinds.update(one.kind for one in pending)
            for editor in self.editors:
                if not editor.started:
                    await self._start_profile(editor)
                elif len(editor.started) > 1 and self._dice.random() < 0.1:
                    await self._stop_one(editor)
        assert self._session.engine_pid == pid == self._running.pid
        assert self._session.lost is None
        assert not self._running.log_errors(), self._running.log_errors()
        tally.took_s = time.monotonic() - began
        return tally

    async def _start_profile(self, editor: ProfileEditor) -> None:
        """Start the forwards of a profile as `tui-forward up` does."""
        version = editor.next_version()
        text = editor.text(version)
        if editor.team:
            TrustStore(paths.trusted_profiles_file()).trust(editor.path, text)
        editor.put(text)
        for one in parse_profile(text, editor.path, team=editor.team).forwards:
            await self._session.start(one.spec)
        editor.version, editor.started, editor.forwards = {}, {}, {}
        pending = [PendingEdit(editor, "started", ExpectApplied(version), 0)]
        await self._until(partial(self._all_handled, pending), pending)
        # Wait until the engine has read the file.
        path = session_store.session_file(self._running.socket)

        def seen(_: Snapshot) -> bool:
            known = session_store.profiles_of(session_store.load_session(path)).get(editor.id)
            rows = {} if known is None else rows_of(known)
            return rows == editor.version

        await self._until(seen, pending)

    async def _stop_one(self, editor: ProfileEditor) -> None:
        """Stop a forward by hand; edits do not restart it."""
        name = self._dice.choice(sorted(editor.started.keys() - {ANCHOR}))
        await self._session.stop(editor.forwards[name].id)
        del editor.started[name], editor.forwards[name]

    async def _until(
        self, condition: Callable[[Snapshot], bool], pending: list[PendingEdit]
    ) -> None:
        deadline = time.monotonic() + _APPLY_TIMEOUT_S
        while not condition(now := await self._session.snapshot()):
            if time.monotonic() > deadline:
                raise AssertionError("\n".join(one.explain(now) for one in pending))
            await asyncio.sleep(0.01)

    def _all_handled(self, pending: list[PendingEdit], now: Snapshot) -> bool:
        """Return whether every edit had its expected effect and no other."""
        if not all(one.has_effect(now) for one in pending):
            return False
        mine = {editor.id for editor in self.editors}
        assert all(one.spec.profile in mine for one in now.forwards)
        for one in pending:
            one.complete(now)
        return True


@dataclass(frozen=True)
class PendingEdit:
    """An edit whose effect is awaited.

    Attributes:
        before: Number of the last notice before it.
    """

    editor: ProfileEditor
    kind: str
    outcome: Outcome
    before: int

    def _expected(self) -> tuple[dict[str, Row], set[str]]:
        if isinstance(self.outcome, ExpectApplied):
            return self.editor.expected_forwards(self.outcome.version)
        return self.editor.started, set(self.editor.started)

    def _new_notices(self, now: Snapshot) -> list[EngineNotice]:
        return [n for n in now.notices if n.profile == self.editor.name and n.number > self.before]

    def has_effect(self, now: Snapshot) -> bool:
        """Return whether the edit had its expected effect."""
        if isinstance(self.outcome, ExpectRejected):
            text = self.outcome.text
            if not any(one.is_problem and text in one.text for one in self._new_notices(now)):
                return False
        started, untouched = self._expected()
        on = _on(self.editor, now)
        return on.keys() == started.keys() and all(
            row_of(on[name].spec) == row
            and bool(on[name].listening)
            and row.local in (0, on[name].listening[0].port)
            and (name not in untouched or on[name].id == self.editor.forwards[name].id)
            for name, row in started.items()
        )

    def complete(self, now: Snapshot) -> None:
        """Update the editor to the observed forwards."""
        if isinstance(self.outcome, ExpectApplied):
            self.editor.started, _ = self._expected()
            self.editor.version = self.outcome.version
        self.editor.forwards = _on(self.editor, now)

    def explain(self, now: Snapshot) -> str:
        """Return the difference between expected and actual forwards; empty if none."""
        if self.has_effect(now):
            return ""
        started, untouched = self._expected()
        lines = [
            f"{self.editor.id}: {self.kind} → {self.outcome}",
            f"  expected: {started}, untouched: {untouched}",
            f"  before: {[(name, one.id) for name, one in self.editor.forwards.items()]}",
            *(f"  active: {one.id} {one.spec}" for one in _on(self.editor, now).values()),
            *(f"  notice: {one.text}" for one in self._new_notices(now)),
        ]  # fmt: skip
        return "\n".join(lines)


def _on(editor: ProfileEditor, now: Snapshot) -> dict[str, Forward]:
    return {one.spec.name: one for one in now.forwards if one.spec.profile == editor.id}


def free_ports(count: int, dice: random.Random) -> list[int]:
    """Return free ports below the ephemeral range, which the system does not hand out."""
    found: set[int] = set()
    while len(found) < count:
        port = dice.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return sorted(found)


@contextlib.asynccontextmanager
async def running_editors(seed: int) -> AsyncIterator[ProfileEditors]:
    """Start an engine and profiles in a home folder of their own."""
    with tempfile.TemporaryDirectory(prefix="tfo-") as name, isolated_home(Path(name)):
        kubeconfig = Path(name) / "config"
        kubeconfig.write_text(KUBECONFIG)
        with running_engine(kubeconfig, HOME=name) as running:
            async with open_session(running) as session:
                yield ProfileEditors(running, session, Path(name), seed)
                for forward in (await session.snapshot()).forwards:
                    await session.stop(forward.id)


async def run_edits(edits: int, seed: int) -> EditStatistics:
    """Make random edits of active profiles; return their statistics."""
    async with running_editors(seed) as running:
        return await running.run(edits)
