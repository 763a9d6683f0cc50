"""What was sent and received, for a bug report. Nothing in it is secret or tells where users are.

Kept as recorded; `export` replaces secrets, names of hosts, addresses and home folders. Values of
headers are kept for a few names only, and bodies never, except texts that explain an error.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tui_forward.common.redaction import redact
from tui_forward.known_secrets import HIDDEN

_MAX_ENTRIES: Final = 2000
_MAX_TEXT: Final = 2000
# Of requests and answers: what tells which program speaks, and what it agrees to.
_SHOWN_HEADERS: Final = frozenset({
    "accept", "audit-id", "cache-control", "connection", "content-length", "content-type", "date",
    "retry-after", "sec-websocket-protocol", "sec-websocket-version", "server",
    "transfer-encoding", "upgrade", "user-agent", "via", "x-stream-protocol-version",
})  # fmt: skip
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*(?:%\w+)?")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_HOST: Final = re.compile(r"(?<=://)(?:[^/\s@]*@)?([\w.-]+|\[[^\]]+\])")


class Trace:
    """Entries in order, each with its time since the begin, at most `_MAX_ENTRIES`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin = clock()
        self._entries: list[dict[str, Any]] = []
        self._hosts: dict[str, None] = {}

    def add_hosts(self, *hosts: str) -> None:
        """Replace these names of hosts, and those of their domains, in the export."""
        for host in hosts:
            if host and not _is_address(host):
                self._hosts[host.lower()] = None

    def record(self, what: str, **values: Any) -> None:
        """Add an entry; beyond the limit it is dropped."""
        if len(self._entries) < _MAX_ENTRIES:
            at_ms = round(1000 * (self._clock() - self._begin), 1)
            self._entries.append({"at_ms": at_ms, "what": what, **values})

    def record_headers(
        self, what: str, first_line: str, headers: Iterable[tuple[str, str]], **values: Any
    ) -> None:
        """Add the head of a request or an answer; values of most headers are hidden."""
        shown = [
            [name, value if name.lower() in _SHOWN_HEADERS else HIDDEN] for name, value in headers
        ]
        self.record(what, head=first_line, headers=shown, **values)

    def export(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return all entries behind `facts`, without secrets and addresses."""
        replacer = _Replacer(self._hosts)
        return {**replacer.clean(dict(facts)), "entries": replacer.clean(self._entries)}


class _Replacer:
    """Replaces the same text by the same placeholder everywhere."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._hosts = sorted(hosts, key=len, reverse=True)
        self._home = str(Path.home())

    def clean(self, value: Any) -> Any:
        """Return a value of JSON types with every text in it cleaned."""
        match value:
            case str():
                return self._text(value)
            case dict():
                return {self._text(str(key)): self.clean(one) for key, one in value.items()}
            case list() | tuple():
                return [self.clean(one) for one in value]
            case _:
                return value

    def _text(self, text: str) -> str:
        text = redact(text, limit=_MAX_TEXT)
        for host in self._hosts:
            pattern = rf"(?i)(?<![\w.-]){re.escape(host)}(?![\w-])"
            text = re.sub(pattern, self._name("host", host), text)
        text = _EMAIL.sub(lambda found: self._name("user", found[0]), text)
        text = _HOST.sub(lambda found: self._host(found[1]), text)
        text = _IPV4.sub(lambda found: self._address(found[0]), text)
        text = _IPV6.sub(lambda found: self._address(found[0]), text)
        if len(self._home) > 1:
            text = text.replace(self._home, "~")
        return text

    def _host(self, host: str) -> str:
        bare = host.strip("[]")
        if _is_address(bare):
            return self._address(bare)
        return host if re.fullmatch(r"host-\d+", host) else self._name("host", host.lower())

    def _address(self, text: str) -> str:
        if text.endswith((":", ".")) and not text.endswith("::"):  # of the sentence
            return self._address(text[:-1]) + text[-1]
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return text
        # Loopback tells nothing about a user, but much about a fault.
        return text if address.is_loopback else self._name(f"ipv{address.version}", text)

    def _name(self, kind: str, text: str) -> str:
        key = (kind, text)
        if key not in self._names:
            self._names[key] = f"{kind}-{1 + sum(one == kind for one, _ in self._names)}"
        return self._names[key]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
