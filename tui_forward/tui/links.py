"""How to open what a forward leads to: guessed from the port's name and number, or asked."""

from __future__ import annotations

import asyncio
import ssl
import webbrowser
from enum import StrEnum

from tui_forward.errors import ForwardError

_NAMES_HTTPS = ("https", "webhook", "tls", "ssl")
_NAMES_HTTP = (
    "http", "web", "ui", "dashboard", "admin", "console", "metrics", "prom", "grafana", "health",
    "frontend", "www", "site", "status", "management",
)  # fmt: skip
_NAMES_OTHER = (
    "grpc", "postgres", "pg", "psql", "mysql", "redis", "mongo", "kafka", "amqp", "rabbit", "nats",
    "mqtt", "ldap", "smtp", "ssh", "ftp", "cassandra", "cql", "memcache", "zookeeper", "etcd",
    "dns",
    "thrift", "mssql", "oracle",
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


class Scheme(StrEnum):
    """What a browser can open."""

    HTTP = "http"
    HTTPS = "https"


def guess(number: int, name: str = "") -> Scheme | bool:
    """What a port speaks, by its name and number.

    Returns:
        A scheme; False where it is surely nothing for a browser; True where one has to ask.
    """
    low = name.lower()
    parts = low.replace("_", "-").split("-")
    if any(part.startswith(_NAMES_OTHER) for part in parts):
        return False
    if any(part.startswith(_NAMES_HTTPS) for part in parts):
        return Scheme.HTTPS
    if any(part.startswith(_NAMES_HTTP) for part in parts):
        return Scheme.HTTPS if number in _HTTPS else Scheme.HTTP
    if number in _HTTPS:
        return Scheme.HTTPS
    if number in _HTTP:
        return Scheme.HTTP
    return number not in _OTHER


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
    except (OSError, TimeoutError, ssl.SSLError, EOFError):
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
    """Have the system's browser show an address.

    Raises:
        ForwardError: There is none that can be started from here.
    """
    try:
        opened = await asyncio.to_thread(webbrowser.open, address)
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        raise ForwardError(
            f"no browser can be started from here for {address}",
            hint="Copy the address with y, and paste it where there is one",
        )
