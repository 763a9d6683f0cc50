"""Garbage collector: deletes dependents of deleted owners and content of deleted namespaces."""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.controllers.context import ControllerContext


def delete_dependents(context: ControllerContext, _: str, uid: str) -> None:
    """Delete the objects whose only owner had this UID."""
    for item in context.index.owned(uid):
        other_owners = [owner for owner in item.owners if owner != uid]
        if any(context.index.owner(owner) is not None for owner in other_owners):
            continue
        if not item.deleting:
            _delete_if_exists(context, item.resource, item.namespace, item.name)


def delete_namespace_content(context: ControllerContext, _: str, name: str) -> None:
    """Delete all objects of a terminating namespace, then the namespace itself."""
    namespace = context.store.get(resources.NAMESPACES, "", name)
    if namespace is None or not namespace.deleting:
        return
    remaining = 0
    for resource in resources.RESOURCES:
        if not resource.namespaced:
            continue
        for item in context.store.all(resource, name):
            if not item.deleting:
                _delete_if_exists(context, resource, name, item.name)
            remaining += context.store.get(resource, name, item.name) is not None
    if not remaining:
        context.store.remove(resources.NAMESPACES, "", name)


def _delete_if_exists(
    context: ControllerContext, resource: resources.Resource, namespace: str, name: str
) -> None:
    try:
        context.writer.delete(resource, namespace, name)
    except StatusError as error:
        if error.code != 404:
            raise
