"""Test of the identity: whom the API server takes the user for."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from msgspec.structs import replace

from tui_forward.errors import ApiError, AuthError, TuiForwardError
from tui_forward.kube.api.reviews import UserInfo, review_user
from tui_forward.model import DoctorHop, Reason, ReasonCode
from tui_forward.session.doctor.api_hop import describe_difference
from tui_forward.session.doctor.chain import Chain
from tui_forward.session.doctor.findings import Finding, fault, good

_HOP: Final = DoctorHop.IDENTITY
_TRIED: Final = "ask who the user is (SelfSubjectReview)"
# An API server that has just started refuses everything for a moment.
_STARTING_S: Final = 1.0
_MAX_GROUPS: Final = 8


async def check_identity(chain: Chain) -> Finding:
    """Ask for the user's name and groups."""
    try:
        info = await _review(chain)
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return good(_HOP, _TRIED, "Kubernetes before 1.28 does not tell")
        if error.code is ReasonCode.RBAC_FORBIDDEN:
            detail = "it refuses SelfSubjectReview, which every user may create"
            starting = Reason(code=ReasonCode.API_STARTING, server=chain.server, detail=detail)
            return fault(_HOP, _TRIED, starting, f"user {error.reason.user}")
        return fault(_HOP, _TRIED, error.reason)
    except AuthError as error:
        return fault(_HOP, _TRIED, _explain(chain, error))
    except TuiForwardError as error:
        return fault(_HOP, _TRIED, error.reason)
    chain.user, chain.groups = info.username, info.groups
    groups = info.groups[:_MAX_GROUPS]
    more = f" and {len(info.groups) - len(groups)} more" if len(info.groups) > len(groups) else ""
    listed = f"groups {', '.join(groups)}{more}" if groups else "no groups"
    return good(_HOP, _TRIED, info.username, listed)


async def _review(chain: Chain) -> UserInfo:
    api = chain.api
    assert api is not None
    try:
        return await review_user(api)
    except ApiError as error:
        if not error.forbidden or error.code is not ReasonCode.RBAC_FORBIDDEN:
            raise
    await asyncio.sleep(_STARTING_S)
    return await review_user(api)


def _explain(chain: Chain, error: AuthError) -> Reason:
    """Return why credentials were refused, by their dates and the clocks of both sides."""
    reason = chain.access.explain(error).reason if chain.access is not None else error.reason
    if abs(chain.clock_difference_s) >= chain.limits.clock_difference_s:
        return Reason(
            code=ReasonCode.AUTH_WRONG_CLOCK,
            server=chain.server,
            detail=describe_difference(chain.clock_difference_s),
        )
    return reason if reason.server else replace(reason, server=chain.server)
