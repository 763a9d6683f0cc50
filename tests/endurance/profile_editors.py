"""Profiles under edit, and a real engine that watches them.

Ten profiles are edited at once, again and again: validly, invalidly, truncated, deleted, replaced
by links, folders, pipes, devices. After each round the active forwards are exactly those of the
last valid version of each profile, without those that the user stopped, and a forward that the
edit did not change was not restarted. This needs no cluster: forwards keep their ports while it
is unreachable.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.endurance.engine_process import (
    EngineProcess,
    isolated_home,
    open_session,
    running_engine,
)
from tests.endurance.random_edits import (
    ANCHOR,
    Edit,
    Entries,
    ExpectApplied,
    ExpectRejected,
    ProfileEditor,
    entries_of,
    entry_of,
)
from tests.support.engine_processes import KUBECONFIG
from tests.support.free_ports import find_free_ports
from tui_forward.common import paths
from tui_forward.daemon import session_store
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import EngineNotice, Forward, Snapshot
from tui_forward.profiles.parser import parse_profile

PROFILES = 10
_PORTS_PER_PROFILE = 5
_TIMEOUT_S = 60.0


@dataclass
class EditStatistics:
    """Statistics of edits that had the expected outcome.

    Attributes:
        kinds: Number of edits by kind.
        slowest_s: The longest time from a round of edits until all had their outcome.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    duration_s: float = 0.0

    def row(self) -> str:
        """Return one line of the printed table."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common())
        return (
            f"{self.kinds.total()} edits in {self.duration_s:.1f} s, each detected within "
            f"{self.slowest_s:.2f} s: {kinds}"
        )


class ProfileEditors:
    """All profile editors, and the engine that watches their files.

    Args:
        engine: The engine.
        session: A session of it.
        folder: Folder for the profile of a working tree.
        seed: Seed of all random choices.
    """

    def __init__(
        self, engine: EngineProcess, session: RemoteSession, folder: Path, seed: int
    ) -> None:
        self._engine = engine
        self._session = session
        self._rng = random.Random(seed)
        profiles = paths.profiles_dir()
        profiles.mkdir(parents=True, exist_ok=True)
        team_profile = folder / "team" / ".tui-forward.yaml"
        team_profile.parent.mkdir()
        ports = find_free_ports(PROFILES * _PORTS_PER_PROFILE)
        self.editors = [
            ProfileEditor(path, team=path == team_profile, ports=ports[n::PROFILES], rng=self._rng)
            for n, path in enumerate(
                [*(profiles / f"p{n}.yaml" for n in range(PROFILES - 1)), team_profile]
            )
        ]

    async def run(self, count: int) -> EditStatistics:
        """Edit all profiles in rounds until there were `count` edits.

        Raises:
            AssertionError: An edit had another outcome than expected.
        """
        statistics, began = EditStatistics(), time.monotonic()
        for editor in self.editors:
            await self._start_profile(editor)
        pid = self._session.engine_pid
        while statistics.kinds.total() < count:
            notices = (await self._session.snapshot()).notices
            last_notice = notices[-1].number if notices else 0
            round_began = time.monotonic()
            edits = [PendingEdit(each, each.edit(), last_notice) for each in self.editors]
            await self._wait_until_done(edits)
            statistics.slowest_s = max(statistics.slowest_s, time.monotonic() - round_began)
            statistics.kinds.update(pending.edit.kind for pending in edits)
            for editor in self.editors:
                if not editor.active:
                    await self._start_profile(editor)
                elif len(editor.active) > 1 and self._rng.random() < 0.1:
                    await self._stop_one(editor)
        assert self._session.engine_pid == pid == self._engine.pid
        assert self._session.lost is None
        assert not self._engine.log_errors(), self._engine.log_errors()
        statistics.duration_s = time.monotonic() - began
        return statistics

    async def _start_profile(self, editor: ProfileEditor) -> None:
        """Start a new version of a profile, as `tui-forward up` does."""
        entries = editor.next_version()
        text = editor.format_profile(entries)
        editor.trust(text)
        editor.write(text)
        for forward in parse_profile(text, editor.path, team=editor.team).forwards:
            await self._session.start(forward.spec)
        editor.applied, editor.active, editor.forwards = {}, {}, {}
        pending = [PendingEdit(editor, Edit("started", ExpectApplied(entries)), last_notice=0)]
        await self._wait_until_done(pending)
        # Edit the file only after the engine has read and saved this version.
        session_file = session_store.session_file(self._engine.socket)

        def is_saved(_: Snapshot) -> bool:
            saved = session_store.profiles_of(session_store.load_session(session_file))
            profile = saved.get(editor.id)
            return profile is not None and entries_of(profile) == editor.applied

        await self._wait_until(is_saved, pending)

    async def _stop_one(self, editor: ProfileEditor) -> None:
        """Stop a forward as a user does; it remains stopped whatever is edited."""
        name = self._rng.choice(sorted(editor.active.keys() - {ANCHOR}))
        await self._session.stop(editor.forwards[name].id)
        del editor.active[name], editor.forwards[name]

    async def _wait_until_done(self, edits: Sequence[PendingEdit]) -> None:
        """Wait until every edit has its expected outcome, and record it in the editors."""

        def are_done(snapshot: Snapshot) -> bool:
            return all(pending.is_done(snapshot) for pending in edits)

        snapshot = await self._wait_until(are_done, edits)
        profiles = {editor.id for editor in self.editors}
        assert all(forward.spec.profile in profiles for forward in snapshot.forwards)
        for pending in edits:
            pending.record(snapshot)

    async def _wait_until(
        self, condition: Callable[[Snapshot], bool], edits: Sequence[PendingEdit]
    ) -> Snapshot:
        deadline = time.monotonic() + _TIMEOUT_S
        while not condition(snapshot := await self._session.snapshot()):
            if time.monotonic() > deadline:
                raise AssertionError(
                    "\n".join(
                        pending.describe(snapshot)
                        for pending in edits
                        if not pending.is_done(snapshot)
                    )
                )
            await asyncio.sleep(0.03)
        return snapshot


@dataclass(frozen=True)
class PendingEdit:
    """An edit that the engine has yet to apply or reject.

    Attributes:
        last_notice: Number of the last notice before the edit.
    """

    editor: ProfileEditor
    edit: Edit
    last_notice: int

    def is_done(self, snapshot: Snapshot) -> bool:
        """Return whether the edit has its expected outcome."""
        outcome = self.edit.outcome
        if isinstance(outcome, ExpectRejected) and not any(
            notice.is_problem and outcome.text in notice.text for notice in self._notices(snapshot)
        ):
            return False
        expected, untouched = self._expected_forwards()
        active = self._active_forwards(snapshot)
        return active.keys() == expected.keys() and all(
            entry_of(active[name].spec) == entry
            and bool(active[name].listening)
            and entry.local_port in (0, active[name].listening[0].port)
            and (name not in untouched or active[name].id == self.editor.forwards[name].id)
            for name, entry in expected.items()
        )

    def record(self, snapshot: Snapshot) -> None:
        """Record the outcome in the editor."""
        if isinstance(self.edit.outcome, ExpectApplied):
            self.editor.active, _ = self._expected_forwards()
            self.editor.applied = self.edit.outcome.entries
        self.editor.forwards = self._active_forwards(snapshot)

    def describe(self, snapshot: Snapshot) -> str:
        """Return the expected and the actual outcome."""
        expected, untouched = self._expected_forwards()
        forwards = self._active_forwards(snapshot)
        return "\n".join([
            f"{self.editor.id}: {self.edit}",
            f"  expected: {expected}, untouched: {untouched}",
            f"  before: {[(name, each.id) for name, each in self.editor.forwards.items()]}",
            *(f"  active: {forward.id} {forward.spec}" for forward in forwards.values()),
            *(f"  notice: {notice.text}" for notice in self._notices(snapshot)),
        ])  # fmt: skip

    def _expected_forwards(self) -> tuple[Entries, set[str]]:
        if isinstance(self.edit.outcome, ExpectApplied):
            return self.editor.expected_forwards(self.edit.outcome.entries)
        return self.editor.active, set(self.editor.active)

    def _active_forwards(self, snapshot: Snapshot) -> dict[str, Forward]:
        return {
            forward.spec.name: forward
            for forward in snapshot.forwards
            if forward.spec.profile == self.editor.id
        }

    def _notices(self, snapshot: Snapshot) -> list[EngineNotice]:
        return [
            notice
            for notice in snapshot.notices
            if notice.profile == self.editor.name and notice.number > self.last_notice
        ]


@contextlib.asynccontextmanager
async def running_editors(seed: int) -> AsyncIterator[ProfileEditors]:
    """Start an engine and editors in an isolated home."""
    with tempfile.TemporaryDirectory(prefix="tfo-") as name, isolated_home(Path(name)):
        kubeconfig = Path(name) / "config"
        kubeconfig.write_text(KUBECONFIG)
        with running_engine(kubeconfig, HOME=name) as engine:
            async with open_session(engine) as session:
                yield ProfileEditors(engine, session, Path(name), seed)
                for forward in (await session.snapshot()).forwards:
                    await session.stop(forward.id)


async def run_edits(count: int, seed: int) -> EditStatistics:
    """Run random edits of active profiles."""
    async with running_editors(seed) as editors:
        return await editors.run(count)
