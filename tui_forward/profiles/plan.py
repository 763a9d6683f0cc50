"""What has to be done so that what is on is what a profile says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from tui_forward.common.arguments import format_duration_arg
from tui_forward.model import Forward, ForwardSpec
from tui_forward.profiles.profile import Profile, ProfileForward


class ApplyMode(StrEnum):
    """How what is on is made to fit a profile."""

    APPLY = "apply"  # its forwards become as it says; those of nobody and of others stay
    MERGE = "merge"  # what is missing is added, what is on is not touched
    REPLACE = "replace"  # it is on as it says, and nothing else is


@dataclass(frozen=True, slots=True)
class Change:
    """A forward that is on, and how it is to be."""

    before: Forward
    after: ProfileForward


@dataclass(frozen=True, slots=True)
class Plan:
    """The difference.

    Attributes:
        added: To be switched on, in the order in which they need each other.
        changed: To be switched off and on again, otherwise.
        removed: To be switched off, as they are in the profile no more.
        others: To be switched off, though they are not of this profile.
        same: Of the profile, and not to be touched.
    """

    added: tuple[ProfileForward, ...] = ()
    changed: tuple[Change, ...] = ()
    removed: tuple[Forward, ...] = ()
    others: tuple[Forward, ...] = ()
    same: tuple[Forward, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.added or self.changed or self.removed or self.others)

    @property
    def stopped(self) -> tuple[Forward, ...]:
        """What is on now and will not be."""
        return self.removed + self.others

    @property
    def to_stop(self) -> tuple[Forward, ...]:
        """What is switched off, be it to begin anew: their ports are free then."""
        return self.stopped + tuple(change.before for change in self.changed)

    @property
    def to_start(self) -> tuple[ProfileForward, ...]:
        """What is switched on."""
        return self.added + tuple(change.after for change in self.changed)

    def lines(self) -> Iterator[str]:
        """The difference in words, a line for each forward that is touched."""
        for forward in self.added:
            yield f"+ {forward.name} {forward.spec.target}"
        for change in self.changed:
            before, after = change.before.spec, change.after.spec
            yield f"~ {change.after.name} {', '.join(describe_changes(before, after))}"
        for gone in self.removed:
            yield f"- {gone.spec.name} {gone.spec.target}"
        for other in self.others:
            yield f"- {qualified_name(other)}"


def qualified_name(forward: Forward) -> str:
    """What a forward is called where several profiles meet."""
    spec = forward.spec
    return f"{spec.name} of profile {spec.profile}" if spec.profile else str(spec.target)


def make_plan(
    profile: Profile, forwards: Iterable[Forward], manner: ApplyMode = ApplyMode.APPLY
) -> Plan:
    """Compare a profile with what is on.

    Args:
        profile: As it is to be.
        forwards: All that are on.
        manner: What may become of those that are on.
    """
    forwards = tuple(forwards)
    on = {one.spec.name: one for one in forwards if one.spec.profile == profile.id}
    loose = find_adoptable(profile, forwards)
    added, changed, same = [], [], []
    for wanted in profile.in_order():
        forward = on.pop(wanted.name, None)
        if forward is None and wanted.name in loose:
            same.append(loose[wanted.name])
        elif forward is None:
            added.append(wanted)
        elif describe_changes(forward.spec, wanted.spec):
            changed.append(Change(forward, wanted))
        else:
            same.append(forward)
    if manner is ApplyMode.MERGE:
        same += [*(change.before for change in changed), *on.values()]
        return Plan(added=tuple(added), same=tuple(same))
    others: list[Forward] = []
    if manner is ApplyMode.REPLACE:
        kept = {one.id for one in same}
        others = [one for one in forwards if one.spec.profile != profile.id and one.id not in kept]
    return Plan(tuple(added), tuple(changed), tuple(on.values()), tuple(others), tuple(same))


def forwards_of(profile: Profile, forwards: Iterable[Forward]) -> dict[str, Forward]:
    """The forwards of a profile that are on, begun by it or adopted, by their names in it."""
    forwards = tuple(forwards)
    on = {one.spec.name: one for one in forwards if one.spec.profile == profile.id}
    return on | find_adoptable(profile, forwards)


def find_adoptable(profile: Profile, forwards: Iterable[Forward]) -> dict[str, Forward]:
    """Forwards of no profile that are just what this one says, by the names they have in it.

    So what was saved as a profile belongs to it, without being begun anew.
    """
    forwards = tuple(forwards)
    taken = {one.spec.name for one in forwards if one.spec.profile == profile.id}
    free = [one for one in forwards if not one.spec.profile]
    found: dict[str, Forward] = {}
    for wanted in profile.forwards:
        if wanted.name in taken:
            continue
        for one in free:
            if not describe_changes(spec_with_bound_port(one), wanted.spec):
                found[wanted.name] = one
                free.remove(one)
                break
    return found


def spec_with_bound_port(forward: Forward) -> ForwardSpec:
    """What was asked for, with the local port that it has become."""
    if not forward.listening:
        return forward.spec
    return msgspec.structs.replace(forward.spec, local_port=forward.listening[0].port)


def plan_edit(before: Profile, after: Profile, forwards: Iterable[Forward]) -> Plan:
    """What an edit of a profile means for what is on.

    What did not change in the file is not touched, whatever the person has done to it since:
    one that was stopped stays off.

    Args:
        before: As it was read before the edit.
        after: As it is now.
        forwards: All that are on.
    """
    was = {one.name: one for one in before.forwards}
    on = {one.spec.name: one for one in forwards if one.spec.profile == after.id}
    added, changed = [], []
    for wanted in after.in_order():
        old, forward = was.pop(wanted.name, None), on.get(wanted.name)
        if old is None and forward is None:
            added.append(wanted)
        elif (
            forward is not None
            and (old is None or old.spec != wanted.spec)
            and describe_changes(forward.spec, wanted.spec)
        ):
            changed.append(Change(forward, wanted))
    removed = [on[name] for name in was if name in on]
    found = Plan(tuple(added), tuple(changed), tuple(removed))
    touched = {one.id for one in found.to_stop}
    same = tuple(one for one in on.values() if one.id not in touched)
    return replace(found, same=same)


def describe_changes(before: ForwardSpec, after: ForwardSpec) -> list[str]:
    """What is otherwise, in words.

    What the profile leaves open is whatever it has become: the context and the namespace that
    were current, the local port that was free.
    """
    target = msgspec.structs.replace(
        after.target,
        context=after.target.context or before.target.context,
        namespace=after.target.namespace or before.target.namespace,
    )
    found = []
    if before.target.context != target.context:
        found.append(f"context {before.target.context} → {target.context}")
    if str(before.target) != str(target):
        found.append(f"{before.target} → {target}")
    if before.target.pin != target.pin:
        found.append("pinned" if target.pin else "follows its owner")
    if after.local_port not in (None, 0, before.local_port):
        found.append(f"local port {before.local_port or 'any'} → {after.local_port or 'any'}")
    for field, words in _WORDS.items():
        was, will_be = getattr(before, field), getattr(after, field)
        if was != will_be:
            found.append(f"{words} {_shown(was)} → {_shown(will_be)}")
    return found


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return format_duration_arg(value) if isinstance(value, float) else str(value) or "none"


_WORDS = {
    "addresses": "address",
    "transport": "transport",
    "queue_timeout_s": "queue_timeout",
    "half_close_timeout_s": "half_close_timeout",
    "label": "label",
}
