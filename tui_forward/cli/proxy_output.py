"""Cluster proxies as lines of a table and as JSON objects."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from tui_forward.cli.event_output import ipv4_first
from tui_forward.cli.output import style
from tui_forward.common.access_options import describe_access_options
from tui_forward.common.formatting import format_rate, pluralize, short_age
from tui_forward.common.printable import one_line
from tui_forward.model import Forward, ProxyInfo


def targets_of(proxy: ProxyInfo, forwards: Sequence[Forward]) -> list[Forward]:
    """Return the open targets of a proxy."""
    return [one for one in forwards if one.spec.proxy == proxy.id]


def proxy_to_dict(proxy: ProxyInfo, forwards: Sequence[Forward]) -> dict[str, Any]:
    """Return a proxy for JSON output, with the same keys in every command."""
    spec = proxy.spec
    targets = targets_of(proxy, forwards)
    return {
        "proxy": proxy.id,
        "context": spec.context,
        "namespace": spec.namespace,
        "options": describe_access_options(spec.options),
        "listening": [str(address) for address in proxy.listening],
        "direct": spec.direct,
        "spread": spec.spread,
        "services": proxy.services,
        "code": proxy.code,
        "reason": proxy.reason,
        "hint": proxy.hint,
        "targets": [one.id for one in targets],
        "connections": sum(one.counters.connections_open for one in targets),
        "refused": proxy.refused,
        "last_refusal": proxy.last_refusal,
        "started_at": proxy.started_at,
    }


def proxy_lines(
    proxies: Sequence[ProxyInfo], forwards: Sequence[Forward], *, color: bool
) -> Iterator[str]:
    """Yield a line for each proxy, and one below it if its names are not all known."""
    for proxy in proxies:
        targets = targets_of(proxy, forwards)
        connections = sum(one.counters.connections_open for one in targets)
        rate = sum(one.counters.rate_from_pod + one.counters.rate_to_pod for one in targets)
        parts = [
            f"{proxy.id}  cluster proxy on {_address(proxy)} for {proxy.spec.context}",
            pluralize(len(targets), "target"),
            pluralize(connections, "connection"),
            format_rate(rate),
            f"up {short_age(time.time() - proxy.started_at)}",
        ]
        yield one_line(", ".join(filter(None, parts)))
        if proxy.reason:
            hint = f" → {one_line(proxy.hint)}" if proxy.hint else ""
            what = "services" if proxy.listening else "blocked"
            yield style(f"    {what}: {one_line(proxy.reason)}{hint}", "2", color=color)


def _address(proxy: ProxyInfo) -> str:
    """Return where a proxy listens, or is to listen once its port is free."""
    if not proxy.listening:
        return f"port {proxy.spec.port}"
    return str(ipv4_first(proxy.listening)[0])


def describe_proxy(proxy: ProxyInfo) -> str:
    """Return a proxy in words, for messages."""
    return f"cluster proxy on {_address(proxy)} for {proxy.spec.context}"
