"""What applying a profile would do, a line for each forward. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from tui_forward.common.access_options import describe_access_options
from tui_forward.common.arguments import is_loopback, share_address
from tui_forward.common.formatting import pluralize
from tui_forward.common.local_addresses import find_port_user
from tui_forward.common.target_names import object_name, target_name
from tui_forward.model import (
    AccessOptions,
    Connection,
    ConnectionState,
    Context,
    Forward,
    ForwardSpec,
    PortCheck,
    ProxySpec,
    Target,
)
from tui_forward.profiles.plan import Plan, describe_changes, find_adoptable
from tui_forward.profiles.profile import Profile, ProfileForward
from tui_forward.profiles.proxy import ADDRESSES, bound_spec, describe_proxy_changes

_LOCALHOST: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_FIRST_UNPRIVILEGED: Final = 1024
_MAX_NAMED: Final = 3
_DEFAULT_NAMESPACE: Final = "default"

PortKey = tuple[tuple[str, ...], int]  # local addresses and port
ShownContext = Callable[[str, AccessOptions], str]  # returns the name of a context as it is shown


class Mark(StrEnum):
    """What happens to a forward."""

    ADDED = "+"
    CHANGED = "~"
    REMOVED = "-"
    SAME = "="


_WORDS: Final = {
    Mark.ADDED: "added", Mark.CHANGED: "changed", Mark.REMOVED: "removed", Mark.SAME: "unchanged",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PreviewFacts:
    """What a preview depends on besides the profile and the active forwards."""

    contexts: Sequence[Context] = ()  # name the current context and its namespace
    checks: Mapping[PortKey, PortCheck] = field(default_factory=dict)  # of local ports to use
    connections: Sequence[Connection] = ()
    shown_context: ShownContext = lambda context, _options: context


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """One forward; each text is empty if it is not known."""

    mark: Mark
    name: str  # in its profile
    context: str
    namespace: str
    target: str  # `deploy/api:http`
    local: str  # `:8080`, or the address where that is not localhost
    effect: str = ""
    conflict: str = ""  # who uses the local port: `used by java (48213)`

    @property
    def effect_text(self) -> str:
        """The effect, and what prevents it."""
        if not self.conflict:
            return self.effect
        return f"{self.effect} ✗ {self.conflict}" if self.effect else f"✗ port {self.conflict}"


@dataclass(frozen=True, slots=True)
class Preview:
    """All forwards that a profile concerns: those that change first."""

    lines: tuple[PreviewLine, ...] = ()
    closing: int = 0  # open connections of forwards that stop or restart
    closing_processes: tuple[str, ...] = ()  # names of the processes of these

    @property
    def has_changes(self) -> bool:
        """Whether anything would change."""
        return any(line.mark is not Mark.SAME for line in self.lines)

    @property
    def conflicts(self) -> int:
        """The number of local ports that others use."""
        return sum(bool(line.conflict) for line in self.lines)

    def counts(self) -> list[tuple[Mark | None, str]]:
        """Return how many forwards have each mark, without zeros; conflicts have none."""
        found = Counter(line.mark for line in self.lines)
        counts: list[tuple[Mark | None, str]] = [
            (mark, f"{found[mark]} {_WORDS[mark]}") for mark in Mark if found[mark]
        ]
        if self.conflicts:
            counts.append((None, pluralize(self.conflicts, "port conflict")))
        return counts

    def closing_text(self) -> str:
        """Return which connections would be closed, or ""."""
        if not self.closing:
            return ""
        names = list(self.closing_processes[:_MAX_NAMED])
        if len(self.closing_processes) > _MAX_NAMED:
            names.append("…")
        who = f" ({', '.join(names)})" if names else ""
        return f"Closes {pluralize(self.closing, 'open connection')}{who}."

    def conflict_text(self) -> str:
        """Return what the conflicts mean, or ""."""
        if not self.conflicts:
            return ""
        if self.conflicts == 1:
            return "1 local port is used; its forward will be blocked."
        return f"{self.conflicts} local ports are used; their forwards will be blocked."


def make_preview(
    profile: Profile, plan: Plan, forwards: Iterable[Forward], facts: PreviewFacts
) -> Preview:
    """Return what a plan does to the active forwards."""
    forwards = tuple(forwards)
    builder = _Builder(profile, plan, forwards, facts)
    proxies = {one.id for one in plan.proxies_to_stop}
    stopping = {one.id for one in plan.to_stop}
    stopping |= {one.id for one in forwards if one.spec.proxy in proxies}
    closing = [
        one
        for one in facts.connections
        if one.forward_id in stopping and one.state is not ConnectionState.CLOSED
    ]
    processes = dict.fromkeys(name for one in closing if (name := _process_name(one.process)))
    return Preview(tuple(builder.lines()), len(closing), tuple(processes))


def ports_to_check(plans: Iterable[Plan]) -> set[PortKey]:
    """Return the local addresses and ports that plans need."""
    plans = tuple(plans)
    ports = {
        (one.spec.addresses, one.spec.local_port)
        for plan in plans
        for one in plan.to_start
        if one.spec.local_port
    }
    return ports | {(ADDRESSES, port) for plan in plans if (port := plan.new_proxy_port)}


class _Builder:
    def __init__(
        self, profile: Profile, plan: Plan, forwards: Sequence[Forward], facts: PreviewFacts
    ) -> None:
        stopping = {one.id for one in plan.to_stop}
        self._profile = profile
        self._plan = plan
        self._facts = facts
        self._forwards = forwards
        self._staying = [one for one in forwards if one.id not in stopping]
        self._stopping = [one for one in forwards if one.id in stopping]
        self._freed_ports = {bound_spec(one).port for one in plan.proxies_to_stop}
        self._current = next((one for one in facts.contexts if one.current), None)

    def lines(self) -> Iterator[PreviewLine]:
        yield from self._proxy_lines()
        plan = self._plan
        for added in plan.added:
            conflict = self._conflict(added.spec)
            effect = self._added_effect(added) or ("" if conflict else "starts")
            yield self._line(Mark.ADDED, added.spec, format_local(added.spec), effect, conflict)
        for change in plan.changed:
            before, after = change.before.spec, change.after.spec
            effect = _changes(before, after)
            conflict = self._conflict(after)
            yield self._line(Mark.CHANGED, before, _active_local(change.before), effect, conflict)
        for removed in plan.removed:
            effect = "stops; no longer in the profile"
            yield self._active_line(Mark.REMOVED, removed, effect)
        for other in plan.others:
            of = f"of profile {other.spec.profile}" if other.spec.profile else "not in the profile"
            yield self._active_line(Mark.REMOVED, other, f"stops; {of}")
        for proxy in plan.other_proxies:
            of = f"of profile {proxy.spec.profile}" if proxy.spec.profile else "not in the profile"
            yield self._proxy_line(Mark.REMOVED, bound_spec(proxy), f"stops; {of}")
        adopted = {one.id for one in find_adoptable(self._profile, self._forwards).values()}
        entries = {one.name: one for one in self._profile.forwards}
        for same in plan.same:
            effect = "unchanged"
            if same.id not in adopted:
                entry = entries.get(same.spec.name)
                if entry is None:
                    effect = "unchanged; no longer in the profile"
                elif describe_changes(same.spec, entry.spec):
                    effect = "unchanged; differs from the profile"
            yield self._active_line(Mark.SAME, same, effect)

    def _proxy_lines(self) -> Iterator[PreviewLine]:
        plan, stopped = self._plan, self._plan.stopped_proxy
        if plan.proxy is not None and stopped is not None:
            before = bound_spec(stopped)
            effect = ", ".join(describe_proxy_changes(before, plan.proxy))
            conflict = self._proxy_conflict(plan.new_proxy_port)
            yield self._proxy_line(Mark.CHANGED, before, effect, conflict)
        elif plan.proxy is not None:
            conflict = self._proxy_conflict(plan.new_proxy_port)
            yield self._proxy_line(Mark.ADDED, plan.proxy, "" if conflict else "starts", conflict)
        elif stopped is not None:
            effect = "stops; no longer in the profile"
            yield self._proxy_line(Mark.REMOVED, bound_spec(stopped), effect)

    def _proxy_conflict(self, port: int) -> str:
        user = find_port_user(self._staying, ADDRESSES, port)
        if user is not None:
            return f"used by {target_name(user.spec.target)}"
        check = self._facts.checks.get((ADDRESSES, port))
        return check.problem if check is not None else ""

    def _proxy_line(
        self, mark: Mark, spec: ProxySpec, effect: str, conflict: str = ""
    ) -> PreviewLine:
        context = spec.context or (self._current.name if self._current is not None else "")
        shown = self._facts.shown_context(context, spec.options) if context else ""
        namespace = spec.namespace or self._default_namespace(context)
        local = _local_end(ADDRESSES, str(spec.port or "any"))
        return PreviewLine(
            mark, "proxy", shown, namespace, "cluster proxy", local, effect, conflict
        )

    def _active_line(self, mark: Mark, forward: Forward, effect: str) -> PreviewLine:
        return self._line(mark, forward.spec, _active_local(forward), effect)

    def _line(
        self, mark: Mark, spec: ForwardSpec, local: str, effect: str, conflict: str = ""
    ) -> PreviewLine:
        target = spec.target
        context = target.context or (self._current.name if self._current is not None else "")
        return PreviewLine(
            mark, spec.name, self._facts.shown_context(context, target.options) if context else "",
            target.namespace or self._default_namespace(context), target_name(target), local,
            effect, conflict,
        )  # fmt: skip

    def _default_namespace(self, context: str) -> str:
        found = (one.namespace for one in self._facts.contexts if one.name == context)
        return next(found, "") or _DEFAULT_NAMESPACE

    def _added_effect(self, added: ProfileForward) -> str:
        """Return what it waits for and how it reaches its cluster: `after sts/db; --as=bob`."""
        targets = {one.name: one.spec.target for one in self._profile.forwards}
        names = [object_name(targets[one]) if one in targets else one for one in added.needs]
        parts = [f"after {', '.join(names)}"] if names else []
        if access := describe_access_options(added.spec.target.options):
            parts.append(access)
        return "; ".join(parts)

    def _conflict(self, spec: ForwardSpec) -> str:
        """Return who else uses the local port of a forward that is to start."""
        port = spec.local_port or 0
        user = find_port_user(self._staying, spec.addresses, port)
        if user is not None:
            return f"used by {self._name_of(user, spec.target)}"
        if find_port_user(self._stopping, spec.addresses, port) is not None:
            return ""
        if port in self._freed_ports and share_address(spec.addresses, ADDRESSES):
            return ""
        check = self._facts.checks.get((spec.addresses, port)) if port else None
        return check.problem if check is not None else ""

    def _name_of(self, forward: Forward, beside: Target) -> str:
        """Return what tells a forward from that to a target: its context and namespace, if it can.

        `prod-eu!/data`; else its own target.
        """
        target = forward.spec.target
        context = beside.context or (self._current.name if self._current is not None else "")
        if (target.context, target.namespace) == (context, beside.namespace):
            return target_name(target)
        return f"{self._facts.shown_context(target.context, target.options)}/{target.namespace}"


def format_local(spec: ForwardSpec) -> str:
    """Return the local end of a forward that is not active: `:8080`, `any` or `127.0.0.2:80`."""
    if spec.local_port is not None:
        return _local_end(spec.addresses, str(spec.local_port) if spec.local_port else "any")
    port = spec.target.port
    is_usable = port.isdecimal() and int(port) >= _FIRST_UNPRIVILEGED
    return _local_end(spec.addresses, port if is_usable else "auto")


def _active_local(forward: Forward) -> str:
    if not forward.listening:
        return format_local(forward.spec)
    port = forward.listening[0].port
    return _local_end([one.host for one in forward.listening], str(port))


def _local_end(addresses: Collection[str], port: str) -> str:
    text = f":{port}" if port.isdecimal() else port
    if _LOCALHOST.issuperset(addresses):
        return text
    exposed = [address for address in addresses if not is_loopback(address)]
    address = exposed[0] if exposed else next(iter(addresses))
    host = f"[{address}]" if ":" in address else address
    return f"{'! ' if exposed else ''}{host}:{port}"


def _changes(before: ForwardSpec, after: ForwardSpec) -> str:
    """Return what changes in an active forward: first its local port and its target.

    These are shown beside it, so that only the new ones are named.
    """
    old, new = before.target, after.target
    namespace = new.namespace or old.namespace
    same_target = msgspec.structs.replace(
        new, namespace=old.namespace, kind=old.kind, name=old.name, port=old.port
    )
    changes = []
    same_end = msgspec.structs.replace(after, local_port=before.local_port)
    if describe_changes(before, after) != describe_changes(before, same_end):
        changes.append(f"→ {format_local(after)}")
    if target_name(new) != target_name(old) or namespace != old.namespace:
        where = f"{namespace}/" if namespace != old.namespace else ""
        changes.append(f"→ {where}{target_name(new)}")
    others = msgspec.structs.replace(same_end, target=same_target)
    return ", ".join((*changes, *describe_changes(before, others)))


def _process_name(process: str) -> str:
    """Return the name of a process without its number."""
    return process.partition(" (")[0]
