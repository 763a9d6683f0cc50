"""Profiles that are on follow their files: an edit is checked, then carried out.

Only what the edit is about is touched. A bad edit changes nothing, and is told of with its place;
one of somebody else's profile waits until the person has agreed to it. What was edited while no
engine ran is an edit like any other: what was carried out last is kept with the session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import watchfiles

from tui_forward.agent.applying import apply, check_ports
from tui_forward.agent.notices import Notices
from tui_forward.agent.saved import Keeper
from tui_forward.errors import TuiForwardError
from tui_forward.model import Forward
from tui_forward.profiles.plan import edits
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.reading import ProfileError, read_profile
from tui_forward.profiles.store import ProfileFile, ProfileStore
from tui_forward.profiles.trust import Trust
from tui_forward.session import Session

_log = logging.getLogger(__name__)

_DEBOUNCE_MS = 100  # an editor writes a file in several steps
_LOOK_AGAIN_MS = 1000  # whether other profiles are on; also where files cannot be watched
_LONGEST = 5  # lines of a difference that are told


class LiveProfiles:
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
        trust: Trust,
        notices: Notices,
        keeper: Keeper,
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
        # Also where links lead to; what lies elsewhere is looked at once a second.
        paths = [path for one in files.values() for path in (one.path, one.path.resolve())]
        folders = {path.parent for path in paths if path.parent.is_dir()}
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
        for profile, file in files.items():
            try:
                text = await asyncio.to_thread(file.text)
            except ProfileError as error:
                text = f"{_brief(error)}; its forwards stay as they are"
                self._tell_once(profile, text, str(error))
                continue
            if self._texts.get(profile) == text:
                continue
            self._texts[profile] = text
            try:
                await self._judge(profile, file, text)
            except ProfileError as error:
                more = f" → {error.hint}" if error.hint else ""
                self._tell(profile, f"{_brief(error)}{more}; nothing was changed", bad=True)
            except TuiForwardError as error:
                more = f" → {error.hint}" if error.hint else ""
                self._tell(profile, f"the edit is not carried out: {error}{more}", bad=True)

    async def _judge(self, profile: str, file: ProfileFile, text: str) -> None:
        # Of this very text: what the person agreed to is not to be another one by now.
        after = read_profile(text, file.path, team=file.team)
        before = self._known.get(profile)
        if before is None:  # it was just switched on
            self._know(profile, after)
            return
        forwards = await self._forwards()
        found = edits(before, after, forwards)
        if after.id != profile:
            self._tell(profile, f"is called {after.name} now; its forwards stay", bad=True)
            return
        if found and file.team and not self._trust.is_agreed(file.path, text):
            what = f"has changed; look at it and agree: tui-forward up {file.path}"
            self._tell(profile, what, bad=True)
            return
        check_ports(found, forwards)
        if not found:
            self._know(profile, after)
            return
        with self._keeper.between():
            self._know(profile, after)
            await apply(self._session, after, found, wait_s=None)
        lines = list(found.lines())
        more = f", and {len(lines) - _LONGEST} more" if len(lines) > _LONGEST else ""
        self._tell(profile, f"{', '.join(lines[:_LONGEST])}{more}")

    def _know(self, profile: str, as_carried_out: Profile) -> None:
        self._known[profile] = as_carried_out
        self._keeper.look()

    def _tell_once(self, profile: str, text: str, about: str) -> None:
        """Of a file that cannot be read, as long as it cannot."""
        if self._texts.get(profile) != about:
            self._texts[profile] = about
            self._tell(profile, text, bad=True)

    def _tell(self, profile: str, text: str, *, bad: bool = False) -> None:
        name = self._known[profile].name if profile in self._known else profile
        self._notices.tell(name, text, bad=bad)


def _brief(error: ProfileError) -> str:
    """The first fault, with the name of the file instead of its path."""
    first = error.problems[0]
    return f"{first.file.name}:{first.line}:{first.column}: {first.what}"
