"""Applies a profile to a session, changing no forward more than needed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tui_forward.common.arguments import share_address
from tui_forward.common.local_addresses import find_port_user
from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import Context, Forward, ForwardSpec, ForwardState, ProxyInfo, ProxySpec
from tui_forward.profiles.plan import ApplyMode, Plan, forwards_of, make_plan, qualified_name
from tui_forward.profiles.profile import Profile, ProfileForward
from tui_forward.profiles.proxy import ADDRESSES
from tui_forward.reasons import is_login
from tui_forward.session import Session
from tui_forward.session.batch import stop_forwards

_POLL_S = 0.03
# States that waiting does not change.
_SETTLED = frozenset({ForwardState.READY, ForwardState.BLOCKED})


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """Outcome of an applied profile."""

    forwards: tuple[Forward, ...]  # active forwards of the profile, in its order

    @property
    def unready(self) -> list[Forward]:
        """Forwards that are not ready."""
        return [one for one in self.forwards if one.state is not ForwardState.READY]


async def plan_profile(
    session: Session, profile: Profile, mode: ApplyMode = ApplyMode.APPLY, *,
    allow_used_ports: bool = False, with_proxy: bool = False,
) -> Plan:  # fmt: skip
    """Return the changes that apply a profile; an error if impossible (see `validate_plan`).

    Its proxy is left as it is unless `with_proxy`.
    """
    snapshot = await session.snapshot()
    forwards, proxies = snapshot.forwards, snapshot.proxies
    plan = make_plan(profile, forwards, mode, proxies if with_proxy else None)
    if allow_used_ports:
        forwards, proxies = (), ()
    await validate_plan(session, plan, forwards, proxies)
    return plan


async def validate_plan(
    session: Session, plan: Plan, forwards: Iterable[Forward], proxies: Iterable[ProxyInfo] = ()
) -> None:
    """Check that all forwards of a plan can start, before any change is made.

    Raise ConfigError if one of these forwards or proxies has a local port, or a namespace cannot be
    determined.
    """
    check_ports(plan, forwards, proxies)
    without_namespace = [one for one in plan.to_start if not one.spec.target.namespace]
    if without_namespace:
        check_contexts(without_namespace, await session.contexts())


def check_contexts(forwards: Iterable[ProfileForward], contexts: Sequence[Context]) -> None:
    """Check that the contexts exist from which forwards get their namespaces."""
    names = ", ".join(sorted(one.name for one in contexts)) or "none"
    has_current = any(one.current for one in contexts)
    for one in forwards:
        name = one.spec.target.context
        if name and not any(context.name == name for context in contexts):
            raise ConfigError(
                f"cannot start {one.name} of profile {one.spec.profile}: the kubeconfig has no "
                f'context "{name}"',
                hint=f"available: {names}",
            )
        if not name and not has_current:
            raise ConfigError(
                f"cannot start {one.name} of profile {one.spec.profile}: it names no context, and "
                "the kubeconfig has no current context",
                hint=f"add `context:` to the profile; available: {names}",
            )


def check_ports(plan: Plan, forwards: Iterable[Forward], proxies: Iterable[ProxyInfo] = ()) -> None:
    """Check that no active forward or proxy has a local address and port that the plan needs."""
    stopping = {one.id for one in plan.to_stop}
    staying = [one for one in forwards if one.id not in stopping]
    for starting in plan.to_start:
        owner = find_port_user(staying, starting.spec.addresses, starting.spec.local_port or 0)
        if owner is not None:
            name = qualified_name(owner)
            if not owner.spec.profile:
                name = f"the forward to {name}"
            raise ConfigError(
                f"cannot start {starting.name} of profile {starting.spec.profile}: local port "
                f"{starting.spec.local_port} is in use by {name}",
                hint=f"change one of the ports, or stop it: tui-forward stop {owner.id}",
            )
    _check_proxy_ports(plan, staying, proxies)


def _check_proxy_ports(
    plan: Plan, staying: Iterable[Forward], proxies: Iterable[ProxyInfo]
) -> None:
    ports = {
        address.port: one.id
        for one in proxies
        if one not in plan.proxies_to_stop
        for address in one.listening
    }
    for starting in plan.to_start:
        port = starting.spec.local_port or 0
        if port in ports and share_address(starting.spec.addresses, ADDRESSES):
            raise ConfigError(
                f"cannot start {starting.name} of profile {starting.spec.profile}: local port "
                f"{port} is in use by the cluster proxy {ports[port]}",
                hint=f"change one of the ports, or stop it: tui-forward stop {ports[port]}",
            )
    if plan.proxy is None or not plan.proxy.port:
        return
    port = plan.proxy.port
    owner = find_port_user(staying, ADDRESSES, port)
    if owner is None and port not in ports:
        return
    user = f"the cluster proxy {ports[port]}" if owner is None else qualified_name(owner)
    raise ConfigError(
        f"cannot start the proxy of profile {plan.proxy.profile}: local port {port} is in use by "
        f"{user}",
        hint="change one of the ports, or stop it: tui-forward stop "
        f"{owner.id if owner is not None else ports[port]}",
    )


async def apply_plan(
    session: Session, profile: Profile, plan: Plan, *, wait_s: float | None
) -> ApplyResult:
    """Make the changes of a plan.

    All of it may take `wait_s` to become ready; None does not wait, not even for forwards that
    others depend on.
    """
    # One that another client has stopped is no failure.
    failure = (await stop_forwards(session, plan.to_stop)).failure("stop", "forward")
    if failure is not None:
        raise failure
    for proxy in plan.proxies_to_stop:
        with contextlib.suppress(UsageError):  # another client has stopped it
            await session.stop_proxy(proxy.id)
    if plan.proxy is not None:
        await start_proxy(session, plan.proxy)
    starting = {one.name for one in plan.to_start}
    deadline = asyncio.get_running_loop().time() + (wait_s or 0.0)
    for one in profile.in_order():
        if one.name in starting:
            if wait_s is not None:
                await _wait_settled(session, profile, one.needs, deadline)
            await start_forward(session, one.spec)
    names = [one.name for one in profile.forwards]
    if wait_s is not None:
        await _wait_settled(session, profile, names, deadline)
    active = forwards_of(profile, (await session.snapshot()).forwards)
    return ApplyResult(tuple(active[name] for name in names if name in active))


async def start_forward(session: Session, spec: ForwardSpec) -> str:
    """Start a forward unless its profile has an active one of this name; return its id.

    A command and the engine's profile watcher may start the same forward at the same time.
    """
    if spec.profile:
        for one in (await session.snapshot()).forwards:
            if (one.spec.profile, one.spec.name) == (spec.profile, spec.name):
                return one.id
    return await session.start(spec)


async def start_proxy(session: Session, spec: ProxySpec) -> str:
    """Start the proxy of a profile unless it is active; return its id."""
    for one in (await session.snapshot()).proxies:
        if one.spec.profile == spec.profile:
            return one.id
    return await session.start_proxy(spec)


async def _wait_settled(
    session: Session, profile: Profile, names: Sequence[str], deadline: float
) -> None:
    """Wait until these forwards are ready or blocked, at most until the deadline."""
    while asyncio.get_running_loop().time() < deadline:
        active = forwards_of(profile, (await session.snapshot()).forwards)
        if all(_is_settled(active[name]) for name in names if name in active):
            return
        await asyncio.sleep(_POLL_S)


def _is_settled(forward: Forward) -> bool:
    return forward.state in _SETTLED and not is_login(forward.code)
