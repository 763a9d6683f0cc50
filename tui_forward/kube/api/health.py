"""Health of an API server: reachability, latency, version."""

from __future__ import annotations

import asyncio
import time

import msgspec

from tui_forward.errors import ApiError, AuthError, ConfigError, TransportError, TuiForwardError
from tui_forward.kube.api.rest_client import RestClient
from tui_forward.kube.http_import import import_in_thread
from tui_forward.model import ApiHealth, BlockedBy

_TIMEOUT_S = 10.0


class _Version(msgspec.Struct, rename="camel"):
    git_version: str = ""


async def check_health(client: RestClient) -> ApiHealth:
    """Return the health of an API server. Never raises."""
    access = client.access
    await import_in_thread()  # not part of the server's latency
    try:
        await access.request_auth()  # a login may take minutes
    except TuiForwardError as error:
        return _unhealthy(client, error)
    started = time.monotonic()
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            body = await client.get("/version", "get the version", retry_wait_s=0)
    except TimeoutError:
        slow = f"{access.server} did not answer within {_TIMEOUT_S:.0f} s"
        return _unhealthy(client, TransportError(slow, hint="Check the network and VPN"))
    except TuiForwardError as error:
        if isinstance(error, ApiError) and 400 <= error.status < 500:
            # It responds; a refusal to tell its version is not a failure.
            return ApiHealth(
                context=access.context,
                options=access.options.without_secrets(),
                server=access.server,
                insecure=access.insecure,
                ok=True,
                latency_s=time.monotonic() - started,
            )
        return _unhealthy(client, error)
    try:
        version = msgspec.json.decode(body, type=_Version).git_version
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        version = ""
    return ApiHealth(
        context=access.context,
        options=access.options.without_secrets(),
        server=access.server,
        insecure=access.insecure,
        ok=True,
        latency_s=client.latency_s,
        version=version,
        credentials_end_at=access.credentials_end_at,
        renews_credentials=access.renews_credentials,
    )


def _unhealthy(client: RestClient, error: TuiForwardError) -> ApiHealth:
    blocked_by = None
    if isinstance(error, AuthError):
        blocked_by = BlockedBy.CREDENTIALS
    elif isinstance(error, ConfigError):
        blocked_by = BlockedBy.CONFIG
    return ApiHealth(
        context=client.access.context,
        server=client.access.server,
        insecure=client.access.insecure,
        ok=False,
        code=error.code,
        error=error.message,
        short_error=error.short_message,
        hint=error.hint,
        blocked_by=blocked_by,
    )
