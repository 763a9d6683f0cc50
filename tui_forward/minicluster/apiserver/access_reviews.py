"""Self-subject reviews: what the user may do, and who the user is. They are not stored."""

from __future__ import annotations

from tui_forward.minicluster.apiserver import timestamps
from tui_forward.minicluster.apiserver.auth import RULES, Attributes, User, is_allowed
from tui_forward.minicluster.apiserver.http import Request, Response
from tui_forward.minicluster.apiserver.resources import Object, Resource


def review(request: Request, resource: Resource, user: User) -> Response:
    """Handle a review. Raises `StatusError`: 400 for a malformed body."""
    body = request.json()
    metadata: Object = {"creationTimestamp": None}
    spec: Object = body.get("spec") or {}
    if resource.plural == "selfsubjectaccessreviews":
        status: Object = {"allowed": is_allowed(user, _attributes(spec))}
    elif resource.plural == "selfsubjectrulesreviews":
        status = _rules(user, spec.get("namespace", ""))
    else:
        metadata = {"creationTimestamp": timestamps.now()}
        status = {"userInfo": {"username": user.name, "groups": sorted(user.groups)}}
    result = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    if spec:
        result["spec"] = spec
    return Response.json({**result, "status": status}, 201)


def _attributes(spec: Object) -> Attributes:
    if path := spec.get("nonResourceAttributes"):
        return Attributes(path.get("verb", "get"), path=path.get("path", "/"))
    attributes: Object = spec.get("resourceAttributes") or {}
    resource = attributes.get("resource", "")
    if sub := attributes.get("subresource"):
        resource = f"{resource}/{sub}"
    return Attributes(
        attributes.get("verb", ""),
        group=attributes.get("group", ""),
        resource=resource,
        namespace=attributes.get("namespace", ""),
        name=attributes.get("name", ""),
    )


def _rules(user: User, namespace: str) -> Object:
    rules = [
        {
            "verbs": sorted(rule.verbs),
            "apiGroups": sorted(rule.groups),
            "resources": sorted(rule.resources),
        }
        for rule in RULES
        if rule.applies_to(user) and rule.namespace in ("", namespace)
    ]
    return {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}
