"""The `oidc` auth-provider: an ID token, and a refresh token to get the next one.

Follows client-go `plugin/pkg/client/auth/oidc`: discovery, the refresh grant, and new tokens
written back to the kubeconfig, as in kubectl (identity providers may accept each refresh token
only once).

`kubernetes.aio` refreshes OIDC tokens without verifying the identity provider's certificate
unless the kubeconfig pins one, and so would disclose the refresh token to a man in the middle.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote_plus, urlsplit

import msgspec

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.redaction import redact
from tui_forward.errors import AuthError, TransportError
from tui_forward.kube.auth.credentials import Credentials, KeptCredentials, load_pem
from tui_forward.kube.errors import to_transport_error
from tui_forward.kube.http_import import import_in_thread
from tui_forward.kube.kubeconfig.loader import UserEntry
from tui_forward.kube.kubeconfig.token_writeback import write_back_tokens
from tui_forward.kube.proxy_selection import select_proxy
from tui_forward.model import ReasonCode
from tui_forward.transport.access import Endpoint
from tui_forward.transport.tls_context import create_verifying_context

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

Response = TypeVar("Response", bound=msgspec.Struct)

_log = logging.getLogger(__name__)

_RENEW_BEFORE_S = 10.0
_TIMEOUT_S = 20.0
_MAX_RESPONSE_BYTES = 1024 * 1024
_LABEL = "the identity provider"


class _Claims(msgspec.Struct):
    exp: float | None = None


class _Discovery(msgspec.Struct):
    token_endpoint: str = ""


class _Tokens(msgspec.Struct):
    id_token: str | None = None
    refresh_token: str | None = None


class OidcProvider:
    """Provider of the ID token, refreshed when it has expired or was refused."""

    def __init__(self, user: UserEntry, environ: Mapping[str, str]) -> None:
        assert user.auth_provider is not None
        self._user = user
        self._config = dict(user.auth_provider.config)
        self._environ = environ
        self._token = self._config.get("id-token", "")
        self._refresh_token = self._config.get("refresh-token", "")

    name = "the identity provider"

    def listen(self, on_line: Callable[[str], None]) -> None:
        """See `CredentialProvider.listen`: it tells nothing."""

    def terminal_command(self) -> None:
        """See `CredentialProvider.terminal_command`: there is none."""

    def accept(self, output: bytes, exit_code: int) -> Credentials:
        """See `CredentialProvider.accept`; is not called."""
        raise NotImplementedError

    def export(self) -> KeptCredentials | None:
        """See `CredentialProvider.export`.

        The kubeconfig has them, too, unless it cannot be written.
        """
        if not (self._token or self._refresh_token):
            return None
        return KeptCredentials(
            token=self._token,
            expires_at=_expires_at(self._token) or 0.0,
            refresh_token=self._refresh_token,
        )

    def adopt(self, kept: KeptCredentials) -> None:
        """See `CredentialProvider.adopt`."""
        self._token, self._refresh_token = kept.token, kept.refresh_token

    def current(self) -> Credentials | None:
        """See `CredentialProvider.current`."""
        expires_at = _expires_at(self._token)
        if expires_at is None or expires_at <= time.time() + _RENEW_BEFORE_S:
            return None
        return Credentials(authorization=f"Bearer {self._token}")

    async def credentials(self, *, refresh: bool) -> Credentials:
        """See `CredentialProvider.credentials`."""
        if self._token and _expires_at(self._token) is None:
            # As in client-go: without a token the refresh token would be used, not so with this.
            raise AuthError(
                f'the id-token of user "{self._user.name}" is not a JSON Web Token',
                code=ReasonCode.AUTH_REFRESH_FAILED,
                hint="Log in again with the tool that made this kubeconfig",
            )
        if refresh or self.current() is None:
            await self._renew()
        return Credentials(authorization=f"Bearer {self._token}")

    async def _renew(self) -> None:
        issuer = self._config.get("idp-issuer-url", "")
        if not self._refresh_token or not issuer:
            missing = "refresh-token" if issuer else "idp-issuer-url"
            raise AuthError(
                f'the OIDC token of user "{self._user.name}" has expired, and there is no '
                f"{missing} to get a new one",
                code=ReasonCode.AUTH_REFRESH_FAILED,
                hint="Log in again with the tool that made this kubeconfig",
            )
        tokens = await self._exchange(issuer)
        if not tokens.id_token:
            raise AuthError(
                f"the identity provider {_authority(issuer)} returned no id_token",
                code=ReasonCode.AUTH_REFRESH_FAILED,
                hint="Its client must be allowed the scope openid; log in again",
            )
        _log.debug("OIDC token of user %s refreshed", self._user.name)
        self._token = tokens.id_token
        changes = {"id-token": tokens.id_token}
        if tokens.refresh_token and tokens.refresh_token != self._refresh_token:
            self._refresh_token = tokens.refresh_token
            changes["refresh-token"] = tokens.refresh_token
        if self._user.source is not None:
            await write_back_tokens(self._user.source, self._user.name, changes)

    async def _exchange(self, issuer: str) -> _Tokens:
        """Discover the token endpoint and use the refresh token there."""
        connector_module = await import_in_thread("tui_forward.kube.http_connector")
        import aiohttp  # loaded with the connector

        tls = await run_in_thread(self._tls_context, name="TLS settings")
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                connector_module.create_session(
                    lambda url: self._endpoint_for(url, tls)
                ) as session,
            ):
                url = issuer.rstrip("/") + "/.well-known/openid-configuration"
                status, body = await self._request(session, "GET", url)
                endpoint = _decode(body, _Discovery).token_endpoint if status == 200 else ""
                if urlsplit(endpoint).scheme not in {"https", urlsplit(issuer).scheme}:
                    raise AuthError(
                        f"the identity provider {_authority(issuer)} has no token endpoint "
                        f"(status {status})",
                        code=ReasonCode.AUTH_REFRESH_FAILED,
                        hint="Check idp-issuer-url in the kubeconfig",
                    )
                return await self._grant(session, endpoint)
        except TransportError as error:
            raise self._refresh_error(error) from error
        except ValueError as error:  # a URL of the kubeconfig or of the provider
            raise AuthError(
                f"the identity provider {_authority(issuer)} has an invalid address",
                code=ReasonCode.AUTH_REFRESH_FAILED,
                hint="Check idp-issuer-url in the kubeconfig",
            ) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._refresh_error(
                to_transport_error(error, server=_authority(issuer))
            ) from error

    def _refresh_error(self, cause: TransportError) -> AuthError:
        return AuthError(
            f"the OIDC token cannot be refreshed: {cause.message}",
            code=ReasonCode.AUTH_REFRESH_FAILED,
            hint="Check the network, and idp-issuer-url and idp-certificate-authority of user "
            f'"{self._user.name}" in the kubeconfig',
        )

    def _endpoint_for(self, url: URL, tls: ssl.SSLContext) -> Endpoint:
        host, port, secure = url.host or "", url.port or 0, url.scheme == "https"
        return Endpoint(
            host=host,
            port=port,
            tls=tls if secure else None,
            proxy=select_proxy(
                host, port, tls=secure, proxy_url="", environ=self._environ, origin=_LABEL
            ),
            label=_LABEL,
        )

    async def _grant(self, session: aiohttp.ClientSession, endpoint: str) -> _Tokens:
        """Send the client's secret as a header, then in the form, as Go's oauth2 does."""
        client = self._config.get("client-id", "")
        secret = self._config.get("client-secret", "")
        form = {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
        # RFC 6749, section 2.3.1: both are form-encoded first.
        pair = base64.b64encode(f"{quote_plus(client)}:{quote_plus(secret)}".encode()).decode()
        status, body = await self._request(
            session, "POST", endpoint, form, {"Authorization": f"Basic {pair}"}
        )
        if status in {400, 401}:
            with_client = {**form, "client_id": client}
            if secret:
                with_client["client_secret"] = secret
            status, body = await self._request(session, "POST", endpoint, with_client)
        if status != 200:
            secrets = [self._refresh_token, secret, self._token]
            message = redact(body[:500].decode("utf-8", "replace"), secrets, limit=200)
            raise AuthError(
                f"the identity provider {_authority(endpoint)} refused to refresh the token "
                f"({status}): {message}",
                code=ReasonCode.AUTH_REFRESH_FAILED,
                hint="The login has expired: log in again with the tool that made this kubeconfig",
            )
        return _decode(body, _Tokens)

    async def _request(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        form: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        import aiohttp
        from yarl import URL

        from tui_forward.kube.http_connector import send

        async with await send(
            session,
            method,
            URL(url),
            body=form,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                **(headers or {}),
            },
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            server=_authority(url),
        ) as response:
            encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if encoding not in {"", "identity"}:
                raise AuthError(
                    f"the response of the identity provider {_authority(url)} is compressed, which "
                    "was not requested",
                    code=ReasonCode.AUTH_REFRESH_FAILED,
                    hint="Check idp-issuer-url in the kubeconfig, and proxies in between",
                )
            body = bytearray()
            while chunk := await response.content.readany():
                body += chunk
                if len(body) > _MAX_RESPONSE_BYTES:
                    raise AuthError(
                        f"the response of the identity provider {_authority(url)} is too long",
                        code=ReasonCode.AUTH_REFRESH_FAILED,
                    )
            return response.status, bytes(body)

    def _tls_context(self) -> ssl.SSLContext:
        where = f'idp-certificate-authority of user "{self._user.name}"'
        file = self._config.get("idp-certificate-authority", "")
        if file and self._user.source is not None:
            file = str(self._user.source.parent / file)
        data = self._config.get("idp-certificate-authority-data", "")
        pem = load_pem(data, file, where, str(self._user.source or "the kubeconfig"))
        return create_verifying_context(pem.decode("ascii", "ignore") if pem else None)


def _decode(body: bytes, kind: type[Response]) -> Response:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise AuthError(
            "the response of the identity provider is not OpenID Connect",
            code=ReasonCode.AUTH_REFRESH_FAILED,
            hint="Check idp-issuer-url in the kubeconfig",
        ) from None


def _expires_at(token: str) -> float | None:
    """Return when a JSON Web Token expires; None if it is none, 0 if it does not say."""
    parts = token.split(".")
    if len(parts) != 3 or "=" in parts[1]:
        return None
    try:
        content = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(content, type=_Claims).exp or 0.0
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return None


def _authority(url: str) -> str:
    """Return host and port of a URL: no credentials, no query."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "of the kubeconfig"
    except ValueError:
        return "of the kubeconfig"
