"""What saving the active forwards as a profile would do, while its name is typed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tui_forward.common.formatting import pluralize
from tui_forward.profiles.profile_names import find_name_problem

_MAX_NAMED: Final = 4


class SaveFacts(msgspec.Struct, frozen=True):
    """What is saved, and what there is already."""

    count: int  # forwards that are saved
    contexts: tuple[str, ...] = ()  # of these forwards, as they are shown
    left_out: tuple[str, ...] = ()  # for each other forward, why it is not
    folder: str = ""  # of the profiles, as it is shown
    # Names of the forwards of each profile; None for a file that is invalid.
    existing: Mapping[str, Sequence[str] | None] = {}
    suggestion: str = ""  # the name of the profile that all these forwards belong to


class SaveCheck(msgspec.Struct, frozen=True):
    """What a typed name leads to."""

    text: str
    is_problem: bool = False


def describe_saved(facts: SaveFacts) -> str:
    """Return `14 forwards of staging, prod-eu!`."""
    where = f" of {_list(facts.contexts)}" if facts.contexts else ""
    return f"{pluralize(facts.count, 'forward')}{where}"


def describe_left_out(facts: SaveFacts) -> str:
    """Return which forwards are not saved, and why; "" if all are."""
    if not facts.left_out:
        return ""
    more = f", and {len(facts.left_out) - 1} more" if len(facts.left_out) > 1 else ""
    return f"Not saved: {facts.left_out[0]}{more}"


def check_save(name: str, facts: SaveFacts) -> SaveCheck:
    """Return what saving under a name does, or why it cannot."""
    name = name.strip()
    if not facts.count:
        return SaveCheck("no forward can be saved", is_problem=True)
    if problem := find_name_problem(name):
        return SaveCheck(problem, is_problem=True)
    file = f"{facts.folder}/{name}.yaml"
    if name not in facts.existing:
        return SaveCheck(f"New file {file}")
    forwards = facts.existing[name]
    if forwards is None:
        return SaveCheck(f"{file} exists and is invalid: P, then e, edits it", is_problem=True)
    if not forwards:
        return SaveCheck(f"Replaces {file}, which has no forwards")
    return SaveCheck(
        f"Replaces {pluralize(len(forwards), 'forward')} in {file}: {_list(forwards)}. "
        "Comments stay."
    )


def _list(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
