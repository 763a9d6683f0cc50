"""Reviews: who the user is, and what the user may do. Nothing is stored on the server."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

from tui_forward.kube.api.permissions import AccessRules, Permission, ResourceRule
from tui_forward.kube.errors import unexpected_response_error

_AUTHORIZATION = "authorization.k8s.io/v1"
_AUTHENTICATION = "authentication.k8s.io/v1"

ReviewT = TypeVar("ReviewT", bound=msgspec.Struct)


class ReviewClient(Protocol):
    """What sends the reviews: a `RestClient`."""

    @property
    def server(self) -> str:
        """Address of the API server, for error texts."""

    async def post(self, target: str, what: str, body: bytes) -> bytes:
        """Return the body of the response to a POST; raises the errors of `RestClient.post`."""


class UserInfo(msgspec.Struct, frozen=True, rename="camel"):
    """Who the API server takes the user for."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()


class _Rule(msgspec.Struct, rename="camel"):
    verbs: list[str] = []
    api_groups: list[str] | None = None
    resources: list[str] | None = None
    resource_names: list[str] | None = None


class _RulesStatus(msgspec.Struct, rename="camel"):
    resource_rules: list[_Rule] | None = None
    incomplete: bool = False


class _RulesReview(msgspec.Struct):
    status: _RulesStatus


class _AccessStatus(msgspec.Struct):
    allowed: bool = False


class _AccessReview(msgspec.Struct):
    status: _AccessStatus


class _SelfStatus(msgspec.Struct, rename="camel"):
    user_info: UserInfo


class _SelfReview(msgspec.Struct):
    status: _SelfStatus


async def review_user(client: ReviewClient) -> UserInfo:
    """Return who the API server takes the user for (1.28 or newer; ApiError 404 before)."""
    what = "create selfsubjectreviews.authentication.k8s.io"
    review = await _create(client, _AUTHENTICATION, "SelfSubjectReview", {}, what, _SelfReview)
    return review.status.user_info


async def review_rules(client: ReviewClient, namespace: str) -> AccessRules:
    """Return what the user may do in a namespace."""
    what = f"create selfsubjectrulesreviews.authorization.k8s.io for namespace {namespace}"
    spec = {"namespace": namespace}
    review = await _create(
        client, _AUTHORIZATION, "SelfSubjectRulesReview", spec, what, _RulesReview
    )
    return AccessRules(
        rules=tuple(
            ResourceRule(
                frozenset(rule.verbs),
                frozenset(rule.api_groups or ()),
                frozenset(rule.resources or ()),
                frozenset(rule.resource_names or ()),
            )
            for rule in review.status.resource_rules or ()
        ),
        incomplete=review.status.incomplete,
    )


async def review_access(
    client: ReviewClient, namespace: str, permission: Permission, name: str = ""
) -> bool:
    """Return whether the user has a permission in a namespace, on one object if it is named."""
    resource, _, subresource = permission.resource.partition("/")
    attributes = {
        "namespace": namespace,
        "verb": permission.verb,
        "group": permission.group,
        "resource": resource,
        "subresource": subresource,
        "name": name,
    }
    what = "create selfsubjectaccessreviews.authorization.k8s.io"
    spec = {"resourceAttributes": {key: value for key, value in attributes.items() if value}}
    review = await _create(
        client, _AUTHORIZATION, "SelfSubjectAccessReview", spec, what, _AccessReview
    )
    return review.status.allowed


async def _create(
    client: ReviewClient,
    api_version: str,
    kind: str,
    spec: dict[str, Any],
    what: str,
    review_type: type[ReviewT],
) -> ReviewT:
    body = {"apiVersion": api_version, "kind": kind, "spec": spec}
    path = f"/apis/{api_version}/{kind.lower()}s"
    answer = await client.post(path, what, msgspec.json.encode(body))
    try:
        return msgspec.json.decode(answer, type=review_type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unexpected_response_error(what, client.server, error) from error
