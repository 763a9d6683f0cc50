"""Checks of written objects: required fields, versions and deletion preconditions.

Only the rules that the rest of the cluster depends on are implemented.
"""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.resources import Object, Resource
from tui_forward.minicluster.apiserver.selectors import matches
from tui_forward.minicluster.apiserver.status_errors import StatusError, conflict, invalid
from tui_forward.minicluster.apiserver.store import Item

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")


def validate(resource: Resource, obj: Object) -> None:
    """Check the fields of an object that others depend on. Raises `StatusError`: 422."""
    name = str(obj["metadata"].get("name") or "")

    def error(field: str, cause: str) -> StatusError:
        return invalid(resource.kind, name, field, cause, resource.group)

    spec = obj.get("spec") or {}
    if resource is resources.PODS:
        pod_spec, path = spec, "spec"
    elif resource is resources.ENDPOINTSLICES:
        if obj.get("addressType") not in ADDRESS_TYPES:
            supported = ", ".join(f'"{kind}"' for kind in ADDRESS_TYPES)
            cause = f"Unsupported value: {obj.get('addressType')!r}: supported values: {supported}"
            raise error("addressType", cause)
        return
    elif resource.group in ("apps", "batch"):
        pod_spec, path = (spec.get("template") or {}).get("spec") or {}, "spec.template.spec"
    else:
        return
    containers = pod_spec.get("containers") or ()
    if not containers:
        raise error(f"{path}.containers", "Required value")
    for index, container in enumerate(containers):
        if not container.get("name"):
            raise error(f"{path}.containers[{index}].name", "Required value")
        for number, port in enumerate(container.get("ports") or ()):
            if not 0 < (value := port.get("containerPort", 0)) < 65536:
                field = f"{path}.containers[{index}].ports[{number}].containerPort"
                cause = f"Invalid value: {value}: must be between 1 and 65535, inclusive"
                raise error(field, cause)
    if resource.group == "apps":
        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        if not spec.get("selector"):
            raise error("spec.selector", "Required value")
        if not matches(spec["selector"], labels):
            cause = f"Invalid value: {labels}: `selector` does not match template `labels`"
            raise error("spec.template.metadata.labels", cause)


def check_version(current: Item, metadata: Object) -> None:
    """Check the version and UID that an update is based on. Raises `StatusError`: 409."""
    version, uid = metadata.get("resourceVersion"), metadata.get("uid")
    if version and str(version) != str(current.version):
        cause = (
            "the object has been modified; please apply your changes to the latest version and "
            "try again"
        )
    elif uid and uid != current.uid:
        cause = (
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {current.uid}"
        )
    else:
        return
    raise conflict(current.resource.plural, current.name, cause, current.resource.group)


def check_preconditions(current: Item, preconditions: Object) -> None:
    """Check the preconditions of a deletion. Raises `StatusError`: 409."""
    uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
    if uid and uid != current.uid:
        cause = (
            f"the UID in the precondition ({uid}) does not match the UID in record "
            f"({current.uid}). The object might have been deleted and then recreated"
        )
    elif version and str(version) != str(current.version):
        cause = (
            f"the ResourceVersion in the precondition ({version}) does not match the "
            f"ResourceVersion in record ({current.version}). The object might have been modified"
        )
    else:
        return
    raise conflict(current.resource.plural, current.name, cause, current.resource.group)
