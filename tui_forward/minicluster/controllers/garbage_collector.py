"""Clean-up: what belonged to something that is gone, and what lives in a namespace that goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.status_errors import StatusError

if TYPE_CHECKING:
    from tui_forward.minicluster.controllers.context import ControllerContext


def delete_dependents(context: ControllerContext, _: str, uid: str) -> None:
    """Delete everything whose owner, of this UID, is gone."""
    for item in context.index.owned(uid):
        others = [other for other in item.owners if other != uid]
        if any(context.index.owner(other) is not None for other in others):
            continue
        if item.deleting:
            continue
        _end(context, item.resource, item.namespace, item.name)


def namespace(context: ControllerContext, _: str, name: str) -> None:
    """Empty a namespace that is being deleted; delete it once it is empty."""
    home = context.store.get(resources.NAMESPACES, "", name)
    if home is None or not home.deleting:
        return
    left = 0
    for resource in resources.RESOURCES:
        if not resource.namespaced:
            continue
        for item in context.store.all(resource, name):
            if not item.deleting:
                _end(context, resource, name, item.name)
            left += context.store.get(resource, name, item.name) is not None
    if not left:
        context.store.remove(resources.NAMESPACES, "", name)


def _end(context: ControllerContext, resource: resources.Resource, place: str, name: str) -> None:
    try:
        context.writer.end(resource, place, name)
    except StatusError as failure:
        if failure.code != 404:  # gone already is what was wanted
            raise
