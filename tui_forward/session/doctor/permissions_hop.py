"""Test of the permissions: what the API server allows the user, for each transport."""

from __future__ import annotations

from dataclasses import replace as replace_fields
from typing import Final

from tui_forward.errors import TuiForwardError
from tui_forward.kube.api.permissions import (
    AccessRules,
    Permission,
    Requirement,
    all_permissions,
    forward_requirements,
    missing_permissions,
    role_yaml,
    tunnel_ways,
)
from tui_forward.kube.api.reviews import review_access, review_rules
from tui_forward.model import (
    DoctorHop,
    Reason,
    ReasonCode,
    TargetKind,
    TransportChoice,
)
from tui_forward.reasons import TRANSPORT_NAMES
from tui_forward.session.doctor.chain import Chain
from tui_forward.session.doctor.findings import Finding, fault, good, note
from tui_forward.session.doctor.similar_names import find_missing_namespace

_HOP: Final = DoctorHop.PERMISSIONS
TRANSPORTS: Final = (
    TransportChoice.SPDY, TransportChoice.WEBSOCKET, TransportChoice.CHANNELS
)  # fmt: skip


def requested_transports(choice: TransportChoice) -> tuple[TransportChoice, ...]:
    """Return the transports to test, in the order of the attempts."""
    return TRANSPORTS if choice is TransportChoice.AUTO else (choice,)


async def check_permissions(chain: Chain) -> Finding:
    """Ask what the user may do in the namespace, and compare it with what forwards need."""
    query, namespace = chain.query, chain.namespace
    tried = f"ask what the user may do in namespace {namespace} (SelfSubjectRulesReview)"
    kind = query.target.kind if query.target is not None else TargetKind.POD
    requirements = forward_requirements(
        kind, transport=query.transport, server_version=chain.server_version
    )
    try:
        allowed = await _allowed(chain, namespace, all_permissions(requirements))
        # A target says so itself.
        missing = None
        if query.target is None and chain.api is not None:
            missing = await find_missing_namespace(chain.api, namespace)
    except TuiForwardError as error:
        return fault(_HOP, tried, error.reason)
    if missing is not None:
        return fault(_HOP, tried, missing)
    _record_denied(chain, allowed)
    return judge_permissions(chain, tried, requirements, allowed)


async def _allowed(
    chain: Chain, namespace: str, permissions: tuple[Permission, ...]
) -> frozenset[Permission]:
    """Return those that the user has. What no rule allows is asked for by itself."""
    api = chain.api
    assert api is not None
    try:
        rules = await review_rules(api, namespace)
    except TuiForwardError as error:
        if error.code is not ReasonCode.RBAC_FORBIDDEN:
            raise
        rules = AccessRules((), incomplete=True)
    allowed = {one for one in permissions if rules.allows(one)}
    for permission in permissions:
        if permission not in allowed and await review_access(api, namespace, permission):
            allowed.add(permission)
    return frozenset(allowed)


def _record_denied(chain: Chain, allowed: frozenset[Permission]) -> None:
    """Record which transports the API server will refuse."""
    for transport in requested_transports(chain.query.transport):
        (way,) = tunnel_ways(transport, chain.server_version)
        missing = [one for one in way if one not in allowed]
        if missing:
            chain.denied[transport] = _forbidden(chain, missing)


def judge_permissions(
    chain: Chain,
    tried: str,
    requirements: tuple[Requirement, ...],
    allowed: frozenset[Permission],
) -> Finding:
    """Return what the permissions are worth for a forward."""
    missing = missing_permissions(requirements, allowed.__contains__)
    everything = all_permissions(requirements)
    facts = _describe_transports(chain)
    if missing:
        found = fault(_HOP, tried, _forbidden(chain, missing), *facts)
    else:
        lacking = tuple(
            permission
            for requirement in requirements
            if requirement.otherwise
            for permission in requirement.missing(allowed.__contains__)
        )
        consequences = [one.otherwise for one in requirements if one.missing(allowed.__contains__)]
        denied = [
            one
            for transport in chain.denied
            for one in tunnel_ways(transport, chain.server_version)[0]
            if one not in allowed
        ]
        lacking = tuple(dict.fromkeys((*lacking, *denied)))
        if not lacking:
            return good(_HOP, tried, *facts)
        found = note(_HOP, tried, _forbidden(chain, lacking), *facts, *consequences)
    manifest = role_yaml(chain.namespace, everything, user=chain.user)
    return replace_fields(found, manifest=manifest)


def _describe_transports(chain: Chain) -> tuple[str, ...]:
    transports = requested_transports(chain.query.transport)
    allowed = [TRANSPORT_NAMES[one] for one in transports if one not in chain.denied]
    denied = [TRANSPORT_NAMES[one] for one in transports if one in chain.denied]
    facts = []
    if allowed:
        facts.append(f"allowed: {', '.join(allowed)}")
    if denied:
        facts.append(f"not allowed: {', '.join(denied)}")
    return tuple(facts)


def _forbidden(chain: Chain, missing: tuple[Permission, ...] | list[Permission]) -> Reason:
    listed = " and ".join(map(str, missing))
    first = missing[0]
    return Reason(
        code=ReasonCode.RBAC_FORBIDDEN,
        action=f"{listed} in namespace {chain.namespace}",
        verb=first.verb,
        resource=first.resource,
        namespace=chain.namespace,
        user=chain.user,
        hint="Have this Role applied by someone who may: kubectl apply -f FILE",
    )
