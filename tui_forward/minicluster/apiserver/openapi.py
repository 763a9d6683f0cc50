"""The part of OpenAPI v3 that kubectl requires: that writes accept `fieldValidation`.

kubectl before 1.26 and `kubectl explain` require complete schemas, which this cluster does not
have; kubectl works without them with `--validate=false`.
"""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.version import VERSION

_JSON = {"application/json": {"schema": {"type": "object"}}}


def index() -> Object:
    """Return the response to `/openapi/v3`."""
    paths = {
        _prefix(group): {"serverRelativeURL": f"/openapi/v3/{_prefix(group)}"}
        for group in sorted({resource.group for resource in resources.RESOURCES})
    }
    return {"paths": paths}


def _prefix(group: str) -> str:
    return f"apis/{group}/v1" if group else "api/v1"


def document(path: str) -> Object | None:
    """Return the response to `/openapi/v3/{path}`; None if there is none."""
    found = [each for each in resources.RESOURCES if _prefix(each.group) == path]
    if not found:
        return None
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation", "force")
    ]
    paths: Object = {}
    for resource in found:
        namespace_path = "/namespaces/{namespace}" if resource.namespaced else ""
        operation = {
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": _JSON}},
            "x-kubernetes-group-version-kind": {
                "group": resource.group,
                "version": resource.version,
                "kind": resource.kind,
            },
        }
        collection = f"/{path}{namespace_path}/{resource.plural}"
        paths[collection] = {"post": {**operation, "x-kubernetes-action": "post"}}
        paths[f"{collection}/{{name}}"] = {
            "put": {**operation, "x-kubernetes-action": "put"},
            "patch": {**operation, "x-kubernetes-action": "patch"},
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": {}},
    }
