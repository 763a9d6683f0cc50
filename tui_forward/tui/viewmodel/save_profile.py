"""What saving the active forwards as a profile would do, while its name is typed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tui_forward.common.formatting import pluralize
from tui_forward.profiles.profile_names import find_name_problem

_MAX_NAMED: Final = 4


class ExistingProfile(msgspec.Struct, frozen=True):
    """A profile that there is already."""

    forwards: tuple[str, ...] = ()  # their names
    has_proxy: bool = False


class SaveFacts(msgspec.Struct, frozen=True):
    """What is saved, and what there is already."""

    count: int  # forwards that are saved
    contexts: tuple[str, ...] = ()  # of what is saved, as they are shown
    left_out: tuple[str, ...] = ()  # for each other forward and proxy, why it is not
    folder: str = ""  # of the profiles, as it is shown
    existing: Mapping[str, ExistingProfile | None] = {}  # None for a file that is invalid
    suggestion: str = ""  # the name of the profile that all these forwards belong to
    proxy: str = ""  # address of the proxy that is saved

    @property
    def has_content(self) -> bool:
        """Whether there is anything to save."""
        return bool(self.count or self.proxy)


class SaveCheck(msgspec.Struct, frozen=True):
    """What a typed name leads to."""

    text: str
    is_problem: bool = False


def describe_saved(facts: SaveFacts) -> str:
    """Return `14 forwards and the cluster proxy 127.0.0.1:1080 of staging, prod-eu!`."""
    where = f" of {_list(facts.contexts)}" if facts.contexts else ""
    proxy = f"the cluster proxy {facts.proxy}" if facts.proxy else ""
    return f"{describe_content(facts.count, proxy)}{where}"


def describe_content(count: int, proxy: str) -> str:
    """Return `2 forwards`, `a proxy`, or `2 forwards and a proxy`; `proxy` is "" for none."""
    forwards = pluralize(count, "forward") if count or not proxy else ""
    return " and ".join(filter(None, (forwards, proxy)))


def describe_left_out(facts: SaveFacts) -> str:
    """Return which forwards are not saved, and why; "" if all are."""
    if not facts.left_out:
        return ""
    more = f", and {len(facts.left_out) - 1} more" if len(facts.left_out) > 1 else ""
    return f"Not saved: {facts.left_out[0]}{more}"


def check_save(name: str, facts: SaveFacts) -> SaveCheck:
    """Return what saving under a name does, or why it cannot."""
    name = name.strip()
    if not facts.has_content:
        return SaveCheck("no forward can be saved", is_problem=True)
    if problem := find_name_problem(name):
        return SaveCheck(problem, is_problem=True)
    file = f"{facts.folder}/{name}.yaml"
    if name not in facts.existing:
        return SaveCheck(f"New file {file}")
    existing = facts.existing[name]
    if existing is None:
        return SaveCheck(f"{file} exists and is invalid: P, then e, edits it", is_problem=True)
    if not existing.forwards and not existing.has_proxy:
        return SaveCheck(f"Replaces {file}, which has no forwards")
    content = describe_content(len(existing.forwards), "the proxy" if existing.has_proxy else "")
    names = f": {_list(existing.forwards)}" if existing.forwards else ""
    return SaveCheck(f"Replaces {content} in {file}{names}. Comments stay.")


def _list(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
