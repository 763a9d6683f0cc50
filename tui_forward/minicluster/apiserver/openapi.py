"""OpenAPI, as little of it as kubectl needs: that writes take `fieldValidation`.

kubectl before 1.26 and `kubectl explain` want the whole schemas, which this cluster does not
have; `--validate=false` does without them.
"""

from __future__ import annotations

from typing import Any

from tui_forward.minicluster.apiserver import resources

_JSON = {"application/json": {"schema": {"type": "object"}}}


def index() -> dict[str, Any]:
    """The answer to `/openapi/v3`."""
    paths = {
        _prefix(group): {"serverRelativeURL": f"/openapi/v3/{_prefix(group)}"}
        for group in sorted({resource.group for resource in resources.RESOURCES})
    }
    return {"paths": paths}


def _prefix(group: str) -> str:
    return f"apis/{group}/v1" if group else "api/v1"


def document(path: str) -> dict[str, Any] | None:
    """The answer to `/openapi/v3/{path}`; None when there is none."""
    chosen = [each for each in resources.RESOURCES if _prefix(each.group) == path]
    if not chosen:
        return None
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation", "force")
    ]
    paths: dict[str, Any] = {}
    for resource in chosen:
        place = "/namespaces/{namespace}" if resource.namespaced else ""
        operation = {
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": _JSON}},
            "x-kubernetes-group-version-kind": {
                "group": resource.group,
                "version": resource.version,
                "kind": resource.kind,
            },
        }
        collection = f"/{path}{place}/{resource.plural}"
        paths[collection] = {"post": {**operation, "x-kubernetes-action": "post"}}
        paths[f"{collection}/{{name}}"] = {
            "put": {**operation, "x-kubernetes-action": "put"},
            "patch": {**operation, "x-kubernetes-action": "patch"},
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": resources.VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": {}},
    }
