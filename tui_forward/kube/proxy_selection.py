"""Selection of the proxy for an API server: `proxy-url`, else the environment as Go reads it.

client-go uses golang.org/x/net/http/httpproxy: `HTTPS_PROXY` and `HTTP_PROXY` in either case
(`ALL_PROXY` is not read), `NO_PROXY` with domains, addresses, CIDR ranges and ports; requests
to localhost and loopback addresses never use a proxy of the environment.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from tui_forward.common.redaction import url_password
from tui_forward.known_secrets import remember
from tui_forward.transport.proxy_address import ProxyAddress, parse_proxy_url

# Of a kubeconfig; the environment may also say socks5h, which is the same.
PROXY_URL_SCHEMES = frozenset({"http", "https", "socks5"})
_LEADING_ZEROS = re.compile(r"(?<![0-9a-f])0+(?=[0-9])")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def select_proxy(
    host: str, port: int, *, tls: bool, proxy_url: str, environ: Mapping[str, str], origin: str
) -> ProxyAddress | None:
    """Return the proxy for one server, or None for a direct connection.

    `proxy_url` is the cluster's, or empty; `origin` is where it is set, for a ConfigError, which
    does not show its password.
    """
    if proxy_url:
        return parse_proxy_url(proxy_url, f"proxy-url of {origin}", schemes=PROXY_URL_SCHEMES)
    variable = "HTTPS_PROXY" if tls else "HTTP_PROXY"
    value = environ.get(variable) or environ.get(variable.lower()) or ""
    no_proxy = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if not value or _is_bypassed(host, port, no_proxy):
        return None
    remember(url_password(value))
    # As in Go, a bare "proxy:3128" means http.
    return parse_proxy_url(value if "://" in value else f"http://{value}", variable)


def _is_bypassed(host: str, port: int, no_proxy: str) -> bool:
    host = host.lower()
    address = _parse_address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    entries = (entry.strip().lower() for entry in no_proxy.split(","))
    return any(_matches(entry, host, port, address) for entry in entries if entry)


def _matches(entry: str, host: str, port: int, address: _Address | None) -> bool:
    """Whether one entry of NO_PROXY covers a server."""
    if entry == "*":
        return True
    if "/" in entry:
        try:
            # Kubernetes accepts leading zeros in ranges, but not in addresses.
            network = entry if ":" in entry else _LEADING_ZEROS.sub("", entry)
            return address is not None and address in ipaddress.ip_network(network, strict=False)
        except ValueError:
            return False
    name = entry
    head, colon, tail = entry.rpartition(":")
    if colon and tail.isdigit() and (":" not in head or head.startswith("[")):
        if int(tail) != port:
            return False
        name = head
    name = name.strip("[]")
    excluded = _parse_address(name)
    if excluded is not None:
        return excluded == address
    # "foo.com" covers bar.foo.com and foo.com; ".foo.com" and "*.foo.com" only the former.
    name = name.removeprefix("*")
    if name.startswith("."):
        return len(name) > 1 and host.endswith(name)
    return host == name or host.endswith(f".{name}") if name else False


def _parse_address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # As in Go, ::ffff:192.0.2.2 is 192.0.2.2.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
