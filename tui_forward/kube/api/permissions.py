"""What a forward must be allowed to do, and the Role that allows it. Pure.

Verbs of pods/portforward as the API server checks them: SPDY is a POST (`create`), a WebSocket a
GET (`get`), for which Kubernetes 1.35 and newer check `create` as well (KEP-4006).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

import msgspec

from tui_forward.kube.api.resources import (
    ENDPOINT_SLICES,
    PODS,
    SERVICES,
    WORKLOADS,
    Item,
    Resource,
)
from tui_forward.model import TargetKind, TransportChoice

# The first minor version of Kubernetes whose WebSockets need `create`.
_WEBSOCKETS_NEED_CREATE = (1, 35)
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9.-]*")
_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([a-z0-9-]+):([a-z0-9.-]+)")
_RBAC = "rbac.authorization.k8s.io"
_ROLE_NAME = "port-forward"
# Of one object: which one a forward leads to may be unknown when rules are compared.
_VERBS_OF_ONE_OBJECT = frozenset({"get", "create", "update", "patch", "delete"})


class Permission(msgspec.Struct, frozen=True, order=True):
    """A verb on a resource."""

    verb: str
    resource: str  # plural, with its subresource if any ("pods/portforward")
    group: str = ""

    def __str__(self) -> str:
        """`create pods/portforward`, `get deployments.apps`."""
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


class Requirement(msgspec.Struct, frozen=True):
    """What one step of a forward needs: the permissions of at least one of its ways."""

    purpose: str  # "open a tunnel"
    ways: tuple[tuple[Permission, ...], ...]  # the first one is tried first
    otherwise: str = ""  # what happens without; empty if the forward cannot work then

    @property
    def is_required(self) -> bool:
        """Whether the forward cannot work without it."""
        return not self.otherwise

    def missing(self, is_allowed: Callable[[Permission], bool]) -> tuple[Permission, ...]:
        """Return what the nearest way lacks; nothing if one of them is complete."""
        lacking = [tuple(each for each in way if not is_allowed(each)) for way in self.ways]
        return min(lacking, key=len, default=())


class ResourceRule(msgspec.Struct, frozen=True):
    """One rule of a SelfSubjectRulesReview."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str] = frozenset()  # of the objects; empty for all

    def allows(self, permission: Permission) -> bool:
        """Return whether the rule allows a verb, on some object if it names objects."""
        if self.names and permission.verb not in _VERBS_OF_ONE_OBJECT:
            return False
        subresource = permission.resource.partition("/")[2]
        return (
            _matches(self.verbs, permission.verb)
            and _matches(self.groups, permission.group)
            and (
                _matches(self.resources, permission.resource)
                or (bool(subresource) and f"*/{subresource}" in self.resources)
            )
        )


class AccessRules(msgspec.Struct, frozen=True):
    """What a user may do in a namespace."""

    rules: tuple[ResourceRule, ...]
    # An authorizer cannot list its rules (a webhook, say): what they lack may be allowed.
    incomplete: bool = False

    def allows(self, permission: Permission) -> bool:
        """Return whether one of the rules allows a verb."""
        return any(rule.allows(permission) for rule in self.rules)


def _matches(values: frozenset[str], value: str) -> bool:
    return "*" in values or value in values


def parse_version(version: str) -> tuple[int, int] | None:
    """Return major and minor of `v1.36.2`, `1.29+`, …; None if it is not a version."""
    found = _VERSION.match(version)
    return (int(found[1]), int(found[2])) if found is not None else None


def tunnel_ways(
    transport: TransportChoice = TransportChoice.AUTO, server_version: str = ""
) -> tuple[tuple[Permission, ...], ...]:
    """Return the permissions of each transport that may be used, in the order of the attempts.

    An unknown version counts as the newest.
    """
    create, get = (Permission(verb, "pods/portforward") for verb in ("create", "get"))
    version = parse_version(server_version)
    needs_create = version is None or version >= _WEBSOCKETS_NEED_CREATE
    websocket = (get, create) if needs_create else (get,)
    if transport is TransportChoice.SPDY:
        return ((create,),)
    return (websocket,) if transport is not TransportChoice.AUTO else ((create,), websocket)


def forward_requirements(
    kind: TargetKind,
    *,
    transport: TransportChoice = TransportChoice.AUTO,
    server_version: str = "",
    has_port_number: bool = True,
) -> tuple[Requirement, ...]:
    """Return what tui-forward needs for a target of this kind, in the order of its steps."""
    tunnel = Requirement("open a tunnel", tunnel_ways(transport, server_version))
    if kind is TargetKind.POD:
        by_name = "the pod is used by its name, whatever its state is" if has_port_number else ""
        read = Requirement("read the pod", (_of(PODS, "get"), _of(PODS, "list")), by_name)
        replaced = "the forward ends with the pod: its replacement is not found"
        return (
            read,
            Requirement("find the pod's replacement", (_of(PODS, "list"),), replaced),
            _watched(PODS),
            tunnel,
        )
    pods = Requirement("find the pods", (_of(PODS, "list"),))
    if kind is TargetKind.SELECTOR:
        return pods, _watched(PODS), tunnel
    if kind is TargetKind.SERVICE:
        without = "a service without a selector is not resolved"
        slices = Requirement("read endpoint slices", (_of(ENDPOINT_SLICES, "list"),), without)
        service = Requirement("read the service", (_of(SERVICES, "get"), _of(SERVICES, "list")))
        return service, _watched(SERVICES), pods, _watched(PODS), slices, tunnel
    workload = WORKLOADS[kind]
    read = Requirement("read the workload", (_of(workload, "get"), _of(workload, "list")))
    return read, _watched(workload), pods, _watched(PODS), tunnel


def kubectl_requirements(kind: TargetKind, *, server_version: str = "") -> tuple[Requirement, ...]:
    """Return what `kubectl port-forward` needs; it has no way around any of it.

    Since 1.31 it tries a WebSocket first, then SPDY.
    """
    steps = []
    if kind is TargetKind.SERVICE:
        steps.append(Requirement("read the service", (_of(SERVICES, "get"),)))
    elif kind in WORKLOADS:
        steps.append(Requirement("read the workload", (_of(WORKLOADS[kind], "get"),)))
    if kind is not TargetKind.POD:
        steps.append(Requirement("find the pods", (_of(PODS, "list"),)))
    steps.append(Requirement("read the pod", (_of(PODS, "get"),)))
    ways = tunnel_ways(server_version=server_version)
    return (*steps, Requirement("open a tunnel", tuple(reversed(ways))))


def _of(resource: Resource[Item], verb: str) -> tuple[Permission, ...]:
    return (Permission(verb, resource.plural, resource.group),)


def _watched(resource: Resource[Item]) -> Requirement:
    without = "changes are noticed seconds later: it is read again and again"
    return Requirement(f"watch {resource.plural}", (_of(resource, "watch"),), without)


def missing_permissions(
    requirements: Iterable[Requirement], is_allowed: Callable[[Permission], bool]
) -> tuple[Permission, ...]:
    """Return what keeps a forward from working, each permission once."""
    missing = (
        permission
        for requirement in requirements
        if requirement.is_required
        for permission in requirement.missing(is_allowed)
    )
    return tuple(dict.fromkeys(missing))


def all_permissions(requirements: Iterable[Requirement]) -> tuple[Permission, ...]:
    """Return the permissions of every way of every step, each once: what a Role should grant."""
    found = (each for one in requirements for way in one.ways for each in way)
    return tuple(dict.fromkeys(found))


def role_yaml(namespace: str, permissions: Iterable[Permission], *, user: str = "") -> str:
    """Return a Role with these permissions, and its RoleBinding if a user is given.

    Input of `kubectl apply -f -`. A user may be a service account
    (`system:serviceaccount:NAMESPACE:NAME`).
    """
    verbs: dict[tuple[str, str], list[str]] = {}
    for each in permissions:
        verbs.setdefault((each.group, each.resource), []).append(each.verb)
    rules: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), found in verbs.items():
        rules.setdefault((group, tuple(dict.fromkeys(found))), []).append(resource)
    lines = [f"apiVersion: {_RBAC}/v1", "kind: Role", *_metadata(namespace), "rules:"]
    for (group, found_verbs), resources in rules.items():
        lines += [
            f"- apiGroups: [{_quote(group)}]",
            f"  resources: [{', '.join(map(_quote, resources))}]",
            f"  verbs: [{', '.join(map(_quote, found_verbs))}]",
        ]
    if user:
        lines += ["---", f"apiVersion: {_RBAC}/v1", "kind: RoleBinding", *_metadata(namespace)]
        lines += ["roleRef:", f"  apiGroup: {_RBAC}", "  kind: Role", f"  name: {_ROLE_NAME}"]
        lines += ["subjects:", *_subject(user)]
    return "\n".join(lines) + "\n"


def _metadata(namespace: str) -> tuple[str, ...]:
    return ("metadata:", f"  name: {_ROLE_NAME}", f"  namespace: {_scalar(namespace)}")


def _subject(user: str) -> tuple[str, ...]:
    account = _SERVICE_ACCOUNT.fullmatch(user)
    if account is not None:
        namespace, name = map(_scalar, account.groups())
        return ("- kind: ServiceAccount", f"  name: {name}", f"  namespace: {namespace}")
    return (f"- apiGroup: {_RBAC}", "  kind: User", f"  name: {_scalar(user)}")


def _quote(text: str) -> str:
    return json.dumps(text)


def _scalar(text: str) -> str:
    """Return a text as YAML: quoted unless it is a plain name and no other YAML type."""
    is_word = text in {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
    return text if _PLAIN_NAME.fullmatch(text) and not is_word else _quote(text)
