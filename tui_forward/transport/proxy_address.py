"""URLs of proxies: `proxy-url` and the proxy variables of the environment. No I/O."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from tui_forward.errors import ConfigError

_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_HINT = "Use http://, https:// or socks5:// and a host, for example socks5://127.0.0.1:1080"


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """A parsed proxy URL. Neither `str` nor `repr` shows the user or the password."""

    scheme: str  # "http", "https", "socks5" or "socks5h"
    host: str  # name or address, without brackets
    port: int
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_socks(self) -> bool:
        """Whether the proxy speaks SOCKS5; the others speak HTTP CONNECT."""
        return self.scheme.startswith("socks")


def parse_proxy_url(
    url: str, origin: str = "proxy-url", *, schemes: Container[str] = _DEFAULT_PORTS
) -> ProxyAddress:
    """Parse the URL of a proxy, which may hold a user and a password, or raise ConfigError.

    `origin` is where the URL comes from, for the error text, which does not quote it.
    """
    if _BAD_ESCAPE.search(url.partition("?")[0]):
        raise ConfigError(f"{origin} has a % that is not followed by two hexadecimal digits")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"{origin} is not a valid URL", hint=_HINT) from None
    if parts.scheme not in schemes:
        raise ConfigError(f'{origin} has the unknown scheme "{parts.scheme}"', hint=_HINT)
    if not parts.hostname or port == 0:
        raise ConfigError(f"{origin} names no host", hint=_HINT)
    return ProxyAddress(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
