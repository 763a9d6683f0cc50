"""Which requests of HTTP the proxy accepts, where they go, and how they are sent on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from tui_forward.engine.proxy.names import normalize_host, parse_localhost_name
from tui_forward.engine.proxy.policy import Credentials, Refusal, check_browser
from tui_forward.protocol.http1 import RequestHead, split_absolute_form, split_authority

PAC_PATH: Final = "/proxy.pac"

_HTTP_PORT: Final = 80
_MAX_AUTHORITY: Final = 320  # characters: a host name of DNS, and a port
_OWN_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HTTP2_METHOD: Final = "PRI"


class Destination(NamedTuple):
    """What a client asks for: a host and a port, or a name and the port of a `*.localhost`."""

    host: str
    port: str  # a number, except in a name of `*.localhost`: a name, or empty for that of HTTP
    is_localhost: bool = False

    def __str__(self) -> str:
        if self.is_localhost:
            return f"{self.host}.{self.port}.localhost" if self.port else f"{self.host}.localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ConnectTunnel:
    """A CONNECT: after the answer, everything is passed on."""

    destination: Destination


@dataclass(frozen=True, slots=True)
class AcceptedRequest:
    """A request as it is sent on to its destination."""

    destination: Destination
    head: RequestHead


@dataclass(frozen=True, slots=True)
class PacRequest:
    """A request for the PAC file."""


class RequestRules:
    """Rules for the requests to a proxy on a local port, the same for all of its clients.

    `strips_suffix`: see `ProxySpec.strip_suffix`.
    """

    def __init__(
        self, port: int, credentials: Credentials | None, *, strips_suffix: bool = False
    ) -> None:
        self._port = port
        self.credentials = credentials
        self._strips_suffix = strips_suffix

    def accept(self, head: RequestHead) -> AcceptedRequest | ConnectTunnel | PacRequest | Refusal:
        """Return what to do with a request."""
        if head.target.startswith("/") and head.method != "CONNECT":
            return self._accept_origin_form(head)
        if head.method == _HTTP2_METHOD:
            return Refusal(
                505,
                "the first bytes of HTTP/2 do not name a host",
                "Connect through SOCKS5 or CONNECT",
            )
        absolute = split_absolute_form(head.target)
        if head.method != "CONNECT" and absolute is None:
            return self._accept_origin_form(head)
        if self.credentials is not None and not self.credentials.allow(head):
            return Refusal(407, "the proxy needs a user name and a password")
        if absolute is None:
            return self._accept_connect(head)
        scheme, authority, path = absolute
        address = split_authority(authority)
        if scheme != "http" or address is None:
            return Refusal(
                400,
                "only http:// and a host can be requested in this way",
                "Use CONNECT for https://, as clients do by themselves",
            )
        host, port = normalize_host(address[0]), address[1]
        if self._is_own(host, port or _HTTP_PORT):
            # A client that sends everything to its proxy, also what is on the proxy's own port.
            return self._accept_origin_form(head.to_origin_form(authority, path))
        refusal = check_browser(head, authority)
        if refusal is not None:
            return refusal
        destination = Destination(host, str(port or _HTTP_PORT))
        return AcceptedRequest(destination, head.to_origin_form(authority, path))

    def _accept_connect(self, head: RequestHead) -> ConnectTunnel | Refusal:
        address = split_authority(head.target)
        if address is None or address[1] is None:
            return Refusal(400, "CONNECT needs a host and a port")
        host, port = normalize_host(address[0]), address[1]
        if self._is_own(host, port):
            return Refusal(400, "the proxy does not connect to itself")
        return ConnectTunnel(Destination(host, str(port)))

    def _is_own(self, host: str, port: int) -> bool:
        """Whether an address is this proxy's own."""
        is_own_name = host in _OWN_HOSTS or host.endswith(".localhost")
        return port == self._port and is_own_name

    def _accept_origin_form(self, head: RequestHead) -> AcceptedRequest | PacRequest | Refusal:
        authority = head.header(b"host").strip()
        address = _parse_own_authority(authority) if len(authority) <= _MAX_AUTHORITY else None
        if address is None:
            return Refusal(400, "the request names no host")
        host, port, name = address
        if port != self._port or (name is None and host not in _OWN_HOSTS):
            return Refusal(
                403,
                "the host of the request is none of this proxy",
                f"Open http://SERVICE.NAMESPACE.localhost:{self._port}/, or use this port as the "
                "proxy of your client",
            )
        refusal = check_browser(head, authority)
        if refusal is not None:
            return refusal
        if name is None:
            if head.method == "GET" and head.target.partition("?")[0] == PAC_PATH:
                return PacRequest()
            return Refusal(
                404,
                "nothing is here",
                f"Open http://SERVICE.NAMESPACE.localhost:{self._port}/",
            )
        if self.credentials is not None:
            return Refusal(
                403,
                "names of localhost take no password, which this proxy needs",
                "Use it as the proxy of your client, or start it without --auth-file",
            )
        if self._strips_suffix:
            head = _strip_suffix(head, name.host, name.port)
        return AcceptedRequest(name, head)


@lru_cache(maxsize=1024)
def _parse_own_authority(authority: str) -> tuple[str, int, Destination | None] | None:
    """Return host, port and, of a `*.localhost`, the destination of a Host; None if it is none."""
    address = split_authority(authority)
    if address is None:
        return None
    host = normalize_host(address[0])
    name = parse_localhost_name(host)
    destination = Destination(*name, is_localhost=True) if name is not None else None
    return host, address[1] or _HTTP_PORT, destination


def _strip_suffix(head: RequestHead, name: str, port: str) -> RequestHead:
    """Return a request to a name of `*.localhost` as a client in the cluster would send it.

    `Origin`, which names the same host, changes with `Host`, because servers compare the two. A
    port that is not a number is left out.
    """
    is_number = port.isdecimal() and int(port) != _HTTP_PORT
    host = (f"{name}:{port}" if is_number else name).encode("ascii")
    return head.with_values({b"host": host, b"origin": b"http://" + host})
