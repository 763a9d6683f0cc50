"""Makes what is on fit a profile, touching nothing that need not change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import Context, Forward, ForwardSpec, ForwardState
from tui_forward.profiles.plan import ApplyMode, Plan, forwards_of, make_plan, qualified_name
from tui_forward.profiles.profile import Profile, ProfileForward
from tui_forward.session import Session

_LOOK_S = 0.03
# What waiting alone brings nowhere.
_SETTLED = frozenset({ForwardState.READY, ForwardState.BLOCKED})


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What became of it.

    Attributes:
        forwards: Of the profile, in its order, as they stand.
    """

    forwards: tuple[Forward, ...]

    @property
    def unready(self) -> list[Forward]:
        """Those that cannot be used (yet)."""
        return [one for one in self.forwards if one.state is not ForwardState.READY]


async def plan_profile(
    session: Session, profile: Profile, manner: ApplyMode = ApplyMode.APPLY
) -> Plan:
    """What is to be done so that what is on fits a profile.

    Raises:
        TuiForwardError: It cannot be done (see `check`), or the engine is gone.
    """
    forwards = (await session.snapshot()).forwards
    found = make_plan(profile, forwards, manner)
    await validate_plan(session, found, forwards)
    return found


async def validate_plan(session: Session, found: Plan, forwards: Iterable[Forward]) -> None:
    """See that all of a plan can be begun, before any of it is touched.

    Raises:
        ConfigError: A port is taken by another forward, or nobody knows what a namespace is to be.
        TuiForwardError: The kubeconfig cannot be read, or the engine is gone.
    """
    check_ports(found, forwards)
    open_ones = [one for one in found.to_start if not one.spec.target.namespace]
    if open_ones:
        check_contexts(open_ones, await session.contexts())


def check_contexts(wanted: Iterable[ProfileForward], contexts: Sequence[Context]) -> None:
    """See that contexts which are to say a namespace are there.

    Raises:
        ConfigError: With the names of those there are.
    """
    names = ", ".join(sorted(one.name for one in contexts)) or "none"
    current = any(one.current for one in contexts)
    for one in wanted:
        name = one.spec.target.context
        if name and not any(context.name == name for context in contexts):
            raise ConfigError(
                f'{one.name} of profile {one.spec.profile} wants context "{name}", which the '
                "kubeconfig does not have",
                hint=f"there are: {names}",
            )
        if not name and not current:
            raise ConfigError(
                f"{one.name} of profile {one.spec.profile} names no context, and the kubeconfig "
                "has no current one",
                hint=f"write `context:`; there are: {names}",
            )


def check_ports(found: Plan, forwards: Iterable[Forward]) -> None:
    """See that nobody of ours has a port that is wanted.

    Raises:
        ConfigError: With the names of both.
    """
    forwards = tuple(forwards)
    leaving = {one.id for one in found.to_stop}
    held = {
        address.port: one for one in forwards if one.id not in leaving for address in one.listening
    }
    for wanted in found.to_start:
        holder = held.get(wanted.spec.local_port or 0)
        if holder is not None:
            whose = (
                qualified_name(holder)
                if holder.spec.profile
                else f"the forward to {qualified_name(holder)}"
            )
            raise ConfigError(
                f"{wanted.name} of profile {wanted.spec.profile} wants local port "
                f"{wanted.spec.local_port}, which {whose} has",
                hint=f"give one of them another port, or end it: tui-forward stop {holder.id}",
            )


async def apply_plan(
    session: Session, profile: Profile, found: Plan, *, wait_s: float | None
) -> ApplyResult:
    """Carry out a plan.

    Args:
        session: Where.
        profile: What that comes from.
        found: What is to be done.
        wait_s: How long all of it may take to become ready; None does not wait, not even for
            what is needed.

    Raises:
        TuiForwardError: A forward makes no sense, or the engine is gone.
    """
    for gone in found.to_stop:
        with contextlib.suppress(UsageError):  # somebody else has done so
            await session.stop(gone.id)
    wanted = {one.name for one in found.to_start}
    deadline = asyncio.get_running_loop().time() + (wait_s or 0.0)
    for one in profile.in_order():
        if one.name in wanted:
            if wait_s is not None:
                await _settled(session, profile, one.needs, deadline)
            await start_forward(session, one.spec)
    names = [one.name for one in profile.forwards]
    if wait_s is not None:
        await _settled(session, profile, names, deadline)
    on = forwards_of(profile, (await session.snapshot()).forwards)
    return ApplyResult(tuple(on[name] for name in names if name in on))


async def start_forward(session: Session, spec: ForwardSpec) -> str:
    """Switch a forward on, unless its profile has it on already; gives its id.

    Several may want the same at once: a command, and the engine that follows a file.
    """
    if spec.profile:
        for one in (await session.snapshot()).forwards:
            if (one.spec.profile, one.spec.name) == (spec.profile, spec.name):
                return one.id
    return await session.start(spec)


async def _settled(
    session: Session, profile: Profile, names: Sequence[str], deadline: float
) -> None:
    """Wait until these are ready, or need a person, or the time is over."""
    while asyncio.get_running_loop().time() < deadline:
        on = forwards_of(profile, (await session.snapshot()).forwards)
        if all(on[name].state in _SETTLED for name in names if name in on):
            return
        await asyncio.sleep(_LOOK_S)
