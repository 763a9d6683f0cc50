"""Questions about oneself: may I, what may I, who am I. They are answered, not stored."""

from __future__ import annotations

from typing import Any

from tui_forward.minicluster.apiserver import timestamps
from tui_forward.minicluster.apiserver.auth import RULES, Attributes, User, is_allowed
from tui_forward.minicluster.apiserver.http import Request, Response
from tui_forward.minicluster.apiserver.resources import Resource

Object = dict[str, Any]


def review(request: Request, resource: Resource, user: User) -> Response:
    """Answer a review.

    Raises:
        Failure: 400 for a body that cannot be read.
    """
    body: Object = dict(request.json())
    metadata: Object = {"creationTimestamp": None}
    spec: Object = body.get("spec") or {}
    if resource.plural == "selfsubjectaccessreviews":
        status: Object = {"allowed": is_allowed(user, _attributes(spec))}
    elif resource.plural == "selfsubjectrulesreviews":
        status = _rules(user, spec.get("namespace", ""))
    else:
        metadata = {"creationTimestamp": timestamps.now()}
        info = {"username": user.name, "groups": sorted(user.groups)}
        status = {"userInfo": info}
    answer = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    if spec:
        answer["spec"] = spec
    return Response.of({**answer, "status": status}, 201)


def _attributes(spec: Object) -> Attributes:
    if path := spec.get("nonResourceAttributes"):
        return Attributes(path.get("verb", "get"), path=path.get("path", "/"))
    wanted: Object = spec.get("resourceAttributes") or {}
    resource = wanted.get("resource", "")
    if sub := wanted.get("subresource"):
        resource = f"{resource}/{sub}"
    return Attributes(
        wanted.get("verb", ""),
        group=wanted.get("group", ""),
        resource=resource,
        namespace=wanted.get("namespace", ""),
        name=wanted.get("name", ""),
    )


def _rules(user: User, namespace: str) -> Object:
    granted = [
        {
            "verbs": sorted(rule.verbs),
            "apiGroups": sorted(rule.groups),
            "resources": sorted(rule.resources),
        }
        for rule in RULES
        if (user.name in rule.subjects or not rule.subjects.isdisjoint(user.groups))
        and rule.namespace in ("", namespace)
    ]
    return {"resourceRules": granted, "nonResourceRules": [], "incomplete": False}
