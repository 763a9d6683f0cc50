"""Reasons of credentials and permissions."""

from __future__ import annotations

from typing import Final

from tui_forward.model import BlockedBy, HopKind, ReasonCode
from tui_forward.reasons.entry import Entry

_OWN_CLOCK_HINT: Final = "Check the clock of this machine and of the server"
_RENEW_HINT: Final = "Renew it: log in again, or replace it in the kubeconfig"
_LOG_IN_HINT: Final = (
    "Log in again (for example with `kubectl get ns` or your cloud's login command)"
)
_RESUMED: Final = "waiting forwards resume automatically"
_OF_USER: Final = "[ of user {user}]"
_PLUGIN: Final = "the credential plugin[ {name}]"

TABLE: Final[dict[ReasonCode, Entry]] = {
    ReasonCode.AUTH_FAILED: Entry(
        "no valid credentials",
        "no valid credentials[: {detail}]",
        _LOG_IN_HINT,
        HopKind.API,
        BlockedBy.CREDENTIALS,
        automatic=_RESUMED,
    ),
    ReasonCode.AUTH_NO_CREDENTIALS: Entry(
        "no credentials",
        "[user {user} of the kubeconfig has|the kubeconfig has] no credentials for "
        "[{server}|the API server]",
        "Add a token, a client certificate or an exec plugin to the user in the kubeconfig",
        HopKind.API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_NOT_ENCRYPTED: Entry(
        "no credentials over http://",
        "credentials are not sent over plain http://, and [{server}|the API server] wants some",
        "Use https:// in `server` of the kubeconfig",
        HopKind.API,
        BlockedBy.CONFIG,
    ),
    ReasonCode.AUTH_TOKEN_EXPIRED: Entry(
        "token expired",
        "the token" + _OF_USER + " expired[ at {time}]",
        _RENEW_HINT,
        HopKind.API,
        BlockedBy.CREDENTIALS,
        automatic=_RESUMED,
    ),
    ReasonCode.AUTH_TOKEN_NOT_YET_VALID: Entry(
        "token not valid yet",
        "the token" + _OF_USER + " is not valid[ before {time}| yet]",
        _OWN_CLOCK_HINT,
        HopKind.API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_TOKEN_REFUSED: Entry(
        "token refused",
        "[{server}|the API server] does not accept the token" + _OF_USER + "[ (valid until {time})]"
        "[: {detail}]",
        "Check that it is of this cluster and not revoked; replace it in the kubeconfig, "
        "or log in again",
        HopKind.API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_CERTIFICATE_EXPIRED: Entry(
        "cert expired",
        "the client certificate" + _OF_USER + " expired[ at {time}]",
        _RENEW_HINT,
        HopKind.API,
        BlockedBy.CREDENTIALS,
        automatic=_RESUMED,
    ),
    ReasonCode.AUTH_CERTIFICATE_NOT_YET_VALID: Entry(
        "client cert not valid yet",
        "the client certificate" + _OF_USER + " is not valid[ before {time}| yet]",
        _OWN_CLOCK_HINT,
        HopKind.API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_CERTIFICATE_REFUSED: Entry(
        "client certificate refused",
        "[{server}|the API server] does not accept the client certificate"
        + _OF_USER
        + "[ (valid until {time})][: {detail}]",
        "Check that it is signed by this cluster's authority for clients; log in again or renew it",
        HopKind.API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_UNAUTHORIZED: Entry(
        "credentials refused (401)",
        "[a gateway in front of the API server ({gateway})|{server}|the API server] "
        "refused the credentials (401)[ to {action}][: {detail}]",
        _LOG_IN_HINT,
        HopKind.API,
        BlockedBy.CREDENTIALS,
        automatic=_RESUMED,
    ),
    ReasonCode.AUTH_PLUGIN_FAILED: Entry(
        "[{name}|credential plugin] failed",
        "[the credential plugin {name}|the credential plugin] failed[: {detail}]",
        _LOG_IN_HINT,
        HopKind.API,
        BlockedBy.CREDENTIALS,
        automatic=_RESUMED,
    ),
    ReasonCode.AUTH_PLUGIN_MISSING: Entry(
        "[{name}|credential plugin] not found",
        'the exec plugin[ "{name}"] is not installed, or not on the PATH',
        "Install [{name}|it], or correct `command` of the user in the kubeconfig",
        HopKind.API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_PLUGIN_DENIED: Entry(
        "[{name}|plugin] is not allowed",
        'the exec plugin[ "{name}"] may not run[: {detail}]',
        "Allow it in the preferences of kubectl (kuberc)",
        HopKind.API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_WRONG_CLOCK: Entry(
        "refused; clocks differ",
        "[{server}|the API server] refused the credentials, and the clock of this machine is "
        "[{detail}|another one]",
        "Set the clock of this machine (for example with timedatectl set-ntp true)",
        HopKind.API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_PLUGIN_RUNNING: Entry(
        "waiting for [{name}|a plugin]",
        f"waiting for {_PLUGIN}",
        "It may be waiting for a login in the browser or for the network",
        HopKind.API,
    ),
    ReasonCode.AUTH_LOGIN_RUNNING: Entry(
        "waiting for a login",
        f"{_PLUGIN} is waiting[: {{detail}}]",
        "Do what it asks for; press L in the dashboard to open or copy it",
        HopKind.API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_LOGIN_IN_TERMINAL: Entry(
        "login runs in a terminal",
        f"{_PLUGIN} runs in a terminal of yours",
        "Log in there",
        HopKind.API,
        BlockedBy.CREDENTIALS,
        automatic=_RESUMED,
    ),
    ReasonCode.AUTH_LOGIN_ENDED: Entry(
        "login was not finished",
        f"{_PLUGIN} was ended before it had an answer",
        _LOG_IN_HINT,
        HopKind.API,
        BlockedBy.CREDENTIALS,
        automatic=_RESUMED,
    ),
    ReasonCode.AUTH_TERMINAL_REQUIRED: Entry(
        "login needs a terminal",
        f"{_PLUGIN} needs a terminal to log in (interactiveMode: Always)",
        "Press L in the dashboard to log in, or run `tui-forward forward` in a terminal",
        HopKind.API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_REFRESH_FAILED: Entry(
        "token cannot be refreshed",
        "the token cannot be refreshed[: {detail}]",
        _LOG_IN_HINT,
        HopKind.API,
        BlockedBy.CREDENTIALS,
        automatic=_RESUMED,
    ),
    ReasonCode.AUTH_SECRET_NOT_KEPT: Entry(
        "secret option is not kept",
        "the value of [{name}|a secret option] is kept in memory only, and the engine has ended "
        "since",
        "Stop the forward, and start it again with the same options",
        HopKind.API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.RBAC_FORBIDDEN: Entry(
        "no permission[: {permission}]",
        "not allowed[ to {action}| to {verb} {resource} in namespace {namespace}"
        "| to {verb} {resource}][ as {user}][: {detail}]",
        'Ask for a role that allows[ "{action}"| "{verb} {resource}"| this]',
        HopKind.API,
        BlockedBy.FORBIDDEN,
    ),
}
