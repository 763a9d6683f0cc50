"""Difference between a profile and the active forwards. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from tui_forward.common.access_options import describe_access_options
from tui_forward.common.arguments import format_duration_arg
from tui_forward.model import Forward, ForwardSpec, ProxyInfo, ProxySpec
from tui_forward.profiles.profile import Profile, ProfileForward
from tui_forward.profiles.proxy import (
    bound_spec,
    describe_proxy_changes,
    find_proxy,
    proxy_details,
)


class ApplyMode(StrEnum):
    """How a profile is applied to the active forwards."""

    APPLY = "apply"  # its forwards become as in the profile; other forwards stay
    MERGE = "merge"  # missing forwards are added, active ones stay unchanged
    REPLACE = "replace"  # its forwards become as in the profile; others and proxies are stopped


class Change(msgspec.Struct, frozen=True):
    """An active forward, and the definition that replaces it."""

    before: Forward
    after: ProfileForward


class Plan(msgspec.Struct, frozen=True):
    """Changes that apply a profile."""

    added: tuple[ProfileForward, ...] = ()  # forwards to start, in the order of their dependencies
    changed: tuple[Change, ...] = ()  # forwards to restart with another definition
    removed: tuple[Forward, ...] = ()  # forwards to stop because the profile no longer has them
    others: tuple[Forward, ...] = ()  # forwards to stop that do not belong to this profile
    same: tuple[Forward, ...] = ()  # forwards of the profile that stay unchanged
    proxy: ProxySpec | None = None  # to start
    stopped_proxy: ProxyInfo | None = None  # of the profile, also if another one replaces it
    other_proxies: tuple[ProxyInfo, ...] = ()  # to stop; they do not belong to this profile

    def __bool__(self) -> bool:
        """Return whether there are changes."""
        has_forwards = self.added or self.changed or self.removed or self.others
        return bool(has_forwards or self.proxy or self.proxies_to_stop)

    @property
    def stopped(self) -> tuple[Forward, ...]:
        """Return the active forwards that will not be active afterwards."""
        return self.removed + self.others

    @property
    def to_stop(self) -> tuple[Forward, ...]:
        """Return all forwards to stop, also those to restart; their ports become free."""
        return self.stopped + tuple(change.before for change in self.changed)

    @property
    def to_start(self) -> tuple[ProfileForward, ...]:
        """Return all forwards to start."""
        return self.added + tuple(change.after for change in self.changed)

    @property
    def stopped_proxies(self) -> tuple[ProxyInfo, ...]:
        """Return the active proxies that will not be active afterwards, nor another one instead."""
        return self.proxies_to_stop if self.proxy is None else self.other_proxies

    @property
    def proxies_to_stop(self) -> tuple[ProxyInfo, ...]:
        """Return all proxies to stop; their ports become free."""
        own = (self.stopped_proxy,) if self.stopped_proxy is not None else ()
        return own + self.other_proxies

    @property
    def new_proxy_port(self) -> int:
        """Return the local port that the proxy needs and does not have yet; 0 if none."""
        if self.proxy is None:
            return 0
        free = {bound_spec(one).port for one in self.proxies_to_stop}
        return self.proxy.port if self.proxy.port not in free else 0

    def lines(self) -> Iterator[str]:
        """Yield one line of text for each forward that changes, and for the proxy if it does."""
        if self.proxy is not None and self.stopped_proxy is not None:
            changes = describe_proxy_changes(bound_spec(self.stopped_proxy), self.proxy)
            yield f"~ cluster proxy {', '.join(changes)}"
        elif self.proxy is not None:
            yield f"+ cluster proxy {'; '.join(proxy_details(self.proxy))}"
        elif self.stopped_proxy is not None:
            yield "- cluster proxy"
        for forward in self.added:
            access = describe_access_options(forward.spec.target.options)
            with_access = f" with {access}" if access else ""
            yield f"+ {forward.name} {forward.spec.target}{with_access}"
        for change in self.changed:
            before, after = change.before.spec, change.after.spec
            yield f"~ {change.after.name} {', '.join(describe_changes(before, after))}"
        for removed in self.removed:
            yield f"- {removed.spec.name} {removed.spec.target}"
        for other in self.others:
            yield f"- {qualified_name(other)}"
        for proxy in self.other_proxies:
            yield f"- {qualified_proxy_name(proxy)}"


def qualified_name(forward: Forward) -> str:
    """Return the name of a forward together with its profile."""
    spec = forward.spec
    return f"{spec.name} of profile {spec.profile}" if spec.profile else str(spec.target)


def qualified_proxy_name(proxy: ProxyInfo) -> str:
    """Return the name of a proxy together with its profile."""
    of = f" of profile {proxy.spec.profile}" if proxy.spec.profile else f" of {proxy.spec.context}"
    return f"cluster proxy {proxy.id}{of}"


def make_plan(
    profile: Profile, forwards: Iterable[Forward], mode: ApplyMode = ApplyMode.APPLY,
    proxies: Iterable[ProxyInfo] | None = None,
) -> Plan:  # fmt: skip
    """Compare a profile with all active forwards; those that a proxy has opened do not count.

    `proxies` are all active ones; if None, none changes.
    """
    plan = _plan_forwards(profile, forwards, mode)
    if proxies is None:
        return plan
    proxies = tuple(proxies)
    active = find_proxy(profile.id, profile.proxy, proxies)
    if mode is ApplyMode.REPLACE:
        plan = replace(plan, other_proxies=tuple(one for one in proxies if one is not active))
    if active is None:
        return replace(plan, proxy=profile.proxy)
    is_equal = profile.proxy and not describe_proxy_changes(bound_spec(active), profile.proxy)
    if is_equal or mode is ApplyMode.MERGE:
        return plan
    return replace(plan, proxy=profile.proxy, stopped_proxy=active)


def _plan_forwards(profile: Profile, forwards: Iterable[Forward], mode: ApplyMode) -> Plan:
    forwards = tuple(one for one in forwards if not one.spec.proxy)
    active = {one.spec.name: one for one in forwards if one.spec.profile == profile.id}
    adoptable = find_adoptable(profile, forwards)
    added, changed, same = [], [], []
    for entry in profile.in_order():
        forward = active.pop(entry.name, None)
        if forward is None and entry.name in adoptable:
            same.append(adoptable[entry.name])
        elif forward is None:
            added.append(entry)
        elif describe_changes(forward.spec, entry.spec):
            changed.append(Change(forward, entry))
        else:
            same.append(forward)
    if mode is ApplyMode.MERGE:
        same += [*(change.before for change in changed), *active.values()]
        return Plan(added=tuple(added), same=tuple(same))
    others: list[Forward] = []
    if mode is ApplyMode.REPLACE:
        same_ids = {one.id for one in same}
        others = [
            one for one in forwards if one.spec.profile != profile.id and one.id not in same_ids
        ]
    return Plan(tuple(added), tuple(changed), tuple(active.values()), tuple(others), tuple(same))


def forwards_of(profile: Profile, forwards: Iterable[Forward]) -> dict[str, Forward]:
    """Return the active forwards of a profile, started by it or adopted, by name."""
    forwards = tuple(forwards)
    active = {one.spec.name: one for one in forwards if one.spec.profile == profile.id}
    return active | find_adoptable(profile, forwards)


def find_adoptable(profile: Profile, forwards: Iterable[Forward]) -> dict[str, Forward]:
    """Return forwards without a profile that equal entries of this one, by entry name.

    So forwards that were saved as a profile belong to it without a restart.
    """
    forwards = tuple(forwards)
    taken = {one.spec.name for one in forwards if one.spec.profile == profile.id}
    free = [one for one in forwards if not one.spec.profile]
    found: dict[str, Forward] = {}
    for entry in profile.forwards:
        if entry.name in taken:
            continue
        for one in free:
            if not describe_changes(spec_with_bound_port(one), entry.spec):
                found[entry.name] = one
                free.remove(one)
                break
    return found


def spec_with_bound_port(forward: Forward) -> ForwardSpec:
    """Return the spec of a forward with its actual local port."""
    if not forward.listening:
        return forward.spec
    return msgspec.structs.replace(forward.spec, local_port=forward.listening[0].port)


def plan_edit(
    before: Profile, after: Profile, forwards: Iterable[Forward], proxies: Iterable[ProxyInfo] = ()
) -> Plan:
    """Plan the effect of an edited profile on all active forwards.

    Entries that the edit did not change are not touched, so a forward that the user stopped stays
    stopped; so does the proxy.
    """
    previous = {one.name: one for one in before.forwards}
    active = {one.spec.name: one for one in forwards if one.spec.profile == after.id}
    added, changed = [], []
    for entry in after.in_order():
        old, forward = previous.pop(entry.name, None), active.get(entry.name)
        if old is None and forward is None:
            added.append(entry)
        elif (
            forward is not None
            and (old is None or old.spec != entry.spec)
            and describe_changes(forward.spec, entry.spec)
        ):
            changed.append(Change(forward, entry))
    removed = [active[name] for name in previous if name in active]
    plan = Plan(tuple(added), tuple(changed), tuple(removed))
    touched = {one.id for one in plan.to_stop}
    same = tuple(one for one in active.values() if one.id not in touched)
    plan = replace(plan, same=same)
    if before.proxy == after.proxy:
        return plan
    proxy = find_proxy(after.id, after.proxy, proxies)
    if proxy is None:
        return plan if before.proxy is not None else replace(plan, proxy=after.proxy)
    if after.proxy is not None and not describe_proxy_changes(bound_spec(proxy), after.proxy):
        return plan
    return replace(plan, proxy=after.proxy, stopped_proxy=proxy)


def describe_changes(before: ForwardSpec, after: ForwardSpec) -> list[str]:
    """Describe each difference between two specs.

    Fields that the profile leaves open are never different: current context and namespace,
    any free local port.
    """
    target = msgspec.structs.replace(
        after.target,
        context=after.target.context or before.target.context,
        namespace=after.target.namespace or before.target.namespace,
    )
    changes = []
    if before.target.context != target.context:
        changes.append(f"context {before.target.context} → {target.context}")
    if before.target.options != target.options:
        old, new = (describe_access_options(one.options) for one in (before.target, target))
        changes.append(f"access {old or 'none'} → {new or 'none'}")
    if str(before.target) != str(target):
        changes.append(f"{before.target} → {target}")
    if before.target.pin != target.pin:
        changes.append("pinned" if target.pin else "follows its owner")
    if before.target.balance is not target.balance:
        changes.append(f"balance {before.target.balance} → {target.balance}")
    if after.local_port not in (None, 0, before.local_port):
        changes.append(f"local port {before.local_port or 'any'} → {after.local_port or 'any'}")
    for field, label in _LABELS.items():
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            changes.append(f"{label} {_format_value(old)} → {_format_value(new)}")
    return changes


def _format_value(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return format_duration_arg(value) if isinstance(value, float) else str(value) or "none"


_LABELS = {
    "addresses": "address",
    "transport": "transport",
    "queue_timeout_s": "queue_timeout",
    "half_close_timeout_s": "half_close_timeout",
    "preconnect": "preconnect",
    "preconnect_age_s": "preconnect_age",
    "label": "label",
}
