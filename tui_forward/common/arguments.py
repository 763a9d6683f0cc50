"""Parsers of user input: targets, ports, addresses and durations in kubectl's syntax.

Pure. Invalid input raises `UsageError` with a hint that shows the right form.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

import msgspec

from tui_forward.errors import UsageError
from tui_forward.model import MAX_PRECONNECT, PRECONNECT_AGES_S, Balance, TargetKind

# kubectl's names, singular, plural and short, and the API group it accepts behind a dot
# ("deployments.apps/web").
_KINDS: dict[str, tuple[TargetKind, str]] = {
    alias: (kind, group)
    for kind, group, aliases in (
        (TargetKind.POD, "", ("pod", "pods", "po")),
        (TargetKind.SERVICE, "", ("service", "services", "svc")),
        (TargetKind.DEPLOYMENT, "apps", ("deployment", "deployments", "deploy")),
        (TargetKind.STATEFULSET, "apps", ("statefulset", "statefulsets", "sts")),
        (TargetKind.DAEMONSET, "apps", ("daemonset", "daemonsets", "ds")),
        (TargetKind.REPLICASET, "apps", ("replicaset", "replicasets", "rs")),
        (
            TargetKind.REPLICATION_CONTROLLER,
            "",
            ("replicationcontroller", "replicationcontrollers", "rc"),
        ),
        (TargetKind.JOB, "batch", ("job", "jobs")),
    )
    for alias in aliases
}
# Unlike the others, kubectl knows these in lower case only, and ignores a version behind them.
_SHORT_NAMES = frozenset({"po", "svc", "deploy", "sts", "ds", "rs", "rc"})
_KIND_NAMES = ", ".join(kind.value for kind in TargetKind if kind is not TargetKind.SELECTOR)

# RFC 1123 subdomain and label, as the API server validates object and port names.
_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# Seconds, or parts with units, as Go reads durations ("1m30s", "+.5h"); both signs of micro.
_PART = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)"
_DURATION = re.compile(rf"\+?(?:\d+(?:\.\d+)?|(?:{_PART}){{1,16}})", re.ASCII)
_DURATION_PART = re.compile(_PART, re.ASCII)
_UNITS_S = {
    "ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0,
    "h": 3600.0,
}  # fmt: skip
_DNS_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
MAX_SIZE = 1024**4
_SIZE = re.compile(r"([0-9]{1,3}) ?(B|kB|MB|GB|KiB|MiB|GiB)")
_SIZE_UNITS = {
    "B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3,
    "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3,
}  # fmt: skip
_MAX_DURATION_S = 24 * 3600.0
# Of Go, which counts nanoseconds in 64 bits.
MAX_GO_DURATION_S = 2**63 / 1e9
_SCOPE_ID = re.compile(r"[A-Za-z0-9._-]{1,15}")  # an interface name has at most 15 characters
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class PortPair(msgspec.Struct, frozen=True):
    """One `[LOCAL:]REMOTE`."""

    # None when not written (the remote number if that is free), 0 for any free port.
    local: int | None
    remote: str  # number in decimal, or the name of a port


def parse_target(text: str) -> tuple[TargetKind, str]:
    """Return kind and name of `web-1`, `pod/web-1`, `svc/web`, `deployments.apps/web`, …."""
    resource, slash, name = text.partition("/")
    if not slash:
        resource, name = "pod", text
    alias, dot, suffix = resource.partition(".")
    lowered = alias.lower()
    known = None if lowered in _SHORT_NAMES and alias != lowered else _KINDS.get(lowered)
    if known is None or (dot and suffix not in _suffixes(alias, known[1])):
        raise UsageError(
            f'cannot forward to "{text}": "{resource}" is not a kind of object that has pods',
            hint=f"use KIND/NAME, where KIND is one of {_KIND_NAMES}",
        )
    if "/" in name or len(name) > 253 or not _OBJECT_NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" cannot be the name of an object' if name else f'"{text}" names no object',
            hint="write the target as NAME or KIND/NAME, for example web-1 or svc/web",
        )
    return known[0], name


def _suffixes(alias: str, group: str) -> tuple[str, ...]:
    """Return what may follow the first dot: `deployments.apps`, `deployments.v1.apps`, `pods.v1.`.

    Without a group, kubectl finds a short name in any.
    """
    return ("", group, f"v1.{group}", *(["v1."] if alias in _SHORT_NAMES else []))


def validate_selector(text: str) -> str:
    """Return a label selector, checked only for obvious mistakes; the server validates it."""
    selector = text.strip()
    prefix, slash, _ = selector.partition("/")
    if not selector or (slash and prefix.lower() in _KINDS):
        raise UsageError(
            f'"{text}" is not a label selector', hint="write labels, for example -l app=web"
        )
    return selector


def parse_port(text: str) -> PortPair:
    """Parse `8080`, `8080:80`, `:80`, `8080:http`, `:http` or `http`."""
    parts = text.split(":")
    if len(parts) > 2 or not parts[-1]:
        raise UsageError(
            f'"{text}" is not a port',
            hint="write REMOTE, LOCAL:REMOTE or :REMOTE, for example 8080, 8080:80 or :http",
        )
    remote = _parse_remote(parts[-1], text)
    if len(parts) == 1:
        return PortPair(None, remote)
    return PortPair(_parse_local(parts[0], text) if parts[0] else 0, remote)


def _parse_remote(text: str, whole: str) -> str:
    if text.isascii() and text.isdigit():
        if not 1 <= int(text) <= 65535:
            raise UsageError(
                f'"{whole}" is not a port: {text} is out of range',
                hint="the remote port is a number from 1 to 65535, or a name",
            )
        return str(int(text))
    if not _PORT_NAME.fullmatch(text):
        raise UsageError(
            f'"{whole}" is not a port: "{text}" is neither a number nor the name of a port',
            hint="write REMOTE, LOCAL:REMOTE or :REMOTE, for example 8080, 8080:80 or :http",
        )
    return text


def parse_remote_port(text: str) -> str:
    """Return a remote port: its number in decimal, or its name."""
    return _parse_remote(text, text)


def _parse_local(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise UsageError(
            f'"{whole}" is not a port: the local port "{text}" is not a number from 0 to 65535',
            hint="only the remote port can be a name, for example 8080:http",
        )
    return int(text)


def parse_ports(texts: Sequence[str]) -> tuple[PortPair, ...]:
    """Parse all ports of a command line: at least one, and no local port twice."""
    if not texts:
        raise UsageError(
            "no port given", hint="name at least one port, for example 8080, 8080:80 or :http"
        )
    pairs = tuple(parse_port(text) for text in texts)
    seen: set[int] = set()
    for pair in pairs:
        if pair.local and pair.local in seen:
            raise UsageError(
                f"local port {pair.local} is used twice",
                hint=f"choose another one, for example :{pair.remote} for any free port",
            )
        if pair.local:
            seen.add(pair.local)
    return pairs


def parse_addresses(texts: Iterable[str]) -> tuple[str, ...]:
    """Parse `--address` values: comma lists of IP addresses and `localhost`; drop duplicates."""
    addresses: dict[str, None] = {}
    for text in texts:
        for part in text.split(","):
            addresses[parse_address(part.strip() or text)] = None
    return tuple(addresses) or ("localhost",)


def parse_address(text: str) -> str:
    """Return `localhost`, or an IP address in its usual form; UsageError for anything else.

    The scope id of an IPv6 address is the name or the number of an interface (`fe80::1%eth0`).
    """
    address = text[1:-1] if text[:1] == "[" and text[-1:] == "]" and ":" in text else text
    if address == "localhost":
        return address
    # `ipaddress` accepts any scope id, even text with the meaning of a shell command.
    number, percent, scope = address.partition("%")
    try:
        parsed = ipaddress.ip_address(number)
    except ValueError:
        parsed = None
    if parsed is None or (percent and (parsed.version == 4 or not _SCOPE_ID.fullmatch(scope))):
        raise UsageError(
            f'"{text}" is not an address to listen on',
            hint="use IP addresses or localhost, for example 127.0.0.1,::1",
        )
    return f"{parsed}{percent}{scope}"


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach an address of `parse_address`.

    An address with a scope id belongs to the interface of that name, whatever its number is.
    """
    return address == "localhost" or (
        "%" not in address and any(ipaddress.ip_address(address) in net for net in _LOOPBACK)
    )


def share_address(ones: Iterable[str], others: Iterable[str]) -> bool:
    """Return whether two lists of `parse_addresses` cannot have the same port."""
    first, second = _bound_addresses(ones), _bound_addresses(others)
    return bool(first & second) or any(
        wildcard in some and any((":" in address) == (wildcard == "::") for address in others)
        for wildcard in ("0.0.0.0", "::")
        for some, others in ((first, second), (second, first))
    )


def _bound_addresses(texts: Iterable[str]) -> set[str]:
    return {address for text in texts
            for address in (("127.0.0.1", "::1") if text == "localhost" else (text,))}  # fmt: skip


def parse_duration_s(text: str, *, longest_s: float = _MAX_DURATION_S) -> float:
    """Return the seconds of `30`, `30s`, `500ms`, `1.5m`, `1m30s` or `1h`, by default of a day."""
    text = text.strip()
    if not _DURATION.fullmatch(text):
        raise UsageError(
            f'"{text}" is not a duration', hint="write seconds or a unit, for example 30 or 500ms"
        )
    parts = _DURATION_PART.findall(text) or [(text, "s")]
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if seconds > longest_s:
        raise UsageError(
            f'"{text}" is too long', hint=f"a duration is at most {longest_s / 3600:.0f}h"
        )
    return seconds


def parse_preconnect(value: object) -> int:
    """Return how many connections to open ahead, from a text or a number in a file."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    if not text.isdecimal() or len(text) > 3 or int(text) > MAX_PRECONNECT:
        raise UsageError(
            f'"{value}" is not a number of connections to open ahead',
            hint=f"use 0 to {MAX_PRECONNECT}",
        )
    return int(text)


def parse_preconnect_age(value: object) -> float:
    """Return the seconds of the greatest age of connections opened ahead, from a text or a file."""
    seconds = parse_duration_value(value)
    least_s, most_s = PRECONNECT_AGES_S
    if not least_s <= seconds <= most_s:
        raise UsageError(
            f'"{value}" is not an age for connections opened ahead',
            hint=f"use {format_duration_arg(least_s)} to {format_duration_arg(most_s)}",
        )
    return seconds


def parse_balance(value: object) -> Balance:
    """Return which pods get the connections, from a text."""
    if not isinstance(value, str) or value not in tuple(Balance):
        raise UsageError(
            f'"{value}" is not a way to balance connections',
            hint=f"use one of {', '.join(Balance)}",
        )
    return Balance(value)


def parse_duration_value(value: object) -> float:
    """Return the seconds, 0 to a day, of a duration in a file: a number of seconds, or a text."""
    if isinstance(value, str):
        return parse_duration_s(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError("must be a duration", hint="for example 30s or 500ms")
    if not 0 <= value <= _MAX_DURATION_S:
        raise UsageError("must be a duration of at most 24h", hint="for example 30s or 500ms")
    return float(value)


def parse_domain_value(value: object) -> str:
    """Return the domain of a cluster's names in a file: DNS labels in lower case."""
    if not isinstance(value, str):
        raise UsageError("must be a domain in quotes", hint="for example cluster.local")
    if not _DOMAIN.fullmatch(value):
        raise UsageError(f'"{value}" is not a valid domain', hint="for example cluster.local")
    return str(value)


def parse_size_value(value: object) -> int:
    """Return the bytes, at most 1 TiB, of a size in a file: a number of bytes, or a text."""
    hint = "for example 256MiB or 1GB, or 0 for none"
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if match is None:
            raise UsageError(f'"{value}" is not a size', hint=hint)
        value = int(match[1]) * _SIZE_UNITS[match[2]]
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError("must be a size", hint=hint)
    if not 0 <= value <= MAX_SIZE:
        raise UsageError("must be a size of at most 1 TiB", hint=hint)
    return value


def format_size_arg(size: int) -> str:
    """Return a size for `parse_size_value`: `256MiB`."""
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if size % _SIZE_UNITS[unit] == 0)
    return f"{size // _SIZE_UNITS[unit]}{unit}" if size else "0B"


def format_duration_arg(seconds: float) -> str:
    """Return a duration for `parse_duration_s`: `30s`."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"
