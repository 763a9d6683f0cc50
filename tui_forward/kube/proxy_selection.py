"""Which proxy leads to an API server: `proxy-url`, else the environment as Go reads it.

Go's `http.ProxyFromEnvironment` (golang.org/x/net/http/httpproxy), which kubectl uses:
`HTTPS_PROXY`/`HTTP_PROXY` in either case, `NO_PROXY` with domains, addresses, CIDR ranges
and ports; requests to localhost and loopback addresses never take a proxy of the environment.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from tui_forward.errors import ConfigError

SCHEMES = ("http", "https", "socks5", "socks5h")


def select_proxy(
    host: str, port: int, *, tls: bool, proxy_url: str, environ: Mapping[str, str], origin: str
) -> str | None:
    """The proxy URL for one API server, or None.

    Args:
        host: Name or address of the API server.
        port: Its port.
        tls: Whether it speaks TLS.
        proxy_url: `proxy-url` of the cluster; empty when there is none.
        environ: Environment variables.
        origin: Where `proxy_url` stands, for errors.

    Raises:
        ConfigError: The proxy cannot be used; the message does not show its password.
    """
    if proxy_url:
        return _checked(proxy_url, f"proxy-url of {origin}")
    variable = "HTTPS_PROXY" if tls else "HTTP_PROXY"
    value = environ.get(variable) or environ.get(variable.lower()) or ""
    if not value or _bypassed(host, port, environ.get("NO_PROXY") or environ.get("no_proxy") or ""):
        return None
    # Go takes a bare "proxy:3128" to mean http.
    return _checked(value if "://" in value else f"http://{value}", variable)


def _checked(url: str, where: str) -> str:
    hint = "Use http://, https:// or socks5:// and a host, for example socks5://127.0.0.1:1080"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"{where} is not a valid URL", hint=hint) from None
    if parts.scheme not in SCHEMES:
        raise ConfigError(f'{where} has the unknown scheme "{parts.scheme}"', hint=hint)
    if not parts.hostname or port == 0:
        raise ConfigError(f"{where} names no host", hint=hint)
    return url


def _bypassed(host: str, port: int, no_proxy: str) -> bool:
    host = host.lower().rstrip(".")
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None and address.is_loopback:
        return True
    return any(_matches(host, port, address, item.strip().lower()) for item in no_proxy.split(","))


def _matches(
    host: str,
    port: int,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
    item: str,
) -> bool:
    if not item:
        return False
    if item == "*":
        return True
    if "/" in item:
        try:
            return address is not None and address in ipaddress.ip_network(item, strict=False)
        except ValueError:
            return False
    name, colon, wanted = item.rpartition(":")
    if colon and wanted.isdigit() and (":" not in name or name.startswith("[")):
        if int(wanted) != port:
            return False
        item = name.strip("[]")
    if address is not None:
        return item == host
    if item.startswith("*."):
        item = item[1:]
    if item.startswith("."):
        return host.endswith(item)
    return host == item or host.endswith("." + item)
