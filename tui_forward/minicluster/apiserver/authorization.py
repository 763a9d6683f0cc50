"""Authorization of requests by RBAC: the Roles and bindings that are stored as objects.

As in a real API server, members of `system:masters` may do everything; all others what a
ClusterRoleBinding grants them everywhere, or a RoleBinding in its namespace. Messages of refusals
and the reasons of reviews are those of Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.auth import User
from tui_forward.minicluster.apiserver.resources import Resource
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.apiserver.store import Change, Item, Store
from tui_forward.minicluster.apiserver.users import ADMINS, NODES, service_account_user


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
class Decision:
    """Whether a request is allowed, and why."""

    allowed: bool
    reason: str = ""  # empty for refusals and for members of `system:masters`


class Rule(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One rule of a Role or ClusterRole; `*` matches any verb, group or resource."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")

    def allows(self, attributes: Attributes) -> bool:
        """Return whether the rule allows a request."""
        if not _matches(self.verbs, attributes.verb):
            return False
        if attributes.path:
            return any(_matches_path(each, attributes.path) for each in self.non_resource_urls)
        _, _, subresource = attributes.resource.partition("/")
        return (
            _matches(self.api_groups, attributes.group)
            and (
                _matches(self.resources, attributes.resource)
                or (bool(subresource) and f"*/{subresource}" in self.resources)
            )
            and (not self.resource_names or attributes.name in self.resource_names)
        )


def _matches(values: tuple[str, ...], value: str) -> bool:
    return "*" in values or value in values


def _matches_path(pattern: str, path: str) -> bool:
    return pattern == path or (pattern.endswith("*") and path.startswith(pattern[:-1]))


class _Role(msgspec.Struct):
    rules: tuple[Rule, ...] | None = None


class _RoleRef(msgspec.Struct):
    kind: str
    name: str


class _Subject(msgspec.Struct):
    kind: str
    name: str
    namespace: str = ""

    def applies_to(self, user: User) -> bool:
        match self.kind:
            case "User":
                return self.name == user.name
            case "Group":
                return self.name in user.groups
            case "ServiceAccount":
                return service_account_user(self.namespace, self.name) == user.name
        return False

    def __str__(self) -> str:
        is_account = self.kind == "ServiceAccount"
        return f'{self.kind} "{self.name}{f"/{self.namespace}" if is_account else ""}"'


class _Binding(msgspec.Struct, rename="camel"):
    role_ref: _RoleRef
    subjects: tuple[_Subject, ...] | None = None


_decode_role = msgspec.json.Decoder(_Role).decode
_decode_binding = msgspec.json.Decoder(_Binding).decode


@dataclass(frozen=True, slots=True)
class _Grant:
    """What one binding grants."""

    binding: str  # `RoleBinding "b/shop" of Role "r"`
    namespace: str  # empty for all
    subjects: tuple[_Subject, ...]
    rules: tuple[Rule, ...]


class Authorizer:
    """Decides by the Roles and bindings in a store; follows their changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._grants: list[_Grant] | None = None
        # False: no roles are known yet, as in the first moments of a real API server. Nodes have
        # an authorizer of their own there.
        self.has_roles = True
        for resource in resources.RBAC:
            store.listen(resource, self._on_change)

    def _on_change(self, _: Change) -> None:
        self._grants = None

    def decide(self, user: User, attributes: Attributes) -> Decision:
        """Return whether a user may make a request."""
        if ADMINS in user.groups:
            return Decision(True)
        for grant, subject in self._grants_of(user, attributes.namespace):
            if any(rule.allows(attributes) for rule in grant.rules):
                return Decision(True, f"RBAC: allowed by {grant.binding} to {subject}")
        return Decision(False)

    def authorize(self, user: User, attributes: Attributes) -> None:
        """Check that a user may make a request. Raises `StatusError`: 403."""
        if not self.decide(user, attributes).allowed:
            raise forbidden(user, attributes)

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """Return what a user may do in a namespace, duplicates included."""
        return [rule for grant, _ in self._grants_of(user, namespace) for rule in grant.rules]

    def _grants_of(self, user: User, namespace: str) -> Iterator[tuple[_Grant, _Subject]]:
        if not self.has_roles and NODES not in user.groups:
            return
        if self._grants is None:
            self._grants = [*self._read_grants()]
        for grant in self._grants:
            if grant.namespace not in ("", namespace):
                continue
            subject = next((each for each in grant.subjects if each.applies_to(user)), None)
            if subject is not None:
                yield grant, subject

    def _read_grants(self) -> Iterator[_Grant]:
        """Read all bindings, those of the whole cluster first."""
        for resource in (resources.CLUSTERROLEBINDINGS, resources.ROLEBINDINGS):
            for item in self._store.all(resource):
                grant = self._read_grant(resource, item)
                if grant is not None:
                    yield grant

    def _read_grant(self, resource: Resource, item: Item) -> _Grant | None:
        """Read one binding; None if it, or its role, is malformed or missing."""
        try:
            binding = _decode_binding(item.raw)
            ref = binding.role_ref
            is_cluster_role = ref.kind == "ClusterRole"
            kind = resources.CLUSTERROLES if is_cluster_role else resources.ROLES
            role = self._store.get(kind, "" if is_cluster_role else item.namespace, ref.name)
            if role is None:
                return None
            rules = _decode_role(role.raw).rules or ()
        except msgspec.ValidationError:
            return None
        name = f"{item.name}/{item.namespace}" if item.namespace else item.name
        text = f'{resource.kind} "{name}" of {ref.kind} "{ref.name}"'
        return _Grant(text, item.namespace, binding.subjects or (), rules)


_NO_SNIFF = (("X-Content-Type-Options", "nosniff"),)


def forbidden(user: User, attributes: Attributes) -> StatusError:
    """Return the 403 of a request."""
    if attributes.path:
        message = f'forbidden: User "{user.name}" cannot {attributes.verb} path "{attributes.path}"'
        return StatusError(403, "Forbidden", message, details={}, headers=_NO_SNIFF)
    namespace = attributes.namespace
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    cause = (
        f'User "{user.name}" cannot {attributes.verb} resource "{attributes.resource}" in API '
        f'group "{attributes.group}" {where}'
    )
    return _forbidden(attributes, cause, _NO_SNIFF)


def forbidden_without_cause(attributes: Attributes) -> StatusError:
    """Return the 403 of a WebSocket that lacks `create`: it says nothing behind the colon."""
    return _forbidden(attributes, "", ())


def _forbidden(
    attributes: Attributes, cause: str, headers: tuple[tuple[str, str], ...]
) -> StatusError:
    plural = attributes.resource.partition("/")[0]
    resource = f"{plural}.{attributes.group}" if attributes.group else plural
    what = f'{resource} "{attributes.name}"' if attributes.name else resource
    details = {"name": attributes.name, "group": attributes.group, "kind": plural}
    return StatusError(
        403,
        "Forbidden",
        f"{what} is forbidden: {cause}",
        details={key: value for key, value in details.items() if value},
        headers=headers,
    )
