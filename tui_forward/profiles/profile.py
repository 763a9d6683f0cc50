"""What a profile says."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from tui_forward.model import ForwardSpec

_NO_LETTER = re.compile(r"[^A-Za-z0-9]+")


class ProfileForward(msgspec.Struct, frozen=True, kw_only=True):
    """One forward of a profile.

    Attributes:
        spec: As it is started; its `name` and `profile` say where it comes from. An empty context
            or namespace is the current one.
        env: What the names of its environment variables begin with: `DB` makes `DB_PORT`.
        needs: Names of forwards that are to be ready before this one is begun.
    """

    spec: ForwardSpec
    env: str
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Unique in its profile."""
        return self.spec.name


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Forwards that are switched on and off together.

    Attributes:
        name: What people call it.
        file: Where it was read.
        team: It belongs to a working tree, and may be somebody else's.
        description: A line about it.
        forwards: In the order of the file.
    """

    name: str
    file: Path
    team: bool = False
    description: str = ""
    forwards: tuple[ProfileForward, ...] = ()

    @property
    def id(self) -> str:
        """What its forwards carry as `ForwardSpec.profile`."""
        return profile_id(self.name, self.file, team=self.team)

    def in_order(self) -> list[ProfileForward]:
        """Each behind those it needs, else as in the file."""
        done: dict[str, ProfileForward] = {}
        waiting = list(self.forwards)
        while waiting:
            free = next((one for one in waiting if done.keys() >= set(one.needs)), waiting[0])
            waiting.remove(free)
            done[free.name] = free
        return list(done.values())


def profile_id(name: str, file: Path, *, team: bool) -> str:
    """Profiles of a person's own have names; of working trees there may be many of one name."""
    return str(file) if team else name


def env_prefix(name: str) -> str:
    """`my-db` as the beginning of a variable's name: `MY_DB`."""
    prefix = _NO_LETTER.sub("_", name).strip("_").upper()
    return f"_{prefix}" if prefix[:1].isdigit() else prefix
