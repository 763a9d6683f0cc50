"""Which process listens on a local port, and which process is the client of a connection.

For display only, never needed for forwarding: what the system does not report is left out. The
functions block; call them in a thread.

On Linux `/proc` is read once for a whole batch of connections. Elsewhere psutil inspects process
by process, as most systems do not give a normal user the system-wide table.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pwd
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

_PROC = Path("/proc")
# Argument of the command that runs an engine (`daemon.launcher`): `python -m` and this.
_ENGINE_MODULE = "tui_forward.daemon"
_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp, see Documentation/networking/proc_net_tcp


class PortOwner(msgspec.Struct, frozen=True):
    """The process that listens on a port."""

    name: str = ""  # process name; empty when only the user is known
    pid: int | None = None  # process id; None when the system does not report it
    user: str = ""  # the user it belongs to, when only that is known

    def __str__(self) -> str:
        """Return it as in "taken by nginx (812)"."""
        if self.pid is not None:
            return f"{self.name or 'process'} ({self.pid})"
        return f"a process of user {self.user}" if self.user else "another process"


class SocketPair(msgspec.Struct, frozen=True):
    """The two ends of a TCP connection: the client's address, and the local one."""

    client: tuple[str, int]
    local: tuple[str, int]


def find_port_owner(host: str, port: int) -> PortOwner | None:
    """Return which process listens on `port` at `host`, or on all addresses.

    Blocks; may take 100 ms. None when there is none, or the system does not report it.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError):
            return _linux_port_owner(host, port)
    return _psutil_port_owner(host, port)


def find_client_processes(pairs: Sequence[SocketPair]) -> dict[SocketPair, str]:
    """Return name and pid ("psql (4211)") of each connection's client, where found. Blocks."""
    if not pairs:
        return {}
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError):
            return _linux_client_processes(pairs)
    return _psutil_client_processes(pairs)


# ---------------------------------------------------------------------------------- Linux


def _hex_word(packed: bytes) -> str:
    return f"{int.from_bytes(packed, sys.byteorder):08X}"


def _kernel_forms(host: str, port: int) -> list[str]:
    """Return an address as `/proc/net/tcp` and `/proc/net/tcp6` write it.

    IPv4 has two forms: a client with an IPv6 socket (Java's) connects from a mapped address.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        short = f"{_hex_word(address.packed)}:{port:04X}"
        return [short, f"{'0' * 16}{_hex_word(bytes((0, 0, 255, 255)))}{short}"]
    words = [_hex_word(address.packed[at : at + 4]) for at in range(0, 16, 4)]
    return [f"{''.join(words)}:{port:04X}"]


def _tcp_rows() -> Iterator[list[str]]:
    """Yield rows of the kernel's TCP tables: 1 local, 2 remote, 3 state, 7 uid, 9 inode."""
    for name in ("tcp", "tcp6"):
        try:
            with (_PROC / "net" / name).open(encoding="ascii") as lines:
                next(lines, None)
                for line in lines:
                    yield line.split(None, 10)
        except FileNotFoundError:
            continue  # IPv6 is off


def _linux_port_owner(host: str, port: int) -> PortOwner | None:
    wildcard = {f"{'0' * 8}:{port:04X}", f"{'0' * 32}:{port:04X}"}
    addresses = wildcard | set(_kernel_forms(host, port))
    rows = [row for row in _tcp_rows() if row[3] == _LISTEN and row[1] in addresses]
    if not rows:
        return None
    owners = _find_pids({row[9] for row in rows})
    for row in rows:
        pid = owners.get(row[9])
        if pid is not None:
            return PortOwner(name=_process_name(pid), pid=pid)
    return PortOwner(user=_user_name(int(rows[0][7])))


def _linux_client_processes(pairs: Sequence[SocketPair]) -> dict[SocketPair, str]:
    by_addresses = {
        (client, local): pair
        for pair in pairs
        for client, local in zip(
            _kernel_forms(*pair.client), _kernel_forms(*pair.local), strict=False
        )
    }
    by_inode: dict[str, SocketPair] = {}
    for row in _tcp_rows():
        pair = by_addresses.get((row[1], row[2]))
        if pair is not None and row[9] != "0":
            by_inode[row[9]] = pair
    return _with_names({by_inode[inode]: pid for inode, pid in _find_pids(by_inode).items()})


def _find_pids(inodes: Iterable[str]) -> dict[str, int]:
    """Return pids by socket inode, as far as this user may see; this process comes last."""
    missing = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[str, int] = {}
    if not missing:
        return owners
    own = os.getpid()
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    # The newest processes first: a client is seldom older than the shell that started it.
    pids.sort(key=lambda pid: (pid != own, pid), reverse=True)
    # Strings instead of `Path`: this reads every descriptor of every process.
    for pid in pids:
        folder = f"{_PROC}/{pid}/fd"
        try:
            names = os.listdir(folder)  # noqa: PTH208
        except OSError:
            continue  # it has ended, or belongs to another user
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
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


# -------------------------------------------------------------------------- Other systems


def _is_same_host(a: str, b: str) -> bool:
    return a.partition("%")[0].removeprefix("::ffff:") == b.partition("%")[0]


_Address = tuple[str, int]


def _psutil_rows() -> Iterator[tuple[int, str, _Address | None, _Address | None]]:
    """Yield pid, status, local and remote address of every TCP socket this user may see."""
    import psutil

    for process in psutil.process_iter():
        try:
            connections = process.net_connections(kind="tcp")
        except (psutil.Error, OSError):
            continue  # it has ended, or belongs to another user
        for connection in connections:
            local, remote = connection.laddr, connection.raddr
            yield (
                process.pid,
                connection.status,
                (local[0], local[1]) if len(local) else None,
                (remote[0], remote[1]) if len(remote) else None,
            )


def _psutil_port_owner(host: str, port: int) -> PortOwner | None:
    import psutil

    for pid, status, local, _ in _psutil_rows():
        if status != psutil.CONN_LISTEN or local is None or local[1] != port:
            continue
        if local[0] in ("0.0.0.0", "::", "*") or _is_same_host(local[0], host):
            return PortOwner(name=_process_name(pid), pid=pid)
    return None


def _psutil_client_processes(pairs: Sequence[SocketPair]) -> dict[SocketPair, str]:
    by_ports: dict[tuple[int, int], list[SocketPair]] = {}
    for pair in pairs:
        by_ports.setdefault((pair.client[1], pair.local[1]), []).append(pair)
    pids: dict[SocketPair, int] = {}
    for pid, _, local, remote in _psutil_rows():
        if local is None or remote is None:
            continue
        for pair in by_ports.get((local[1], remote[1]), ()):
            if _is_same_host(local[0], pair.client[0]):
                pids[pair] = pid
        if len(pids) == len(pairs):
            break
    return _with_names(pids)


def _process_name(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        if _ENGINE_MODULE in process.cmdline():
            return "another tui-forward engine"
        return process.name()
    except (psutil.Error, OSError):
        return ""


def _with_names(pids: Mapping[SocketPair, int]) -> dict[SocketPair, str]:
    names = {pid: _process_name(pid) for pid in set(pids.values())}
    return {pair: f"{names[pid]} ({pid})" for pair, pid in pids.items() if names[pid]}
