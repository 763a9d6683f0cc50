"""What the user may not do in a namespace, known before a forward is started.

One review per namespace and caller, read when a namespace is asked for, at most one a minute. What
the authorizers cannot list is asked for by itself. A forward can be started in any case: roles may
have changed since.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from tui_forward.kube.api.permissions import (
    AccessRules,
    Permission,
    Requirement,
    ResourceRule,
    all_permissions,
    forward_requirements,
    missing_permissions,
)
from tui_forward.kube.client import ClusterClient
from tui_forward.model import AccessOptions, CatalogScope, MissingPermissions, TargetKind
from tui_forward.session.refresh_cache import FIRST_RESULT_TIMEOUT_S, StaleWhileRevalidateCache

_MAX_AGE_S = 60.0
_KINDS = tuple(kind for kind in TargetKind if kind is not TargetKind.SELECTOR)


class PermissionReader:
    """Reads and caches what the user may do, by cluster and namespace."""

    def __init__(self, cluster_of: Callable[[str, AccessOptions], ClusterClient]) -> None:
        self._cluster_of = cluster_of
        self._rules: StaleWhileRevalidateCache[AccessRules] = StaleWhileRevalidateCache()

    async def read(self, scope: CatalogScope, server_version: str) -> MissingPermissions:
        """Return what forwards in a namespace lack; waits two seconds at most.

        Nothing is missing as long as nothing is known, or if the server tells nothing.
        """
        rules = await self._rules.get(
            scope,
            lambda: self._review(scope, server_version),
            max_age_s=_MAX_AGE_S,
            until=time.monotonic() + FIRST_RESULT_TIMEOUT_S,
        )
        if rules is None:
            return MissingPermissions(scope=scope)
        lacking = {kind: _lacking(kind, server_version, rules) for kind in _KINDS}
        return MissingPermissions(
            scope=scope, by_kind={kind: found for kind, found in lacking.items() if found}
        )

    async def _review(self, scope: CatalogScope, server_version: str) -> AccessRules:
        cluster = self._cluster_of(scope.context, scope.options)
        rules = await cluster.access_rules(scope.namespace)
        if not rules.incomplete:
            return rules
        wanted = (
            permission
            for kind in _KINDS
            for permission in all_permissions(
                each for each in _requirements(kind, server_version) if each.is_required
            )
        )
        return await _complete(cluster, scope.namespace, rules, dict.fromkeys(wanted))

    async def close(self) -> None:
        """Cancel all reads."""
        await self._rules.close()


def _requirements(kind: TargetKind, server_version: str) -> tuple[Requirement, ...]:
    return forward_requirements(kind, server_version=server_version)


def _lacking(kind: TargetKind, server_version: str, rules: AccessRules) -> tuple[str, ...]:
    missing = missing_permissions(_requirements(kind, server_version), rules.allows)
    return tuple(map(str, missing))


async def _complete(
    cluster: ClusterClient, namespace: str, rules: AccessRules, wanted: Iterable[Permission]
) -> AccessRules:
    """Return rules with what the server allows although it could not list it."""
    found = list(rules.rules)
    for permission in wanted:
        if not rules.allows(permission) and await cluster.is_allowed(namespace, permission):
            rule = ResourceRule(
                frozenset({permission.verb}),
                frozenset({permission.group}),
                frozenset({permission.resource}),
            )
            found.append(rule)
    return AccessRules(tuple(found))
