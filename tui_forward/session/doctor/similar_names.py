"""Names that a user may have meant, where there is no object of the given one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final

from tui_forward.errors import ApiError
from tui_forward.kube.api.resources import NAMESPACES, Resource
from tui_forward.model import Reason, ReasonCode
from tui_forward.session.doctor.api_connection import ApiConnection

_MAX_SIMILAR: Final = 3


def find_similar(name: str, names: Sequence[str]) -> list[str]:
    """Return the names that a user may have meant, the most similar first."""
    found = difflib.get_close_matches(name, names, n=_MAX_SIMILAR, cutoff=0.6)
    found += [one for one in names if one not in found and (name in one or one in name)]
    return found[:_MAX_SIMILAR]


async def object_names(api: ApiConnection, resource: Resource[Any], namespace: str) -> list[str]:
    """Return the names of objects; none if the user may not list them."""
    try:
        what = resource.describe("list", namespace)
        return [one.name for one in await api.list(resource, namespace, what)]
    except ApiError:
        return []


async def find_missing_namespace(api: ApiConnection, namespace: str) -> Reason | None:
    """Return that a namespace does not exist, with similar ones; None if it may exist."""
    try:
        await api.get(NAMESPACES.path(name=namespace), NAMESPACES.describe("get", name=namespace))
    except ApiError as error:
        if error.not_found:
            similar = find_similar(namespace, await object_names(api, NAMESPACES, ""))
            hint = (
                f"Did you mean {', '.join(similar)}?"
                if similar
                else "Check -n and --context: kubectl get namespaces"
            )
            code = ReasonCode.TARGET_NAMESPACE_NOT_FOUND
            return Reason(code=code, namespace=namespace, hint=hint)
    return None
