"""Authentication: the user of a request.

A user is identified by a client certificate of the cluster's authority, else by a bearer token,
else as `system:anonymous`. What users may do is decided in `authorization`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tui_forward.minicluster.apiserver.http import Request
from tui_forward.minicluster.apiserver.status_errors import StatusError, unauthorized
from tui_forward.minicluster.apiserver.users import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED
from tui_forward.minicluster.config import TokenUser
from tui_forward.protocol.upgrade_server import split_bearer_protocol


@dataclass(frozen=True, slots=True)
class User:
    """A user and its groups, in the order in which a SelfSubjectReview lists them."""

    name: str
    groups: tuple[str, ...] = ()


def _authenticated(name: str, groups: tuple[str, ...]) -> User:
    return User(name, (*groups, AUTHENTICATED) if AUTHENTICATED not in groups else groups)


class Authenticator:
    """Identifies the user of a request."""

    def __init__(self, tokens: str | Path) -> None:
        self._path = Path(tokens)
        self._signature: tuple[int, int] | None = None
        self._users: dict[str, User] = {}
        self._expired: set[str] = set()

    def expire(self, user: str = "") -> int:
        """Expire the current tokens of a user (of all users if empty); return their number."""
        self._reload()
        tokens = [token for token, each in self._users.items() if user in ("", each.name)]
        self._expired.update(tokens)
        return len(tokens)

    def restore(self) -> None:
        """Make all expired tokens valid again."""
        self._expired.clear()

    def _reload(self) -> None:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._users = {}
            return
        signature = (stat.st_mtime_ns, stat.st_ino)
        if signature == self._signature:
            return
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # the file is being written
            entries = msgspec.json.decode(self._path.read_bytes(), type=list[TokenUser])
            self._users = {e.token: User(e.user, e.groups) for e in entries}
            self._signature = signature

    def authenticate(self, request: Request) -> User:
        """Return the user of a request, before impersonation. Raises `StatusError`: 401."""
        peer = request.peer
        token = _bearer_token(request)
        if peer.user:
            return _authenticated(peer.user, peer.groups)
        if token:
            self._reload()
            user = self._users.get(token)
            if user is None or token in self._expired:
                raise unauthorized()
            return _authenticated(user.name, user.groups)
        if request.header("authorization"):
            raise unauthorized()
        return User(ANONYMOUS, (UNAUTHENTICATED,))


def _bearer_token(request: Request) -> str:
    scheme, _, token = request.header("authorization").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    # Browsers cannot set headers of a WebSocket request, so the token may be a subprotocol. A
    # second subprotocol is then required.
    token_protocol, others = split_bearer_protocol(request.list("sec-websocket-protocol"))
    return token_protocol or "" if others else ""


def impersonated_user(request: Request) -> User | None:
    """Return the user that a request impersonates, which must be allowed; None without any.

    Raises `StatusError`: groups without a user.
    """
    name = request.header("impersonate-user")
    groups = tuple(request.values("impersonate-group"))
    if name:
        return User(name, groups)
    if groups:
        group = f"{{Group  {groups[0]}    }}"
        message = f"Internal error occurred: requested [{group}] without impersonating a user"
        raise StatusError(500, "InternalError", message)
    return None
