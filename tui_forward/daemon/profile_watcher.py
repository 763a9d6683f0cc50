"""Profiles that are on follow their files: an edit is checked, then carried out.

Only what the edit is about is touched. A bad edit changes nothing, and is told of with its place;
one of somebody else's profile waits until the person has agreed to it. What was edited while no
engine ran is an edit like any other: what was carried out last is kept with the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import watchfiles

from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.profile_apply import apply_plan, validate_plan
from tui_forward.daemon.session_store import SessionSaver
from tui_forward.errors import TuiForwardError
from tui_forward.model import Forward
from tui_forward.profiles.parser import ProfileError, parse_profile
from tui_forward.profiles.plan import plan_edit
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.store import ProfileFile, ProfileStore
from tui_forward.profiles.trust import TrustStore
from tui_forward.session import Session

_log = logging.getLogger(__name__)

_DEBOUNCE_MS = 100  # an editor writes a file in several steps
_SETTLE_S = 0.05  # what is seen twice, so far apart, is meant
_LOOK_AGAIN_MS = 1000  # whether other profiles are on; also where files cannot be watched
_LONGEST = 5  # lines of a difference that are told


@dataclass(frozen=True, slots=True)
class _Content:
    """What a file says.

    Attributes:
        text: All of it, or what keeps it from being read.
        fault: What is wrong with the file as such.
    """

    text: str
    fault: str = ""


class ProfileWatcher:
    """Watches the files of profiles that are on.

    Args:
        session: Whose forwards.
        store: Where profiles are.
        trust: Which of somebody else's were agreed to.
        notices: Gets what was done and what could not be.
        keeper: Keeps what was carried out last, for the next engine.
    """

    def __init__(
        self,
        session: Session,
        store: ProfileStore,
        trust: TrustStore,
        notices: NoticeLog,
        keeper: SessionSaver,
    ) -> None:
        self._session = session
        self._store = store
        self._trust = trust
        self._notices = notices
        self._keeper = keeper
        self._known = keeper.profiles
        self._texts: dict[str, str] = {}  # as they were judged last, good or bad

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            try:
                await self._follow()
            except (OSError, RuntimeError) as error:  # no more watches, or a folder is gone
                _log.info("profiles are looked at once a second: %s", error)
            except Exception:  # noqa: BLE001 - a bug must not end what others rely on
                _log.exception("following profiles failed")
            await asyncio.sleep(_LOOK_AGAIN_MS / 1000)

    async def _follow(self) -> None:
        """Follow those that are on, until others are."""
        self._notices.began.clear()
        profiles = await self._on()
        for gone in {*self._known, *self._texts} - profiles:
            self._known.pop(gone, None)
            self._texts.pop(gone, None)
        if not profiles:
            await self._notices.began.wait()
            profiles = await self._on()
        files = await asyncio.to_thread(self._files, profiles)
        if files:
            await self._look(files)
            await self._watch(files)

    async def _watch(self, files: Mapping[str, ProfileFile]) -> None:
        """Look whenever something may have changed; return when other profiles are on.

        Raises:
            OSError, RuntimeError: The folders cannot be watched.
        """
        folders = await asyncio.to_thread(_folders, files.values())
        if not folders:
            raise FileNotFoundError("their folders are gone")
        async for _ in watchfiles.awatch(
            *folders, recursive=False, debounce=_DEBOUNCE_MS, rust_timeout=_LOOK_AGAIN_MS,
            yield_on_timeout=True, ignore_permission_denied=True,
        ):  # fmt: skip
            now = await asyncio.to_thread(self._files, await self._on())
            if now.keys() != files.keys():
                return
            await self._look(files)

    async def _forwards(self) -> tuple[Forward, ...]:
        try:
            return (await self._session.snapshot()).forwards
        except TuiForwardError:
            return ()  # it is ending

    async def _on(self) -> set[str]:
        """Profiles that are on; what the session before knew of them is known from now on."""
        on = {one.spec.profile for one in await self._forwards() if one.spec.profile}
        for profile in on & self._keeper.before.keys():
            self._known.setdefault(profile, self._keeper.before.pop(profile))
        return on

    def _files(self, profiles: Iterable[str]) -> dict[str, ProfileFile]:
        """The files of profiles; those known already need not be looked for."""
        found = {}
        for profile in profiles:
            known = self._known.get(profile)
            if known is not None:
                found[profile] = ProfileFile(known.file, known.team)
            elif Path(profile).is_absolute():
                found[profile] = ProfileFile(Path(profile), team=True)
            else:
                try:
                    found[profile] = self._store.find(profile)
                except TuiForwardError:
                    continue  # its file is gone; the forwards stay
        return found

    async def _look(self, files: Mapping[str, ProfileFile]) -> None:
        changed = await asyncio.to_thread(self._changed, files)
        if not changed:
            return
        # What is half written, or away for a moment, is another one by then, and is seen again.
        await asyncio.sleep(_SETTLE_S)
        again = await asyncio.to_thread(self._changed, {one: files[one] for one in changed})
        for profile, content in changed.items():
            if again.get(profile) == content:
                self._texts[profile] = content.text
                await self._judge(profile, files[profile], content)

    def _changed(self, files: Mapping[str, ProfileFile]) -> dict[str, _Content]:
        """What is in files that say something else than they did when they were judged."""
        found = {profile: _content(file) for profile, file in files.items()}
        return {
            profile: content
            for profile, content in found.items()
            if content.text != self._texts.get(profile)
        }

    async def _judge(self, profile: str, file: ProfileFile, content: _Content) -> None:
        if content.fault:
            self._tell(profile, f"{content.fault}; its forwards stay as they are", bad=True)
            return
        try:
            # Of this very text: what the person agreed to is not to be another one by now. In a
            # thread, for a large file takes a while, and bytes flow through this one.
            after = await asyncio.to_thread(parse_profile, content.text, file.path, team=file.team)
            await self._carry_out(profile, file, content.text, after)
        except ProfileError as error:
            more = f" → {error.hint}" if error.hint else ""
            self._tell(profile, f"{_brief(error)}{more}; nothing was changed", bad=True)
        except TuiForwardError as error:
            more = f" → {error.hint}" if error.hint else ""
            self._tell(profile, f"the edit is not carried out: {error}{more}", bad=True)

    async def _carry_out(self, profile: str, file: ProfileFile, text: str, after: Profile) -> None:
        before = self._known.get(profile)
        if before is None:  # it was just switched on
            self._know(profile, after)
            return
        forwards = await self._forwards()
        found = plan_edit(before, after, forwards)
        if after.id != profile:
            self._tell(profile, f"is called {after.name} now; its forwards stay", bad=True)
            return
        if found and file.team and not self._trust.is_trusted(file.path, text):
            what = f"has changed; look at it and agree: tui-forward up {file.path}"
            self._tell(profile, what, bad=True)
            return
        await validate_plan(self._session, found, forwards)
        if not found:
            self._know(profile, after)
            return
        with self._keeper.between():
            self._know(profile, after)
            await apply_plan(self._session, after, found, wait_s=None)
        lines = list(found.lines())
        more = f", and {len(lines) - _LONGEST} more" if len(lines) > _LONGEST else ""
        self._tell(profile, f"{', '.join(lines[:_LONGEST])}{more}")

    def _know(self, profile: str, as_carried_out: Profile) -> None:
        self._known[profile] = as_carried_out
        self._keeper.check_profiles()

    def _tell(self, profile: str, text: str, *, bad: bool = False) -> None:
        name = self._known[profile].name if profile in self._known else profile
        self._notices.add(name, text, bad=bad)


def _folders(files: Iterable[ProfileFile]) -> set[Path]:
    """Where files are, and where links lead to; what lies elsewhere is looked at once a second."""
    paths = []
    for file in files:
        paths.append(file.path)
        with contextlib.suppress(OSError, RuntimeError):  # links that lead to each other
            paths.append(file.path.resolve())
    return {path.parent for path in paths if path.parent.is_dir()}


def _content(file: ProfileFile) -> _Content:
    try:
        return _Content(file.text())
    except ProfileError as error:
        return _Content(str(error), _brief(error))


def _brief(error: ProfileError) -> str:
    """The first fault, with the name of the file instead of its path."""
    first = error.problems[0]
    return f"{first.file.name}:{first.line}:{first.column}: {first.message}"
