"""Links to forwards: the scheme of a port by name and number, or by a probe."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import webbrowser
from enum import StrEnum
from pathlib import PurePath

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.errors import ForwardError
from tui_forward.model import Forward

_APP_PROTOCOLS = {"https": "https", "tls": "https", "ssl": "https", "http": "http", "http1": "http"}
_NAMES_HTTPS = ("https", "webhook")
_NAMES_HTTP = (
    "http", "web", "www", "ui", "dashboard", "admin", "console", "metrics", "prom", "grafana",
    "health", "frontend", "site", "status", "management", "swagger", "pgadmin", "phpmyadmin",
)  # fmt: skip
# These take precedence over other parts of a name: "grpc-health", "h2c".
_NAMES_GRPC = ("grpc", "h2c", "http2")
_NAMES_OTHER = (
    "postgres", "pg", "psql", "mysql", "redis", "mongo", "kafka", "amqp", "rabbit", "nats",
    "mqtt", "ldap", "smtp", "ssh", "ftp", "cassandra", "cql", "memcache", "zookeeper", "etcd",
    "dns", "thrift", "mssql", "oracle",
)  # fmt: skip
_HTTPS = frozenset({443, 6443, 8443, 9443, 10250, 4443})
_HTTP = frozenset(
    {80, 3000, 3001, 4200, 5000, 5173, 5601, 8000, 8001, 8008, 8080, 8081, 8088, 8888, 9000, 9090,
     9091, 9093, 9100, 9200, 15672, 16686}
)  # fmt: skip
_OTHER = frozenset(
    {21, 22, 25, 53, 389, 636, 1433, 1521, 1883, 2181, 2379, 3306, 4222, 5432, 5433, 5672, 6379,
     7000, 7687, 9042, 9092, 11211, 26257, 27017, 50051}
)  # fmt: skip
_DEFAULT_PORTS = {"http": 80, "https": 443}
_RESPONSE_BYTES = 5
_URL = re.compile(r"https?://[^\s<>\"'`]+")
# Browsers that run in the terminal would overwrite the dashboard.
_TERMINAL_BROWSERS = frozenset({"lynx", "w3m", "links", "links2", "elinks", "www-browser"})
# The wildcard address can be listened on, but not connected to.
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Scheme(StrEnum):
    """URL schemes of a browser."""

    HTTP = "http"
    HTTPS = "https"


def guess_scheme(number: int, name: str = "", app_protocol: str = "") -> Scheme | bool:
    """Return the scheme of a port of the pod by its declaration, name and number.

    `app_protocol` is that of a service port ("http", "kubernetes.io/h2c"). Return False if a
    browser surely cannot open it, True if it must be probed.
    """
    declared = app_protocol.lower().rpartition("/")[2]
    if declared:
        if declared in ("ws", "wss"):
            return Scheme.HTTPS if declared == "wss" else Scheme.HTTP
        return Scheme(_APP_PROTOCOLS[declared]) if declared in _APP_PROTOCOLS else False
    parts = name.lower().replace("_", "-").split("-")
    for part in parts:
        if part in ("http", "https"):
            return Scheme.HTTPS if part == "https" or number in _HTTPS else Scheme.HTTP
    if any(part.startswith(_NAMES_GRPC) for part in parts):
        return False
    if any(part in ("tls", "ssl") or part.startswith(_NAMES_HTTPS) for part in parts):
        return Scheme.HTTPS
    if any(part.startswith(_NAMES_HTTP) for part in parts):
        return Scheme.HTTPS if number in _HTTPS else Scheme.HTTP
    if any(part.startswith(_NAMES_OTHER) for part in parts):
        return False
    if number in _HTTPS:
        return Scheme.HTTPS
    if number in _HTTP:
        return Scheme.HTTP
    return number not in _OTHER


def scheme_of(forward: Forward) -> Scheme | bool:
    """Return the scheme of a forward; see `guess_scheme`."""
    port = forward.spec.target.port
    if port.isdecimal():
        return guess_scheme(forward.remote_port or int(port))
    return guess_scheme(forward.remote_port or 0, port)


def local_endpoint(forward: Forward) -> tuple[str, int] | None:
    """Return host and port to connect to, IPv4 if possible; None before it listens."""
    if not forward.listening:
        return None
    local = min(forward.listening, key=lambda address: ":" in address.host)
    return _LOOPBACK_OF.get(local.host, local.host), local.port


def address_text(forward: Forward) -> str:
    """Return a URL if a browser can open it, else `host:port`; empty before it listens."""
    local = local_endpoint(forward)
    if local is None:
        return ""
    scheme = scheme_of(forward)
    if isinstance(scheme, Scheme):
        return url(scheme, *local)
    host, port = local
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def probe(host: str, port: int, *, timeout_s: float = 2.0) -> Scheme | None:
    """Detect TLS or plain HTTP behind a local address; None if neither. Safe to cancel.

    Opens one or two connections, each for at most `timeout_s`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # only a probe: no data is sent
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        # An alert is TLS, too: the server requires another name or a client certificate.
        if "ALERT" in (error.reason or ""):
            return Scheme.HTTPS
    except (OSError, TimeoutError, EOFError):
        pass
    else:
        writer.close()
        return Scheme.HTTPS
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                response = await reader.readexactly(_RESPONSE_BYTES)
            finally:
                writer.close()
    except (OSError, TimeoutError, EOFError):
        return None
    return Scheme.HTTP if response == b"HTTP/" else None


def url(scheme: Scheme, host: str, port: int) -> str:
    """Return a URL."""
    # RFC 6874: the percent sign before a scope id is encoded.
    shown = f"[{host.replace('%', '%25')}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if _DEFAULT_PORTS[scheme] == port else f":{port}") + "/"


def find_urls(text: str) -> tuple[str, ...]:
    """Return the http and https addresses in a text, each once."""
    found = (match[0].rstrip(".,;:!?)]}") for match in _URL.finditer(text))
    return tuple(dict.fromkeys(found))


async def open_in_browser(address: str) -> None:
    """Open an address in the system's browser. Does not wait for the browser."""
    try:
        opened = await run_in_thread(lambda: _open(address), name="browser")
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        raise ForwardError(
            f"no browser can be started for {address}",
            hint="Copy the address with y, and paste it into a browser",
        )


def _open(address: str) -> bool:
    """Open a graphical browser; blocks.

    Without a display (over ssh) `webbrowser` finds terminal browsers only.
    """
    try:
        name = getattr(webbrowser.get(), "name", "")
    except webbrowser.Error:
        name = ""
    if PurePath(str(name)).name in _TERMINAL_BROWSERS:
        return False
    found = shutil.which(str(name)) if name else None
    if found is not None and not PurePath(found).is_absolute():  # of the current folder
        return False
    return webbrowser.open(address)
