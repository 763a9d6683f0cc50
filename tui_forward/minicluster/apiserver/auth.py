"""Who a request is from, and what that user may do.

Authentication: a client certificate of the cluster's authority, else a bearer token, else
`system:anonymous`. Authorisation is a small RBAC: rules of verbs, API groups, resources and
namespaces, granted to users and groups. The texts of refusals are the real ones.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tui_forward.minicluster.apiserver.http import Request
from tui_forward.minicluster.apiserver.status_errors import StatusError, unauthorized
from tui_forward.minicluster.config import TokenUser
from tui_forward.protocol.upgrade_server import split_bearer_protocol

ADMINS = "system:masters"
NODES = "system:nodes"
ANONYMOUS = "system:anonymous"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"


@dataclass(frozen=True, slots=True)
class User:
    """An identity."""

    name: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a request wants to do.

    Attributes:
        verb: `get`, `list`, … for resources; the method in lower case for paths.
        path: For requests that are not about resources; then all else is empty.
        resource: Plural, with the subresource behind a slash.
    """

    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Grants `verbs` on `resources` (with subresource) to users and groups; `*` is any.

    Attributes:
        namespace: Only there; empty is everywhere, the cluster's scope included.
    """

    subjects: frozenset[str]
    verbs: frozenset[str]
    resources: frozenset[str]
    groups: frozenset[str] = frozenset({""})
    namespace: str = ""

    def allows(self, user: User, wanted: Attributes) -> bool:
        """Whether this rule grants it."""
        return (
            (user.name in self.subjects or not self.subjects.isdisjoint(user.groups))
            and (wanted.verb in self.verbs or "*" in self.verbs)
            and (wanted.resource in self.resources or "*" in self.resources)
            and (wanted.group in self.groups or "*" in self.groups)
            and (not self.namespace or wanted.namespace == self.namespace)
        )


def _rule(
    subjects: str, verbs: str, resources: str, *, groups: str = "", namespace: str = ""
) -> Rule:
    return Rule(
        frozenset(subjects.split()),
        frozenset(verbs.split()),
        frozenset(resources.split()),
        frozenset(groups.split()) or frozenset({""}),
        namespace,
    )


# The narrow user: what port-forward needs in one namespace, and nothing else.
NARROW_USER = "porter"
NARROW_NAMESPACE = "shop"
# A user who is known, and may do nothing.
POWERLESS_USER = "alice"
# Reads everything, changes and forwards nothing.
VIEWER = "viewer"

RULES: tuple[Rule, ...] = (
    _rule(ADMINS, "*", "*", groups="*"),
    _rule(NARROW_USER, "get list watch", "pods", namespace=NARROW_NAMESPACE),
    _rule(NARROW_USER, "get create", "pods/portforward", namespace=NARROW_NAMESPACE),
    _rule(
        VIEWER,
        "get list watch",
        "pods pods/log services namespaces nodes events configmaps",
    ),
    _rule(
        VIEWER,
        "get list watch",
        "deployments replicasets statefulsets daemonsets jobs",
        groups="apps batch",
    ),
    _rule(NODES, "get list watch delete", "pods"),
    _rule(NODES, "get patch update", "pods/status"),
    _rule(NODES, "get list watch create patch update", "nodes"),
    _rule(NODES, "get patch update", "nodes/status"),
    _rule(NODES, "create patch update", "events"),
    _rule(NODES, "get list watch", "services configmaps"),
    _rule(
        AUTHENTICATED,
        "create",
        "selfsubjectaccessreviews selfsubjectrulesreviews selfsubjectreviews",
        groups="authorization.k8s.io authentication.k8s.io",
    ),
)

# What everybody may read, and what everybody who is known may read.
PUBLIC_PATHS = ("/version", "/healthz", "/livez", "/readyz")
KNOWN_PATHS = ("/api", "/apis", "/openapi")


class Authenticator:
    """Finds out who a request is from.

    Args:
        tokens: File with a JSON array of `TokenUser`; read again when it changes.
    """

    def __init__(self, tokens: str | Path) -> None:
        self._path = Path(tokens)
        self._stamp: tuple[int, int] | None = None
        self._users: dict[str, User] = {}
        self._expired: set[str] = set()

    def expire(self, user: str = "") -> int:
        """Refuse the tokens of a user (of everybody when empty) that are valid now."""
        self._reload()
        tokens = [t for t, known in self._users.items() if not user or known.name == user]
        self._expired.update(tokens)
        return len(tokens)

    def restore(self) -> None:
        """Accept every expired token again."""
        self._expired.clear()

    def _reload(self) -> None:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._users = {}
            return
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if stamp == self._stamp:
            return
        with contextlib.suppress(OSError, msgspec.MsgspecError):  # caught while written
            entries = msgspec.json.decode(self._path.read_bytes(), type=list[TokenUser])
            self._users = {e.token: User(e.user, frozenset(e.groups)) for e in entries}
            self._stamp = stamp

    def user(self, request: Request) -> User:
        """The user of a request, after impersonation has been considered.

        Raises:
            Failure: 401 for a token nobody has.
        """
        peer = request.peer
        token = _bearer(request)
        if peer.user:
            return User(peer.user, frozenset({*peer.groups, AUTHENTICATED}))
        if token:
            self._reload()
            known = self._users.get(token)
            if known is None or token in self._expired:
                raise unauthorized()
            return User(known.name, known.groups | {AUTHENTICATED})
        if request.header("authorization"):
            raise unauthorized()
        return User(ANONYMOUS, frozenset({UNAUTHENTICATED}))


def _bearer(request: Request) -> str:
    scheme, _, token = request.header("authorization").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    # Browsers cannot set headers on a WebSocket, so the token may ride as a subprotocol; one
    # beside it is then required.
    riding, others = split_bearer_protocol(request.list("sec-websocket-protocol"))
    return riding or "" if others else ""


def is_allowed(user: User, wanted: Attributes) -> bool:
    """Whether a user may do something."""
    if wanted.path:
        if ADMINS in user.groups:
            return True
        if wanted.verb not in ("get", "head"):
            return False
        known = PUBLIC_PATHS + (KNOWN_PATHS if AUTHENTICATED in user.groups else ())
        return any(wanted.path == p or wanted.path.startswith(p + "/") for p in known)
    return any(rule.allows(user, wanted) for rule in RULES)


def authorize(user: User, wanted: Attributes) -> None:
    """Let it pass, or refuse it.

    Raises:
        Failure: 403, worded as a real API server words it.
    """
    if not is_allowed(user, wanted):
        raise forbidden(user, wanted)


def forbidden(user: User, wanted: Attributes) -> StatusError:
    """The refusal."""
    if wanted.path:
        return StatusError(
            403,
            "Forbidden",
            f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"',
            details={},
        )
    plural = wanted.resource.partition("/")[0]
    resource = f"{plural}.{wanted.group}" if wanted.group else plural
    what = f'{resource} "{wanted.name}" is forbidden' if wanted.name else f"{resource} is forbidden"
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    details = {"name": wanted.name, "group": wanted.group, "kind": plural}
    return StatusError(
        403,
        "Forbidden",
        f'{what}: User "{user.name}" cannot {wanted.verb} resource "{wanted.resource}" in API '
        f'group "{wanted.group}" {where}',
        details={key: value for key, value in details.items() if value},
    )


def impersonate(user: User, request: Request) -> User:
    """The user the request is to be carried out as.

    Raises:
        Failure: 403 when this user may not act as others.
    """
    name = request.header("impersonate-user")
    groups = request.values("impersonate-group")
    if not name:
        if groups:
            raise StatusError(
                500,
                "InternalError",
                "Internal error occurred: requested [{Group  "
                + groups[0]
                + "    }] without impersonating a user",
            )
        return user
    if ADMINS not in user.groups:
        raise forbidden(user, Attributes("impersonate", resource="users", name=name))
    return User(name, frozenset({*groups, AUTHENTICATED}))
