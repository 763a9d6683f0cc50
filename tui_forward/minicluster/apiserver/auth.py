"""Authentication and authorization of requests, and the reviews that report both.

A user is identified by a client certificate of the cluster's authority, else by a bearer token,
else as `system:anonymous`. Authorization is a small RBAC: rules of verbs, API groups, resources
and namespaces for users and groups. Error messages are those of a real API server.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tui_forward.minicluster.apiserver import timestamps
from tui_forward.minicluster.apiserver.http import Request, Response
from tui_forward.minicluster.apiserver.resources import Object, Resource
from tui_forward.minicluster.apiserver.status_errors import StatusError, unauthorized
from tui_forward.minicluster.apiserver.users import (
    ADMINS,
    ANONYMOUS,
    AUTHENTICATED,
    NODES,
    PORT_FORWARD_NAMESPACE,
    PORT_FORWARD_USER,
    UNAUTHENTICATED,
    VIEWER,
)
from tui_forward.minicluster.config import TokenUser
from tui_forward.protocol.upgrade_server import split_bearer_protocol


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user."""

    name: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a request is authorized by."""

    verb: str  # `get`, `list`, … for resources; the method in lower case for paths
    path: str = ""  # path of a request that is not for a resource; the other fields are then empty
    group: str = ""
    resource: str = ""  # plural, followed by a slash and the subresource if any
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Allows `verbs` on `resources` (with subresource) for users and groups; `*` matches any."""

    subjects: frozenset[str]
    verbs: frozenset[str]
    resources: frozenset[str]
    groups: frozenset[str] = frozenset({""})
    namespace: str = ""  # namespace of the rule; empty for all and for the cluster scope

    def applies_to(self, user: User) -> bool:
        """Return whether the user or one of its groups is a subject of this rule."""
        return user.name in self.subjects or not self.subjects.isdisjoint(user.groups)

    def allows(self, user: User, attributes: Attributes) -> bool:
        """Return whether this rule allows a user's request."""
        return (
            self.applies_to(user)
            and (attributes.verb in self.verbs or "*" in self.verbs)
            and (attributes.resource in self.resources or "*" in self.resources)
            and (attributes.group in self.groups or "*" in self.groups)
            and (not self.namespace or attributes.namespace == self.namespace)
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


_READ = "get list watch"

RULES: tuple[Rule, ...] = (
    _rule(ADMINS, "*", "*", groups="*"),
    _rule(PORT_FORWARD_USER, "get list watch", "pods", namespace=PORT_FORWARD_NAMESPACE),
    _rule(PORT_FORWARD_USER, "get create", "pods/portforward", namespace=PORT_FORWARD_NAMESPACE),
    _rule(VIEWER, _READ, "pods pods/log services namespaces nodes events configmaps"),
    _rule(
        VIEWER, _READ, "deployments replicasets statefulsets daemonsets jobs", groups="apps batch"
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

# Paths that all users may read, and paths that authenticated users may read.
PUBLIC_PATHS = ("/version", "/healthz", "/livez", "/readyz")
AUTHENTICATED_PATHS = ("/api", "/apis", "/openapi")


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
            self._users = {e.token: User(e.user, frozenset(e.groups)) for e in entries}
            self._signature = signature

    def authenticate(self, request: Request) -> User:
        """Return the user of a request, before impersonation."""
        peer = request.peer
        token = _bearer_token(request)
        if peer.user:
            return User(peer.user, frozenset({*peer.groups, AUTHENTICATED}))
        if token:
            self._reload()
            user = self._users.get(token)
            if user is None or token in self._expired:
                raise unauthorized()
            return User(user.name, user.groups | {AUTHENTICATED})
        if request.header("authorization"):
            raise unauthorized()
        return User(ANONYMOUS, frozenset({UNAUTHENTICATED}))


def _bearer_token(request: Request) -> str:
    scheme, _, token = request.header("authorization").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    # Browsers cannot set headers of a WebSocket request, so the token may be a subprotocol. A
    # second subprotocol is then required.
    token_protocol, others = split_bearer_protocol(request.list("sec-websocket-protocol"))
    return token_protocol or "" if others else ""


def is_allowed(user: User, attributes: Attributes) -> bool:
    """Return whether a user may make a request."""
    if attributes.path:
        if ADMINS in user.groups:
            return True
        if attributes.verb not in ("get", "head"):
            return False
        paths = PUBLIC_PATHS + (AUTHENTICATED_PATHS if AUTHENTICATED in user.groups else ())
        return any(attributes.path == p or attributes.path.startswith(p + "/") for p in paths)
    return any(rule.allows(user, attributes) for rule in RULES)


def authorize(user: User, attributes: Attributes) -> None:
    """Check that a user may make a request."""
    if not is_allowed(user, attributes):
        raise forbidden(user, attributes)


def forbidden(user: User, attributes: Attributes) -> StatusError:
    """Return the 403 of a request."""
    if attributes.path:
        message = f'forbidden: User "{user.name}" cannot {attributes.verb} path "{attributes.path}"'
        return StatusError(403, "Forbidden", message, details={})
    plural = attributes.resource.partition("/")[0]
    resource = f"{plural}.{attributes.group}" if attributes.group else plural
    what = f'{resource} "{attributes.name}"' if attributes.name else resource
    namespace = attributes.namespace
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    details = {"name": attributes.name, "group": attributes.group, "kind": plural}
    return StatusError(
        403,
        "Forbidden",
        f'{what} is forbidden: User "{user.name}" cannot {attributes.verb} resource '
        f'"{attributes.resource}" in API group "{attributes.group}" {where}',
        details={key: value for key, value in details.items() if value},
    )


def impersonate(user: User, request: Request) -> User:
    """Return the user that a request impersonates, else the user itself."""
    name = request.header("impersonate-user")
    groups = request.values("impersonate-group")
    if not name:
        if groups:
            group = f"{{Group  {groups[0]}    }}"
            message = f"Internal error occurred: requested [{group}] without impersonating a user"
            raise StatusError(500, "InternalError", message)
        return user
    if ADMINS not in user.groups:
        raise forbidden(user, Attributes("impersonate", resource="users", name=name))
    return User(name, frozenset({*groups, AUTHENTICATED}))


def review(request: Request, resource: Resource, user: User) -> Response:
    """Handle a review. Raises `StatusError`: 400 for a malformed body."""
    body = request.json()
    metadata: Object = {"creationTimestamp": None}
    spec: Object = body.get("spec") or {}
    if resource.plural == "selfsubjectaccessreviews":
        status: Object = {"allowed": is_allowed(user, _attributes(spec))}
    elif resource.plural == "selfsubjectrulesreviews":
        status = _rules(user, spec.get("namespace", ""))
    else:
        metadata = {"creationTimestamp": timestamps.now()}
        status = {"userInfo": {"username": user.name, "groups": sorted(user.groups)}}
    result = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    if spec:
        result["spec"] = spec
    return Response.json({**result, "status": status}, 201)


def _attributes(spec: Object) -> Attributes:
    if path := spec.get("nonResourceAttributes"):
        return Attributes(path.get("verb", "get"), path=path.get("path", "/"))
    attributes: Object = spec.get("resourceAttributes") or {}
    resource = attributes.get("resource", "")
    if sub := attributes.get("subresource"):
        resource = f"{resource}/{sub}"
    return Attributes(
        attributes.get("verb", ""),
        group=attributes.get("group", ""),
        resource=resource,
        namespace=attributes.get("namespace", ""),
        name=attributes.get("name", ""),
    )


def _rules(user: User, namespace: str) -> Object:
    found = [r for r in RULES if r.applies_to(user) and r.namespace in ("", namespace)]
    rules = [
        {"verbs": sorted(r.verbs), "apiGroups": sorted(r.groups), "resources": sorted(r.resources)}
        for r in found
    ]
    return {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}
