"""Discovery, version, health and OpenAPI: the paths of the API server that are not objects.

Discovery is served in its plain form only. A client that accepts the aggregated form accepts the
plain one too and detects it by the Content-Type.
"""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.http import Request, Response
from tui_forward.minicluster.apiserver.resources import RESOURCES, REVIEWS, Object
from tui_forward.minicluster.apiserver.status_errors import method_not_allowed, no_such_path

VERSION: dict[str, str] = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2+minicluster",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "python",
    "platform": "any",
}


GROUPS = (
    *("apps", "authentication.k8s.io", "authorization.k8s.io", "batch", "discovery.k8s.io"),
    "rbac.authorization.k8s.io",
)


def respond(request: Request, server_address: str) -> Response:
    """Answer a request for a path that is not an object."""
    if request.method not in ("GET", "HEAD"):
        raise method_not_allowed()
    parts = request.path.strip("/").split("/")
    if parts[0] in ("healthz", "livez", "readyz"):
        return Response(body=b"ok", content_type="text/plain; charset=utf-8")
    document = _document(parts, server_address)
    if document is None:
        raise no_such_path()
    return Response.json(document)


def _document(parts: list[str], server_address: str) -> Object | None:
    match parts:
        case [""]:
            return {"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/version"]}
        case ["version"]:
            return dict(VERSION)
        case ["api"]:
            return _api_versions(server_address)
        case ["api", "v1"]:
            return _api_resource_list("", "v1")
        case ["apis"]:
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [*map(_group, GROUPS)]}
        case ["apis", group] if group in GROUPS:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
        case ["apis", group, version]:
            return _api_resource_list(group, version)
        case ["openapi", "v3"]:
            return _openapi_index()
        case ["openapi", "v3", *path]:
            return _openapi_document("/".join(path))
    return None


def _api_versions(server_address: str) -> Object:
    address = {"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}


def _group(name: str) -> Object:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _api_resource_list(group: str, version: str) -> Object | None:
    """Return the resources and subresources of a group; None if there is no such group."""
    found = [r for r in (*RESOURCES, *REVIEWS) if (r.group, r.version) == (group, version)]
    if not found:
        return None
    entries: list[Object] = []
    for resource in sorted(found, key=lambda r: r.plural):
        entry: Object = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
        }
        if resource.short:
            entry["shortNames"] = list(resource.short)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        entries.append(entry)
        for sub in sorted(resource.subresources, key=lambda s: s.name):
            entry = {"name": f"{resource.plural}/{sub.name}", "singularName": ""}
            entry["namespaced"] = resource.namespaced
            if sub.group:
                entry |= {"group": sub.group, "version": sub.version}
            entries.append({**entry, "kind": sub.kind, "verbs": list(sub.verbs)})
    head: Object = {"kind": "APIResourceList"}
    if group:
        head["apiVersion"] = "v1"
    head["groupVersion"] = f"{group}/{version}" if group else version
    return {**head, "resources": entries}


_OPENAPI_JSON = {"application/json": {"schema": {"type": "object"}}}


def _openapi_index() -> Object:
    """Return the response to `/openapi/v3`."""
    paths = {
        _openapi_prefix(group): {"serverRelativeURL": f"/openapi/v3/{_openapi_prefix(group)}"}
        for group in sorted({resource.group for resource in resources.RESOURCES})
    }
    return {"paths": paths}


def _openapi_prefix(group: str) -> str:
    return f"apis/{group}/v1" if group else "api/v1"


def _openapi_document(path: str) -> Object | None:
    """Return the response to `/openapi/v3/{path}`; None if there is none."""
    found = [each for each in resources.RESOURCES if _openapi_prefix(each.group) == path]
    if not found:
        return None
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation", "force")
    ]
    paths: Object = {}
    for resource in found:
        namespace_path = "/namespaces/{namespace}" if resource.namespaced else ""
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        operation = {
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": _OPENAPI_JSON}},
            "x-kubernetes-group-version-kind": kind,
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
