"""How to open what a forward leads to: guessed from the port's name and number, or asked."""

from __future__ import annotations

import asyncio
import ssl
import webbrowser
from enum import StrEnum
from pathlib import PurePath

from tui_forward.errors import ForwardError
from tui_forward.model import Forward

_SURE = {"https": "https", "tls": "https", "ssl": "https", "http": "http", "http1": "http"}
_NAMES_HTTPS = ("https", "webhook")
_NAMES_HTTP = (
    "http", "web", "www", "ui", "dashboard", "admin", "console", "metrics", "prom", "grafana",
    "health", "frontend", "site", "status", "management", "swagger", "pgadmin", "phpmyadmin",
)  # fmt: skip
# These win over whatever else the name says: "grpc-health", "h2c".
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
_DEFAULT = {"http": 80, "https": 443}
_ANSWER_BYTES = 5
# They would draw over the dashboard.
_TERMINAL_BROWSERS = frozenset({"lynx", "w3m", "links", "links2", "elinks", "www-browser"})
# "Any address" is where one listens, not where one connects to.
_REACHED = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Scheme(StrEnum):
    """What a browser can open."""

    HTTP = "http"
    HTTPS = "https"


def guess_scheme(number: int, name: str = "", app_protocol: str = "") -> Scheme | bool:
    """What a port speaks, by what it declares, its name and its number.

    Args:
        number: The port in the pod.
        name: Of the port; may be empty.
        app_protocol: `appProtocol` of a service port ("http", "kubernetes.io/h2c"); may be empty.

    Returns:
        A scheme; False where it is surely nothing for a browser; True where one has to ask.
    """
    declared = app_protocol.lower().rpartition("/")[2]
    if declared:
        if declared in ("ws", "wss"):
            return Scheme.HTTPS if declared == "wss" else Scheme.HTTP
        return Scheme(_SURE[declared]) if declared in _SURE else False
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
    """What a forward leads to, as far as its port tells; see `guess`."""
    port = forward.spec.target.port
    if port.isdecimal():
        return guess_scheme(forward.remote_port or int(port))
    return guess_scheme(forward.remote_port or 0, port)


def local_endpoint(forward: Forward) -> tuple[str, int] | None:
    """Host and port to connect to; IPv4 if there is one. None before it listens."""
    if not forward.listening:
        return None
    here = min(forward.listening, key=lambda address: ":" in address.host)
    return _REACHED.get(here.host, here.host), here.port


def address_text(forward: Forward) -> str:
    """What to paste: a URL where a browser takes it, else `host:port`; "" before it listens."""
    local = local_endpoint(forward)
    if local is None:
        return ""
    scheme = scheme_of(forward)
    if isinstance(scheme, Scheme):
        return url(scheme, *local)
    host, port = local
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def probe(host: str, port: int, *, timeout_s: float = 2.0) -> Scheme | None:
    """Ask what listens behind a local address: TLS, or plain HTTP. Safe to cancel.

    Makes one or two connections of its own.

    Args:
        host: Local address.
        port: Local port.
        timeout_s: For each try.

    Returns:
        None where it speaks neither, or says nothing.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is a question, nothing is said that needs trust
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        # An alert is TLS as well: it wants another name, or a certificate of ours.
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
                answer = await reader.readexactly(_ANSWER_BYTES)
            finally:
                writer.close()
    except (OSError, TimeoutError, EOFError):
        return None
    return Scheme.HTTP if answer == b"HTTP/" else None


def url(scheme: Scheme, host: str, port: int) -> str:
    """The address a browser takes."""
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if _DEFAULT[scheme] == port else f":{port}") + "/"


async def open_in_browser(address: str) -> None:
    """Have the system's browser show an address. Does not wait for the browser.

    Raises:
        ForwardError: There is none that can be started from here.
    """
    try:
        opened = await asyncio.to_thread(_open, address)
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        raise ForwardError(
            f"no browser can be started from here for {address}",
            hint="Copy the address with y, and paste it where there is one",
        )


def _open(address: str) -> bool:
    """Blocks; a browser that runs in the terminal counts as none.

    Without a screen, over ssh, those are all that `webbrowser` finds.
    """
    try:
        name = getattr(webbrowser.get(), "name", "")
    except webbrowser.Error:
        name = ""
    if PurePath(str(name)).name in _TERMINAL_BROWSERS:
        return False
    return webbrowser.open(address)
