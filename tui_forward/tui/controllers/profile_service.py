"""Profiles for the dashboard: found, compared with what is on, carried out, written.

Reading them takes a library that takes a while to load: this module is loaded when somebody
asks for profiles.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tui_forward.common.arguments import is_loopback
from tui_forward.common.formatting import pluralize
from tui_forward.daemon.profile_apply import apply_plan, plan_profile
from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import Forward
from tui_forward.profiles.parser import ProfileError, parse_profile
from tui_forward.profiles.plan import ApplyMode, Plan, forwards_of, make_plan, spec_with_bound_port
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.serializer import serialize_profile
from tui_forward.profiles.store import ProfileFile, ProfileStore
from tui_forward.profiles.trust import TrustStore
from tui_forward.session import Session
from tui_forward.tui.screens.profile import ProfileView
from tui_forward.tui.viewmodel.picker_options import PickerOption

_WAIT_S = 30.0  # for what others need
_EDITOR = "vi"


@dataclass(frozen=True, slots=True)
class ProfileEntry:
    """A file with a profile, or with what should be one."""

    file: ProfileFile
    text: str
    profile: Profile | None
    trouble: ProfileError | None = None

    @property
    def name(self) -> str:
        """What it is called, as far as that can be told."""
        return self.profile.name if self.profile is not None else self.file.path.stem


class ProfileService:
    """Does with profiles what the dashboard wants.

    Args:
        session: Where forwards are.
        store: Where profiles are.
        trust: Which of somebody else's were agreed to.
    """

    def __init__(self, session: Session, store: ProfileStore, trust: TrustStore) -> None:
        self._session = session
        self._store = store
        self._trust = trust

    async def found(self) -> dict[str, ProfileEntry]:
        """All profiles, by path.

        Raises:
            ConfigError: The folder cannot be looked into.
        """
        return await asyncio.to_thread(self._found)

    def _found(self) -> dict[str, ProfileEntry]:
        return {str(file.path): self._read(file) for file in self._store.files()}

    @staticmethod
    def _read(file: ProfileFile) -> ProfileEntry:
        text = ""
        try:
            text = file.text()
            return ProfileEntry(file, text, parse_profile(text, file.path, team=file.team))
        except ProfileError as error:
            return ProfileEntry(file, text, None, error)

    @staticmethod
    def options(
        found: Mapping[str, ProfileEntry], forwards: Sequence[Forward]
    ) -> list[PickerOption]:
        """For the picker."""
        options = []
        for key, one in found.items():
            if one.profile is None:
                options.append(PickerOption(key, one.name, "wrong"))
                continue
            on = len(forwards_of(one.profile, forwards))
            what = pluralize(len(one.profile.forwards), "forward")
            detail = f"{what}, {on} on" if on else what
            if one.file.team:
                detail += ", team"
            options.append(PickerOption(key, one.name, detail, current=bool(on)))
        return options

    def view(self, found: ProfileEntry, forwards: Sequence[Forward]) -> ProfileView:
        """What the person is shown before anything is done."""
        profile, file = found.profile, str(found.file.path)
        if profile is None:
            faults = found.trouble.problems if found.trouble is not None else ()
            lines = [f"line {one.line}, column {one.column}: {one.message}" for one in faults]
            return ProfileView(found.name, file, "It cannot be used:", lines, wrong=True)
        open_on = {
            one.name: ", ".join(a for a in one.spec.addresses if not is_loopback(a))
            for one in profile.forwards
        }
        width = max((len(one.name) for one in profile.forwards), default=0)
        return ProfileView(
            name=profile.name,
            file=file,
            about=profile.description,
            lines=[f"{one.name:{width}}  {one.spec.target}" for one in profile.forwards],
            exposed=[
                f"{name} is OPEN TO OTHER MACHINES on {where}"
                for name, where in open_on.items()
                if where
            ],
            changes={one: list(make_plan(profile, forwards, one).lines()) for one in ApplyMode},
            on=len(forwards_of(profile, forwards)),
            is_untrusted=found.file.team
            and not self._trust.is_trusted(found.file.path, found.text),
        )

    async def up(self, found: ProfileEntry, manner: ApplyMode, seen: Sequence[str]) -> Plan:
        """Make what is on fit it; the person has seen what that changes, and said yes.

        Returns:
            What had to be done.

        Raises:
            TuiForwardError: It cannot be done; as `apply`, or two want one port, or it would
                change something else by now.
        """
        profile = found.profile
        assert profile is not None
        wanted = await plan_profile(self._session, profile, manner)
        if list(wanted.lines()) != list(seen):
            raise UsageError(
                "nothing was done: what is on has changed meanwhile",
                hint=f"look again at what {found.name} would change",
            )
        if found.file.team:
            await asyncio.to_thread(self._trust.trust, found.file.path, found.text)
        needed = any(one.needs for one in profile.forwards)
        await apply_plan(self._session, profile, wanted, wait_s=_WAIT_S if needed else None)
        return wanted

    async def save(self, name: str, forwards: Sequence[Forward]) -> Path:
        """Write what is on as a profile of the person's own.

        Raises:
            ProfileError: There is one of that name, and it cannot be understood.
            ConfigError: The name is none, or the file cannot be written.
        """
        return await asyncio.to_thread(self._save, name, forwards)

    def _save(self, name: str, forwards: Sequence[Forward]) -> Path:
        if Path(name).name != name or name.startswith("."):
            raise ConfigError(f'"{name}" cannot be the name of a profile', hint="use letters")
        path = self._store.path_for(name)
        before = ProfileFile(path).text() if path.exists() else ""
        self._store.write(
            path, serialize_profile(map(spec_with_bound_port, forwards), path, before)
        )
        return path


def editor_command(environ: Mapping[str, str], path: Path) -> list[str]:
    """The person's editor, for a file.

    Raises:
        ConfigError: What is set as the editor cannot be understood.
    """
    editor = environ.get("VISUAL") or environ.get("EDITOR") or _EDITOR
    try:
        return [*shlex.split(editor), str(path)]
    except ValueError as error:
        raise ConfigError(f"$EDITOR cannot be understood: {editor}", hint=str(error)) from error
