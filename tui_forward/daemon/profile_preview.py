"""Asks a session for what the preview of a profile shows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from tui_forward.errors import TuiForwardError
from tui_forward.model import Context, PortCheck
from tui_forward.profiles.plan import Plan
from tui_forward.profiles.preview import PortKey, PreviewFacts, ports_to_check
from tui_forward.session import Session

_MAX_CHECKS = 100  # ports; others are found out by the start
_CHECKS_S = 2.0  # for all of them: naming the process that has a port may take long


async def find_preview_facts(session: Session, plans: Iterable[Plan]) -> PreviewFacts:
    """Return what is known about the contexts, ports and connections that plans concern.

    What cannot be found out is missing. TransportError if the engine process is gone.
    """
    plans = tuple(plans)
    stops = any(one.to_stop or one.proxies_to_stop for one in plans)
    connections = await session.connections() if stops else ()
    contexts: tuple[Context, ...] = ()
    with contextlib.suppress(TuiForwardError):  # the start says what is wrong with the kubeconfig
        contexts = await session.contexts()
    keys = sorted(ports_to_check(plans))[:_MAX_CHECKS]
    checks: dict[PortKey, PortCheck] = {}

    async def check(key: PortKey) -> None:
        with contextlib.suppress(TuiForwardError):
            checks[key] = await session.check_port(*key)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CHECKS_S), asyncio.TaskGroup() as group:
            for key in keys:
                group.create_task(check(key))
    return PreviewFacts(contexts, checks, connections)
