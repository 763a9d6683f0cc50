"""Test of the credentials: where they come from, and whether there are some that look valid.

A credential plugin gets no terminal, and a few seconds: a login is the user's decision.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from tui_forward.common.executables import find_executable
from tui_forward.common.formatting import format_age
from tui_forward.errors import AuthError, TuiForwardError
from tui_forward.kube.kubeconfig.loader import UserEntry
from tui_forward.model import DoctorHop, Reason, ReasonCode
from tui_forward.session.doctor.chain import Chain
from tui_forward.session.doctor.findings import Finding, fault, good

_HOP: Final = DoctorHop.CREDENTIALS
_BY_DATES: Final = frozenset({
    ReasonCode.AUTH_TOKEN_EXPIRED, ReasonCode.AUTH_TOKEN_NOT_YET_VALID,
    ReasonCode.AUTH_CERTIFICATE_EXPIRED, ReasonCode.AUTH_CERTIFICATE_NOT_YET_VALID,
})  # fmt: skip
_LOGIN_HINT: Final = (
    "Log in with it once: run `kubectl get namespaces` in a terminal, or press L in the dashboard"
)


async def check_credentials(chain: Chain) -> Finding:
    """Get credentials, and look at their dates by the clock of this machine."""
    assert chain.resolved is not None
    assert chain.access is not None
    user, access = chain.resolved.user, chain.access
    tried, facts = describe_source(user), []
    if user.exec is not None:
        path = find_executable(user.exec.command, chain.environ.get("PATH"))
        facts.append(f"program {path}" if path else "")
    if user.impersonate_user:
        facts.append(f"impersonates {user.impersonate_user}")
    try:
        async with asyncio.timeout(chain.limits.plugin_s):
            auth = await access.request_auth()
    except TimeoutError:
        return fault(_HOP, tried, _slow_plugin(chain), *facts)
    except TuiForwardError as error:
        return fault(_HOP, tried, error.reason, *facts)
    chain.endpoint, chain.headers = auth.endpoint, auth.headers
    chain.has_credentials = True
    refused = AuthError(Reason(code=ReasonCode.AUTH_UNAUTHORIZED, server=access.server))
    reason = access.explain(refused).reason
    if reason.code in _BY_DATES:
        return fault(_HOP, tried, reason, *facts, "by the clock of this machine")
    end = access.credentials_end_at
    if end is not None:
        renewed = ", renewed automatically" if access.renews_credentials else ""
        facts.append(f"valid {format_age(end - time.time())}{renewed}")
    return good(_HOP, tried, *facts)


def _slow_plugin(chain: Chain) -> Reason:
    """Return what a plugin waits for that has no result yet."""
    login = chain.access.login if chain.access is not None else None
    if login is not None and login.code is ReasonCode.AUTH_LOGIN_RUNNING:
        return Reason(code=login.code, name=login.name, detail=login.detail, hint=_LOGIN_HINT)
    name = login.name if login is not None else ""
    return Reason(
        code=ReasonCode.AUTH_PLUGIN_RUNNING, name=name, timeout_s=chain.limits.plugin_s,
        hint=_LOGIN_HINT,
    )  # fmt: skip


def describe_source(user: UserEntry) -> str:
    """Return where the credentials of a user come from; the first one counts, as in client-go."""
    if user.token_file:
        return f"read the token in {user.token_file}"
    if user.token:
        return "use the token of the kubeconfig"
    if user.username:
        return "use the name and password of the kubeconfig"
    if user.certificate_data or user.certificate_file:
        return "use the client certificate of the kubeconfig"
    if user.exec is not None:
        return f"run the exec plugin {user.exec.command}"
    if user.auth_provider is not None:
        return f"use the auth-provider {user.auth_provider.name}"
    return "use no credentials"
