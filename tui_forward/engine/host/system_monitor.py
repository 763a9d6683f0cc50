"""Detection of sleep and of network changes.

After either, forwards try again at once: after a night's sleep a forward must not sit out the
rest of a back-off, and a tunnel over a network that is gone must be checked now, not when its
next PING is due.

Portable by polling two cheap values: a clock that runs on through sleep, so that the next check
comes far too late (also when a virtual machine was suspended), and a fingerprint of the
interfaces' addresses and of the default routes. A false alarm costs one early try.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import logging
import socket
from collections.abc import Callable

from tui_forward.common.clock import boottime
from tui_forward.common.formatting import format_duration
from tui_forward.common.periodic_checks import SYSTEM_CHECKS, PeriodicChecks

_log = logging.getLogger(__name__)

# Addresses reserved for documentation (RFC 5737, RFC 3849): never dialed. A datagram socket
# "connected" to them sends nothing, but reports the route that the system would take.
_REMOTE_ADDRESSES = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


Fingerprint = frozenset[str]


def network_fingerprint() -> Fingerprint:
    """Return what differs on another network; OSError if the system does not report it.

    Takes a millisecond or two at most.
    """
    import psutil  # slow to import: a command may end before its first check

    marks: set[str] = set()
    try:
        interfaces = psutil.net_if_addrs()
    except psutil.Error as error:
        raise OSError(str(error)) from error
    for name, addresses in interfaces.items():
        for address in addresses:
            if address.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            if parsed := _significant_address(address.address):
                marks.add(f"{name} {parsed}")
    for family, remote in _REMOTE_ADDRESSES:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote, 9))
            marks.add(f"route {probe.getsockname()[0]}")
    return frozenset(marks)


@functools.lru_cache(maxsize=1024)
def _significant_address(text: str) -> str:
    """Return an address without its zone, or "" if its changes mean nothing."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    # Link-local addresses change with every container's veth.
    return "" if parsed.is_loopback or parsed.is_link_local else str(parsed)


class SystemMonitor:
    """Reports when the machine woke up or the network changed.

    `on_event` gets a text for the timeline and must not raise; `fingerprint` is called in a thread.
    """

    def __init__(
        self,
        on_event: Callable[[str], None],
        *,
        checks: PeriodicChecks = SYSTEM_CHECKS,
        slack_s: float = 5.0,  # a check later than this counts as sleep
        clock: Callable[[], float] = boottime,  # runs on while the machine sleeps
        fingerprint: Callable[[], Fingerprint] = network_fingerprint,
    ) -> None:
        self._on_event = on_event
        self._checks = checks
        self._slack_s = slack_s
        self._clock = clock
        self._fingerprint = fingerprint
        self._network: Fingerprint | None = None  # read first when a forward has run for a while
        self._last = 0.0  # time of the last check
        self._events: list[str] = []  # found by the last check

    async def run(self) -> None:
        """Check until canceled."""
        self._last = self._clock()
        while True:
            await self._checks.wait(self._look)
            events, self._events = self._events, []
            for text in events:
                self._on_event(text)

    def _look(self) -> bool:
        """Compare the clock and the network, in a thread; return whether there are events."""
        events = []
        now = self._clock()
        passed, self._last = now - self._last, now
        if passed > self._checks.interval_s + self._slack_s:
            events.append(f"the machine slept for {format_duration(passed)}")
        try:
            current = self._fingerprint()
        except OSError as error:
            _log.debug("cannot read the network interfaces: %s", error)
        else:
            if self._network is not None and current != self._network:
                events.append(_describe_change(self._network, current))
            self._network = current
        self._events = events
        return bool(events)


def _describe_change(before: Fingerprint, after: Fingerprint) -> str:
    gone = sorted(mark for mark in before - after if not mark.startswith("route "))
    new = sorted(mark for mark in after - before if not mark.startswith("route "))
    if new:
        return f"the network changed: {new[0]} is new"
    if gone:
        return f"the network changed: {gone[0]} is gone"
    return "the network changed: another default route"
