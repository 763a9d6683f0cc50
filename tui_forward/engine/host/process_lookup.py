"""Which process holds a local port, and which process is at the other end of a connection.

Both are for people to read, never needed for forwarding: a system that does not tell is
answered with "nothing known". The blocking functions here (`port_holder`,
`client_processes`) belong in a thread; `ClientNames` is the asynchronous, cached and
batched way to the second one.

On Linux `/proc` is read directly: one pass over `/proc/net/tcp*` for the inodes, one over
the file descriptors of processes, for a whole batch of connections. Elsewhere psutil asks
process by process, as most systems do not give a normal user the system-wide table.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

_log = logging.getLogger(__name__)

_PROC = Path("/proc")
_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp, see Documentation/networking/proc_net_tcp


@dataclass(frozen=True, slots=True)
class PortOwner:
    """Who has a port.

    Attributes:
        name: Process name; empty when only the user is known.
        pid: Process id; None when the system does not tell.
        user: The user it belongs to, where that is all that is known.
    """

    name: str = ""
    pid: int | None = None
    user: str = ""

    def __str__(self) -> str:
        """As in "taken by nginx (812)"."""
        if self.pid is not None:
            return f"{self.name or 'process'} ({self.pid})"
        return f"a process of user {self.user}" if self.user else "another process"


@dataclass(frozen=True, slots=True)
class SocketPair:
    """The two ends of a TCP connection as the client sees them: its own, and ours."""

    client: tuple[str, int]
    ours: tuple[str, int]


def find_port_owner(host: str, port: int) -> PortOwner | None:
    """Who listens on `port` at `host`, or on all addresses. Blocks; may take 100 ms.

    Returns:
        None when nobody does, or the system does not tell.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError):
            return _linux_port_holder(host, port)
    return _psutil_port_holder(host, port)


def find_client_processes(wanted: Sequence[SocketPair]) -> dict[SocketPair, str]:
    """Name and pid ("psql (4211)") of each connection's client that can be told. Blocks."""
    if not wanted:
        return {}
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError):
            return _linux_client_processes(wanted)
    return _psutil_client_processes(wanted)


# --------------------------------------------------------------------------------------
# Linux
# --------------------------------------------------------------------------------------


def _word(packed: bytes) -> str:
    return f"{int.from_bytes(packed, sys.byteorder):08X}"


def _kernel_forms(host: str, port: int) -> list[str]:
    """An address as `/proc/net/tcp` and `/proc/net/tcp6` write it.

    IPv4 has two forms: a client with an IPv6 socket (Java's) connects from a mapped address.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        short = f"{_word(address.packed)}:{port:04X}"
        return [short, f"{'0' * 16}{_word(bytes((0, 0, 255, 255)))}{short}"]
    words = [_word(address.packed[at : at + 4]) for at in range(0, 16, 4)]
    return [f"{''.join(words)}:{port:04X}"]


def _table() -> Iterator[list[str]]:
    """Rows of the kernel's TCP tables: 1 local, 2 remote, 3 state, 7 uid, 9 inode."""
    for name in ("tcp", "tcp6"):
        try:
            with (_PROC / "net" / name).open(encoding="ascii") as lines:
                next(lines, None)
                for line in lines:
                    yield line.split(None, 10)
        except FileNotFoundError:
            continue  # IPv6 is off


def _linux_port_holder(host: str, port: int) -> PortOwner | None:
    wildcard = {f"{'0' * 8}:{port:04X}", f"{'0' * 32}:{port:04X}"}
    addresses = wildcard | set(_kernel_forms(host, port))
    rows = [row for row in _table() if row[3] == _LISTEN and row[1] in addresses]
    if not rows:
        return None
    owners = _owners_of({row[9] for row in rows})
    for row in rows:
        pid = owners.get(row[9])
        if pid is not None:
            return PortOwner(name=_process_name(pid), pid=pid)
    return PortOwner(user=_user_name(int(rows[0][7])))


def _linux_client_processes(wanted: Sequence[SocketPair]) -> dict[SocketPair, str]:
    by_addresses = {
        (client, ours): ends
        for ends in wanted
        for client, ours in zip(
            _kernel_forms(*ends.client), _kernel_forms(*ends.ours), strict=False
        )
    }
    by_inode: dict[str, SocketPair] = {}
    for row in _table():
        ends = by_addresses.get((row[1], row[2]))
        if ends is not None and row[9] != "0":
            by_inode[row[9]] = ends
    return _named({by_inode[inode]: pid for inode, pid in _owners_of(by_inode).items()})


def _owners_of(inodes: Iterable[str]) -> dict[str, int]:
    """Pids by socket inode, as far as this user may see. Our own process is looked at last."""
    missing = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[str, int] = {}
    if not missing:
        return owners
    own = os.getpid()
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    # The newest processes first: a client is seldom older than the shell it came from.
    pids.sort(key=lambda pid: (pid != own, pid), reverse=True)
    # Strings instead of `Path`: this looks at every descriptor of every process.
    for pid in pids:
        folder = f"{_PROC}/{pid}/fd"
        try:
            names = os.listdir(folder)  # noqa: PTH208
        except OSError:
            continue  # it has ended, or belongs to somebody else
        for name in names:
            try:
                link = os.readlink(f"{folder}/{name}")  # noqa: PTH115
            except OSError:
                continue
            inode = missing.pop(link, None)
            if inode is not None:
                owners[inode] = pid
                if not missing:
                    return owners
    return owners


def _user_name(uid: int) -> str:
    if sys.platform == "win32":
        return str(uid)
    import pwd  # not on Windows

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


# --------------------------------------------------------------------------------------
# Elsewhere
# --------------------------------------------------------------------------------------


def _same_host(a: str, b: str) -> bool:
    return a.partition("%")[0].removeprefix("::ffff:") == b.partition("%")[0]


_Address = tuple[str, int]


def _psutil_rows() -> Iterator[tuple[int, str, _Address | None, _Address | None]]:
    """Pid, status, local and remote address of every TCP socket this user may see."""
    for process in psutil.process_iter():
        try:
            connections = process.net_connections(kind="tcp")
        except (psutil.Error, OSError):
            continue  # it has ended, or belongs to somebody else
        for connection in connections:
            ours, theirs = connection.laddr, connection.raddr
            yield (
                process.pid,
                connection.status,
                (ours[0], ours[1]) if len(ours) else None,
                (theirs[0], theirs[1]) if len(theirs) else None,
            )


def _psutil_port_holder(host: str, port: int) -> PortOwner | None:
    for pid, status, ours, _ in _psutil_rows():
        if status != psutil.CONN_LISTEN or ours is None or ours[1] != port:
            continue
        if ours[0] in ("0.0.0.0", "::", "*") or _same_host(ours[0], host):
            return PortOwner(name=_process_name(pid), pid=pid)
    return None


def _psutil_client_processes(wanted: Sequence[SocketPair]) -> dict[SocketPair, str]:
    by_ports: dict[tuple[int, int], list[SocketPair]] = {}
    for ends in wanted:
        by_ports.setdefault((ends.client[1], ends.ours[1]), []).append(ends)
    found: dict[SocketPair, int] = {}
    for pid, _, ours, theirs in _psutil_rows():
        if ours is None or theirs is None:
            continue
        for ends in by_ports.get((ours[1], theirs[1]), ()):
            if _same_host(ours[0], ends.client[0]):
                found[ends] = pid
        if len(found) == len(wanted):
            break
    return _named(found)


def _process_name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except (psutil.Error, OSError):
        return ""


def _named(pids: Mapping[SocketPair, int]) -> dict[SocketPair, str]:
    names = {pid: _process_name(pid) for pid in set(pids.values())}
    return {ends: f"{names[pid]} ({pid})" for ends, pid in pids.items() if names[pid]}


# --------------------------------------------------------------------------------------
# Names for connections, without getting in their way
# --------------------------------------------------------------------------------------


class HasClientProcess(Protocol):
    """What carries the answer: a connection."""

    process: str


class ClientProcessLookup:
    """Finds client processes in the background, a batch at a time, each connection once.

    Nothing is looked up until `ask` is called, which front ends cause by looking at
    connections: a forward nobody looks at costs nothing.

    Args:
        lookup: The blocking look-up, run in a thread.
    """

    _WAITING = 4096

    def __init__(
        self,
        lookup: Callable[[Sequence[SocketPair]], Mapping[SocketPair, str]] = find_client_processes,
    ) -> None:
        self._lookup = lookup
        self._waiting: dict[int, tuple[SocketPair, HasClientProcess]] = {}
        self._asked: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def ask(self, connection_id: int, ends: SocketPair, connection: HasClientProcess) -> None:
        """Set `connection.process` some time soon, if it can be found out. Cheap, idempotent."""
        if connection_id in self._asked or len(self._waiting) >= self._WAITING:
            return
        self._asked.add(connection_id)
        self._waiting[connection_id] = (ends, connection)
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), name="client-names")

    def forget(self, connection_id: int) -> None:
        """The connection has ended."""
        self._asked.discard(connection_id)
        self._waiting.pop(connection_id, None)

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = list(self._waiting.values())
                self._waiting.clear()
                try:
                    names = await asyncio.to_thread(self._lookup, [ends for ends, _ in batch])
                except Exception:  # noqa: BLE001 - a courtesy: whatever /proc holds, go on without
                    _log.exception("looking up client processes failed")
                    continue
                for ends, connection in batch:
                    connection.process = names.get(ends, "")
        finally:
            self._task = None

    async def close(self) -> None:
        """Wait for a look-up that is under way (a thread cannot be stopped), and no more."""
        self._waiting.clear()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
