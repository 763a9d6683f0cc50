"""Watches the files of active profiles and applies edits.

An edit is validated first and changes only the forwards that it is about. An invalid edit changes
nothing and is reported with its position. An edit of a profile of another author waits until the
user trusts it. An edit made while no engine was running is handled like any other, because the
version applied last is saved with the session.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.file_checks import FILE_CHECKS
from tui_forward.common.file_signature import Signature, file_signatures
from tui_forward.common.tasks import spawn
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.profile_apply import apply_plan, validate_plan
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.errors import TuiForwardError
from tui_forward.model import Snapshot
from tui_forward.profiles.parser import ProfileError, parse_profile
from tui_forward.profiles.plan import plan_edit
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.store import ProfileContent, ProfileFile, ProfileStore
from tui_forward.profiles.trust import TrustStore
from tui_forward.session import Session

_log = logging.getLogger(__name__)

# An editor writes a file in several steps: content is final if it is the same after this time.
_SETTLE_S = 0.05
_RETRY_S = 1.0
_MAX_CHANGES = 5  # listed in a notice


@dataclass(frozen=True, slots=True)
class _Content:
    """Content of a file, or why it cannot be read."""

    profile: ProfileContent
    problem: str = ""  # why it cannot be read, or ""


class ProfileWatcher:
    """Watches the files of active profiles.

    The saver saves the versions that were applied last, for the next engine.
    """

    def __init__(
        self, session: Session, store: ProfileStore, trust: TrustStore, notices: NoticeLog,
        saver: SessionSaver,
    ) -> None:  # fmt: skip
        self._session = session
        self._store = store
        self._trust = trust
        self._notices = notices
        self._saver = saver
        self._applied = saver.profiles
        self._texts: dict[str, str] = {}  # handled last, valid or not

    async def run(self) -> None:
        """Watch until canceled."""
        while True:
            try:
                await self._watch_active()
            except Exception:  # noqa: BLE001 - a bug must not end the watcher
                _log.exception("watching profiles failed")
                await asyncio.sleep(_RETRY_S)

    async def _watch_active(self) -> None:
        """Watch the active profiles until other ones are active."""
        self._notices.profiles_changed.clear()
        profiles = await self._active_profiles()
        for stopped in {*self._applied, *self._texts} - profiles:
            self._applied.pop(stopped, None)
            self._texts.pop(stopped, None)
        if not profiles:
            await self._notices.profiles_changed.wait()
            return
        files = await run_in_thread(lambda: self._files(profiles), name="profile files")
        await self._watch_files(files)

    async def _watch_files(self, files: Mapping[str, ProfileFile]) -> None:
        """Handle changes of files; return when other profiles may be active, or have files."""
        # A file that is gone may appear in the folder.
        paths = (self._store.folder, *(file.path for file in files.values()))
        signature = await run_in_thread(partial(file_signatures, paths), name="profile files")
        while not self._notices.profiles_changed.is_set():
            await self._handle_changes(files)
            await self._wait_for_change(paths, signature)
            latest = await run_in_thread(partial(file_signatures, paths), name="profile files")
            if latest[0] != signature[0]:
                return
            signature = latest

    async def _wait_for_change(self, paths: tuple[Path, ...], signature: Signature) -> None:
        """Wait until files differ from a signature or other profiles may be active."""
        waits: list[asyncio.Task[Any]] = [
            spawn(
                FILE_CHECKS.wait_for(lambda: paths, lambda: file_signatures(paths) != signature),
                name="profile files",
            ),
            spawn(self._notices.profiles_changed.wait(), name="active profiles"),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _snapshot(self) -> Snapshot:
        try:
            return await self._session.snapshot()
        except TuiForwardError:
            return Snapshot(version=0, at=0.0)  # the session is ending

    async def _active_profiles(self) -> set[str]:
        """Return the ids of active profiles; take over those of the previous session."""
        snapshot = await self._snapshot()
        active = {one.spec.profile for one in snapshot.forwards}
        active |= {one.spec.profile for one in snapshot.proxies}
        active.discard("")
        previous = self._saver.previous_profiles
        for profile in active & previous.keys():
            self._applied.setdefault(profile, previous.pop(profile))
        return active

    def _files(self, profiles: Iterable[str]) -> dict[str, ProfileFile]:
        """Return the files of profiles, searching the store for those not applied yet."""
        files = {}
        for profile in profiles:
            applied = self._applied.get(profile)
            if applied is not None:
                files[profile] = ProfileFile(applied.file, applied.team)
            elif Path(profile).is_absolute():
                files[profile] = ProfileFile(Path(profile), team=True)
            else:
                try:
                    files[profile] = self._store.find(profile)
                except TuiForwardError:
                    continue  # the file is gone; its forwards stay
        return files

    async def _handle_changes(self, files: Mapping[str, ProfileFile]) -> None:
        changed = await run_in_thread(lambda: self._changed(files), name="profile files")
        if not changed:
            return
        # A file that is half written or missing for a moment differs after this, and is handled
        # with its next change.
        await asyncio.sleep(_SETTLE_S)
        again = await run_in_thread(
            lambda: self._changed({one: files[one] for one in changed}), name="profile files"
        )
        for profile, content in changed.items():
            if again.get(profile) == content:
                self._texts[profile] = content.profile.text
                await self._handle_edit(profile, files[profile], content)

    def _changed(self, files: Mapping[str, ProfileFile]) -> dict[str, _Content]:
        """Return the content of files that differs from what was handled last."""
        contents = {profile: _read(file) for profile, file in files.items()}
        return {
            profile: content
            for profile, content in contents.items()
            if content.profile.text != self._texts.get(profile)
        }

    async def _handle_edit(self, profile: str, file: ProfileFile, content: _Content) -> None:
        if content.problem:
            self._report_problem(profile, f"{content.problem}; its forwards are unchanged")
            return
        try:
            # Parse this very text, because the trust check is about it. In a thread, because a
            # large file takes a while and this loop forwards bytes.
            text, foreign = content.profile.text, content.profile.foreign
            parse = partial(parse_profile, text, file.path, team=file.team, foreign=foreign)
            after = await run_in_thread(parse, name="profile files")
            await self._apply_edit(profile, file, content.profile, after)
        except ProfileError as error:
            hint = f" → {error.hint}" if error.hint else ""
            self._report_problem(profile, f"{_brief(error)}{hint}; its forwards are unchanged")
        except TuiForwardError as error:
            hint = f" → {error.hint}" if error.hint else ""
            self._report_problem(profile, f"the edit was not applied: {error}{hint}")

    async def _apply_edit(
        self, profile: str, file: ProfileFile, content: ProfileContent, after: Profile
    ) -> None:
        before = self._applied.get(profile)
        if before is None:  # the profile has just been started
            self._set_applied(profile, after)
            return
        snapshot = await self._snapshot()
        plan = plan_edit(before, after, snapshot.forwards, snapshot.proxies)
        if after.id != profile:
            self._report_problem(
                profile, f"was renamed to {after.name}; its forwards are unchanged"
            )
            return
        if plan and self._trust.needs_question(file.path, content):
            self._report_problem(
                profile,
                f"has changed; review and trust it: tui-forward up {shlex.quote(str(file.path))}",
            )
            return
        await validate_plan(self._session, plan, snapshot.forwards, snapshot.proxies)
        if not plan:
            self._set_applied(profile, after)
            return
        with self._saver.transition():
            self._set_applied(profile, after)
            await apply_plan(self._session, after, plan, wait_s=None)
        lines = list(plan.lines())
        more = f", and {len(lines) - _MAX_CHANGES} more" if len(lines) > _MAX_CHANGES else ""
        self._notices.add(self._name(profile), f"{', '.join(lines[:_MAX_CHANGES])}{more}")

    def _set_applied(self, profile: str, applied: Profile) -> None:
        self._applied[profile] = applied
        self._saver.mark_dirty()

    def _report_problem(self, profile: str, text: str) -> None:
        self._notices.add(self._name(profile), text, is_problem=True)

    def _name(self, profile: str) -> str:
        return self._applied[profile].name if profile in self._applied else profile


def _read(file: ProfileFile) -> _Content:
    try:
        return _Content(file.content())
    except ProfileError as error:
        return _Content(ProfileContent(str(error), foreign=""), _brief(error))


def _brief(error: ProfileError) -> str:
    """Return the first problem, with the name of the file instead of its path."""
    first = error.problems[0]
    return f"{first.file.name}:{first.line}:{first.column}: {first.message}"
