"""Rules of the proxy: who may connect, and which requests of browsers are answered. Pure.

A page that a browser has open can send requests to any port of this machine. So requests are
answered only if

* their `Host` is a name that this proxy has given: this keeps out DNS rebinding, where a page of
  the attacker's own host name suddenly has the address of this machine;
* a browser says, in `Sec-Fetch-Site`, that the user has opened the address, or that a page of the
  same origin has sent the request. Browsers send it to `*.localhost`, and pages cannot change it;
* the `Origin`, if there is one, is that of the request itself. Browsers send it with everything
  that is not a plain GET, and with WebSocket handshakes, some of them without `Sec-Fetch-Site`.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tui_forward.common.bounded_file import read_bounded
from tui_forward.errors import ConfigError
from tui_forward.protocol.http1 import RequestHead

_MAX_CREDENTIALS: Final = 4096  # bytes
_OWN_SITES: Final = frozenset({"none", "same-origin"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the proxy answers itself."""

    status: int
    cause: str  # a sentence without a full stop
    hint: str = ""


def check_browser(head: RequestHead, authority: str) -> Refusal | None:
    """Return why a request to an authority (`host:port`) is refused; None if it is not."""
    site = head.header(b"sec-fetch-site").strip().lower()
    if site and site not in _OWN_SITES:
        return Refusal(
            403,
            f"the browser sent this request for a page of another origin ({site})",
            "Type or paste the address to open it; links and requests of other pages are refused",
        )
    origin = head.header(b"origin").strip()
    if origin and origin.lower() != f"http://{authority}".lower().removesuffix(":80"):
        return Refusal(
            403,
            "a page of another origin sent this request",
            "Only pages of the same address may send requests to it",
        )
    return None


class Credentials:
    """User name and password that clients need. Never shown or logged."""

    def __init__(self, user: bytes, password: bytes) -> None:
        self._expected = user + b":" + password

    def __repr__(self) -> str:
        return "Credentials()"

    def are_valid(self, user: bytes, password: bytes) -> bool:
        """Return whether they are these."""
        return hmac.compare_digest(user + b":" + password, self._expected)

    def allow(self, head: RequestHead) -> bool:
        """Return whether a request has them in `Proxy-Authorization`."""
        scheme, _, encoded = head.header(b"proxy-authorization").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = b64decode(encoded.strip(), validate=True)
        except (Base64Error, ValueError):
            return False
        return hmac.compare_digest(given, self._expected)


def read_credentials(path: str) -> Credentials:
    """Read a file with one line `NAME:PASSWORD`; ConfigError if it cannot be used. Blocks."""
    file = Path(path)
    hint = "It has one line, NAME:PASSWORD, and is readable for you only (chmod 600)"
    try:
        if file.stat().st_mode & 0o077:
            raise ConfigError(f"{path} is readable for other users", hint=hint)
        text = read_bounded(file, _MAX_CREDENTIALS).decode("utf-8", "replace")
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise ConfigError(f"cannot read {path}: {cause}", hint=hint) from error
    user, colon, password = text.strip().partition(":")
    if not (user and colon and password) or "\n" in password:
        raise ConfigError(f"{path} has no line NAME:PASSWORD", hint=hint)
    return Credentials(user.encode(), password.encode())
