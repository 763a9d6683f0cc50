"""Types of a profile."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from tui_forward.model import ForwardSpec, ProxySpec

_NON_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]+")


class ProfileForward(msgspec.Struct, frozen=True, kw_only=True):
    """One forward of a profile."""

    # The spec, with `name` and `profile` set. An empty context or namespace is the current one.
    spec: ForwardSpec
    env: str  # prefix of the names of its environment variables: `DB` gives `DB_PORT`
    needs: tuple[str, ...] = ()  # names of forwards that must be ready before this one starts

    @property
    def name(self) -> str:
        """Return the name, unique in its profile."""
        return self.spec.name


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Forwards, and a cluster proxy, that are started and stopped together."""

    name: str
    file: Path
    team: bool = False  # whether it belongs to a working tree, so that others may have written it
    description: str = ""  # one line
    forwards: tuple[ProfileForward, ...] = ()  # in the order of the file
    proxy: ProxySpec | None = None  # with `profile` set; context and namespace as of a forward

    @property
    def id(self) -> str:
        """Return the value of `ForwardSpec.profile` of its forwards."""
        return profile_id(self.name, self.file, team=self.team)

    def in_order(self) -> list[ProfileForward]:
        """Return the forwards in the order of their dependencies, otherwise of the file."""
        done: dict[str, ProfileForward] = {}
        waiting = list(self.forwards)
        while waiting:
            free = next((one for one in waiting if done.keys() >= set(one.needs)), waiting[0])
            waiting.remove(free)
            done[free.name] = free
        return list(done.values())


def profile_id(name: str, file: Path, *, team: bool) -> str:
    """Return the id: the name, or the path for a team profile, whose name may repeat."""
    return str(file) if team else name


def env_prefix(name: str) -> str:
    """Return the environment variable prefix of a name: `my-db` gives `MY_DB`."""
    prefix = _NON_ALPHANUMERIC.sub("_", name).strip("_").upper()
    return f"_{prefix}" if prefix[:1].isdigit() else prefix
