"""Reviews of identity and permissions: who a user is, and what a user may do."""

from __future__ import annotations

from typing import Any

import msgspec

from tui_forward.minicluster.apiserver import timestamps
from tui_forward.minicluster.apiserver.auth import User
from tui_forward.minicluster.apiserver.authorization import Attributes, Authorizer
from tui_forward.minicluster.apiserver.http import Request, Response
from tui_forward.minicluster.apiserver.resources import Object, Resource
from tui_forward.minicluster.apiserver.status_errors import bad_request


class AccessReviews:
    """Handles the creation of reviews, which are not stored."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def create(
        self, request: Request, resource: Resource, user: User, namespace: str = ""
    ) -> Response:
        """Return a review with its status. Raises `StatusError`: 400 for a malformed body."""
        body: Object = request.json()
        metadata: Object = {}
        spec = _object(body.get("spec"))
        match resource.plural:
            case "selfsubjectaccessreviews":
                status = self._access_status(user, spec)
            case "subjectaccessreviews" | "localsubjectaccessreviews":
                status = self._access_status(_subject(spec), spec, namespace)
            case "selfsubjectrulesreviews":
                status = self._rules_status(user, spec)
            case _:
                metadata = {"creationTimestamp": timestamps.now()}
                status = {"userInfo": {"username": user.name, "groups": list(user.groups)}}
        review = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if spec:
            review["spec"] = spec
        return Response.json({**review, "status": status}, 201)

    def _access_status(self, user: User, spec: Object, namespace: str = "") -> Object:
        attributes = _attributes(spec)
        if namespace and attributes.namespace != namespace:
            raise bad_request(
                f"spec.resourceAttributes.namespace: Invalid value: "
                f'"{attributes.namespace}": must match metadata.namespace'
            )
        decision = self._authorizer.decide(user, attributes)
        status: Object = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return status

    def _rules_status(self, user: User, spec: Object) -> Object:
        namespace = str(spec.get("namespace") or "")
        if not namespace:
            raise bad_request("no namespace on request")
        rules = self._authorizer.rules_of(user, namespace)
        return {
            "resourceRules": [
                _without(rule, "nonResourceURLs") for rule in rules if rule.resources
            ],
            "nonResourceRules": [
                {"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}
                for rule in rules
                if rule.non_resource_urls
            ],
            "incomplete": False,
        }


def _without(rule: msgspec.Struct, field: str) -> Object:
    found: Object = msgspec.to_builtins(rule)
    found.pop(field, None)
    return found


def _object(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _subject(spec: Object) -> User:
    groups = spec.get("groups")
    names = tuple(map(str, groups)) if isinstance(groups, list) else ()
    if not spec.get("user") and not names:
        raise bad_request('spec.user: Invalid value: "": at least one of user or group must be set')
    return User(str(spec.get("user") or ""), names)


def _attributes(spec: Object) -> Attributes:
    if path := _object(spec.get("nonResourceAttributes")):
        return Attributes(str(path.get("verb") or "get"), path=str(path.get("path") or "/"))
    given = _object(spec.get("resourceAttributes"))

    def text(name: str) -> str:
        return str(given.get(name) or "")

    resource = "/".join(filter(None, (text("resource"), text("subresource"))))
    return Attributes(
        text("verb"),
        group=text("group"),
        resource=resource,
        namespace=text("namespace"),
        name=text("name"),
    )
