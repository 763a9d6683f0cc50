"""Notices that the machine has slept, or that its network has changed.

Whoever waits for a clock tries again at once then: after a night's sleep a forward must
not sit out the rest of a back-off, and a tunnel over a network that is gone must be
checked now, not when its PING is next due.

Portable by polling two cheap things: a clock that runs on through sleep, so that the tick
after it comes far too late (also when a virtual machine was suspended), and a fingerprint
of the interfaces' addresses and of the default routes. A false alarm costs one early try.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import psutil

from tui_forward.common.formatting import format_duration

_log = logging.getLogger(__name__)

# Addresses of the blocks kept for documentation (RFC 5737, RFC 3849): never dialled. A
# datagram socket "connected" to them sends nothing, but learns the route the system would take.
_FAR_AWAY = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


class SystemEventKind(StrEnum):
    """What was noticed."""

    SLEPT = "slept"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class SystemEvent:
    """What was noticed, with words for the timeline."""

    cause: SystemEventKind
    text: str


Fingerprint = frozenset[str]


def network_fingerprint() -> Fingerprint:
    """What would be different on another network. Takes well below a millisecond or two."""
    marks: set[str] = set()
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if address.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            # Link-local addresses come and go with every container's veth and say nothing.
            with contextlib.suppress(ValueError):
                parsed = ipaddress.ip_address(address.address.partition("%")[0])
                if not parsed.is_loopback and not parsed.is_link_local:
                    marks.add(f"{name} {parsed}")
    for family, far in _FAR_AWAY:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            marks.add(f"route {probe.getsockname()[0]}")
    return frozenset(marks)


def boottime() -> float:
    """Seconds on a clock that runs on while the machine sleeps."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":
        # Unlike `time.monotonic`, which there is mach_absolute_time and stands still.
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.time()


class SystemMonitor:
    """Calls back when the machine woke up or the network changed.

    Args:
        on_woken: Called on the loop; must not raise.
        every_s: Period of the checks.
        slack_s: How much later than due a tick may be before it counts as sleep.
        clock: Seconds, running on while the machine sleeps.
        fingerprint: The network's; called in a thread.
    """

    def __init__(
        self,
        on_woken: Callable[[SystemEvent], None],
        *,
        every_s: float = 2.0,
        slack_s: float = 5.0,
        clock: Callable[[], float] = boottime,
        fingerprint: Callable[[], Fingerprint] = network_fingerprint,
    ) -> None:
        self._on_woken = on_woken
        self._every_s = every_s
        self._slack_s = slack_s
        self._clock = clock
        self._fingerprint = fingerprint

    async def run(self) -> None:
        """Watch until cancelled."""
        network = await self._look()
        last = self._clock()
        while True:
            await asyncio.sleep(self._every_s)
            now = self._clock()
            passed, last = now - last, now
            if passed > self._every_s + self._slack_s:
                self._on_woken(
                    SystemEvent(
                        SystemEventKind.SLEPT, f"the machine slept for {format_duration(passed)}"
                    )
                )
            seen = await self._look()
            if seen is not None and network is not None and seen != network:
                self._on_woken(SystemEvent(SystemEventKind.NETWORK, _change(network, seen)))
            network = seen if seen is not None else network

    async def _look(self) -> Fingerprint | None:
        try:
            return await asyncio.to_thread(self._fingerprint)
        except (OSError, psutil.Error) as error:
            _log.debug("cannot read the network interfaces: %s", error)
            return None


def _change(before: Fingerprint, after: Fingerprint) -> str:
    gone = sorted(mark for mark in before - after if not mark.startswith("route "))
    new = sorted(mark for mark in after - before if not mark.startswith("route "))
    if new:
        return f"the network changed: {new[0]} is new"
    if gone:
        return f"the network changed: {gone[0]} is gone"
    return "the network changed: another default route"
