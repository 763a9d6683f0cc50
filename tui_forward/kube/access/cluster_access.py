"""Endpoint and credentials of one context; implements `transport.access.ServerAccess`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec.structs import replace

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.file_signature import Signature, file_signatures
from tui_forward.errors import AuthError, ConfigError
from tui_forward.kube.access.tls import create_client_context
from tui_forward.kube.auth.credentials import (
    ClientCertificate,
    CredentialProvider,
    Credentials,
    CredentialSource,
    HeaderList,
)
from tui_forward.kube.auth.login_key import LoginKey, login_key
from tui_forward.kube.auth.shared_login import SharedLogin
from tui_forward.kube.auth.shared_logins import JoinedLogin, LoginObserver, SharedLogins
from tui_forward.kube.auth.validity import ends_at, explain_refusal
from tui_forward.kube.kubeconfig.loader import ClusterEntry, ResolvedContext
from tui_forward.kube.kubeconfig.overrides import resolve_context
from tui_forward.kube.kubeconfig.server_url import parse_server_url
from tui_forward.kube.kubeconfig.source import KubeconfigSource
from tui_forward.kube.kubeconfig.validation import validate_context
from tui_forward.kube.proxy_selection import select_proxy
from tui_forward.model import (
    NO_CONTEXT,
    NO_OPTIONS,
    AccessOptions,
    LoginCommand,
    Reason,
    ReasonCode,
)
from tui_forward.transport.access import Endpoint

_SUCCESSORS = {
    "azure": "kubelogin (`kubelogin convert-kubeconfig`)",
    "openstack": "client-keystone-auth",
}


# Another credential would not be valid earlier: the clock is the first suspect.
_WRONG_CLOCK = (ReasonCode.AUTH_TOKEN_NOT_YET_VALID, ReasonCode.AUTH_CERTIFICATE_NOT_YET_VALID)
_NOT_IDENTIFIED = (ReasonCode.AUTH_NO_CREDENTIALS, ReasonCode.AUTH_UNAUTHORIZED)
_HIDDEN_CERTIFICATE = (
    "Use a token, or connect to the API server itself: what terminates TLS in between hides the "
    "client certificate of the kubeconfig"
)


class RequestAuth(NamedTuple):
    """Endpoint and credentials of one request."""

    endpoint: Endpoint
    headers: HeaderList  # a name may repeat


class ClusterAccess:
    """Endpoint and credentials of one context; follows changes of the kubeconfig.

    A changed server, certificate or token is used from the next request on. Safe to use
    concurrently and to cancel. An empty context means the one that is current now; `options`
    replace parts of its cluster and user. `environ` is the environment of plugins and proxies, by
    default that of the kubeconfig. With `has_terminal`, plugins may use the terminal of this
    process. `logins` are shared with others of the same environment.
    """

    def __init__(
        self,
        source: KubeconfigSource,
        context: str = "",
        options: AccessOptions = NO_OPTIONS,
        *,
        environ: Mapping[str, str] | None = None,
        has_terminal: bool = False,
        logins: SharedLogins | None = None,
    ) -> None:
        self._source = source
        self._options = options
        self._has_terminal = has_terminal
        self._environ = source.environ if environ is None else environ
        self._context = source.context_name(context, options)
        self._resolved: ResolvedContext | None = None
        self._files: Signature = ()
        self._credential_source: CredentialSource | None = None
        self._logins = logins if logins is not None else SharedLogins()
        self._joined_login: JoinedLogin | None = None
        self._login_observer = LoginObserver(
            cluster=(self._context, options.without_secrets()),
            on_change=self._login_changed,
            on_renewed=self._login_renewed,
        )
        self._login_observers: set[Callable[[], None]] = set()
        self._renewal_waiters: set[asyncio.Future[None]] = set()
        self._last_credentials: Credentials | None = None
        self._validity: tuple[Credentials, float | None] | None = None  # for which credentials
        self._endpoint: Endpoint | None = None
        # What the endpoint was built from: the context as resolved, and the certificate.
        self._endpoint_key: tuple[CredentialSource, ClientCertificate | None] | None = None
        self._endpoint_lock = asyncio.Lock()

    @property
    def context(self) -> str:
        """The kubeconfig context."""
        return self._context

    @property
    def options(self) -> AccessOptions:
        """What replaces parts of the context, secrets included."""
        return self._options

    @property
    def namespace(self) -> str:
        """The context's namespace ("default" if it names none)."""
        return self._resolve().namespace

    def _resolve(self) -> ResolvedContext:
        kubeconfig = self._source.kubeconfig(can_be_missing=self._context == NO_CONTEXT)
        return resolve_context(kubeconfig, self._context, self._options)

    @property
    def configured_namespaces(self) -> tuple[str, ...]:
        """The namespaces of contexts of the same cluster, this context's first; maybe none."""
        try:
            contexts = self._source.contexts()
        except ConfigError:
            return ()
        own = [one for one in contexts if one.name == self._context]
        same = [one for one in contexts if own and one.cluster == own[0].cluster]
        return tuple(dict.fromkeys(one.namespace for one in (*own, *same)))

    @property
    def server(self) -> str:
        """Address of the API server for display; empty while it is unknown."""
        if self._endpoint is not None:
            return self._endpoint.authority
        try:
            server = self._resolve().cluster.server
        except ConfigError:
            return ""
        return urlsplit(server).netloc.rpartition("@")[2] or server

    @property
    def insecure(self) -> bool:
        """See `ServerAccess.insecure`; False while the context cannot be used."""
        try:
            return self._resolve().cluster.insecure
        except ConfigError:
            return False

    @property
    def credentials_end_at(self) -> float | None:
        """When the credentials in use end to be valid (epoch seconds), as far as they tell."""
        credentials = self._last_credentials
        if credentials is None:
            return None
        if self._validity is None or self._validity[0] is not credentials:
            self._validity = (credentials, ends_at(credentials))
        return self._validity[1]

    @property
    def renews_credentials(self) -> bool:
        """Whether other credentials are got without the user before these end to be valid."""
        return self._credential_source is not None and self._credential_source.uses_provider

    @property
    def compression_disabled(self) -> bool:
        """Whether the kubeconfig sets `disable-compression`."""
        return self._resolved is not None and self._resolved.cluster.disable_compression

    async def endpoint(self) -> Endpoint:
        """See `ServerAccess.endpoint`; AuthError if a plugin for the client certificate failed."""
        source = self._current_source()
        return await self._endpoint_for(source, await source.credentials())

    async def headers(self, *, refresh: bool = False) -> HeaderList:
        """See `ServerAccess.headers`. A name may repeat: send every pair of `items()`."""
        source = self._current_source()
        return source.headers(await self._credentials(source, refresh=refresh))

    async def request_auth(self, *, refresh: bool = False) -> RequestAuth:
        """Return endpoint and headers that belong together."""
        source = self._current_source()
        credentials = await self._credentials(source, refresh=refresh)
        return RequestAuth(
            await self._endpoint_for(source, credentials), source.headers(credentials)
        )

    @property
    def _login(self) -> SharedLogin | None:
        return self._joined_login.login if self._joined_login is not None else None

    @property
    def login(self) -> Reason | None:
        """See `ServerAccess.login`."""
        return self._login.reason if self._login is not None else None

    @property
    def login_key(self) -> LoginKey:
        """What decides the credentials; ConfigError if the context cannot be used."""
        return login_key(self._resolve())

    def observe_login(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """See `ServerAccess.observe_login`."""

        def observer() -> None:  # the same function may observe twice
            on_change()

        self._login_observers.add(observer)
        return lambda: self._login_observers.discard(observer)

    def retry_login(self, *, requested: bool) -> None:
        """Let requests that wait for credentials try again.

        If the user has requested it, a plugin runs however often it has failed.
        """
        if self._login is not None and requested:
            self._login.retry_now()
        elif self._login is not None:
            self._login.retry_soon()
        self._wake_renewal_waiters()

    def begin_login(self) -> LoginCommand | None:
        """See `SharedLogin.begin_in_terminal`; None also if the user has no plugin."""
        user = self._current_source().user_name
        command = self._login.begin_in_terminal() if self._login is not None else None
        return replace(command, user=user) if command is not None else None

    def finish_login(self, output: bytes, exit_code: int) -> None:
        """See `SharedLogin.finish_in_terminal`."""
        self._current_source()
        if self._login is not None:
            self._login.finish_in_terminal(output, exit_code)

    def cancel_login(self) -> None:
        """See `SharedLogin.cancel_in_terminal`."""
        if self._login is not None:
            self._login.cancel_in_terminal()

    async def close(self) -> None:
        """End the login in progress, unless others wait for it. Idempotent."""
        login = self._login
        if self._leave_login() and login is not None:
            await login.close()

    def explain(self, error: AuthError) -> AuthError:
        """See `ServerAccess.explain`."""
        source, credentials = self._credential_source, self._last_credentials
        code, reason = error.reason.code, error.reason
        if source is None or credentials is None or reason.gateway:
            return error
        if source.withholds_credentials and code in _NOT_IDENTIFIED:
            return AuthError(Reason(code=ReasonCode.AUTH_NOT_ENCRYPTED, server=self.server))
        if code is ReasonCode.AUTH_NO_CREDENTIALS:
            if not credentials.authorization and credentials.certificate is not None:
                return AuthError(replace(reason, user=source.user_name, hint=_HIDDEN_CERTIFICATE))
            return AuthError(replace(reason, user=source.user_name))
        if code is not ReasonCode.AUTH_UNAUTHORIZED:
            return error
        reason = explain_refusal(
            credentials, user=source.user_name, server=self.server, now=time.time()
        )
        if reason.code in _WRONG_CLOCK:
            return AuthError(reason)
        return AuthError(replace(reason, hint=source.hint))

    async def credentials_changed(self, since: Signature | None = None) -> None:
        """Wait until a file that credentials come from changes, or a plugin has new ones.

        Changes of files after `since` count, the `credentials_revision` before the credentials were
        used; by default those from now on. Safe to cancel.
        """
        renewed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        changed = asyncio.create_task(self._source.changed(since), name="credential files")
        self._renewal_waiters.add(renewed)
        try:
            waiting: set[asyncio.Future[Any]] = {changed, renewed}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._renewal_waiters.discard(renewed)
            changed.cancel()
            await asyncio.gather(changed, return_exceptions=True)

    def credentials_revision(self) -> Signature:
        """Return the state of the kubeconfig and the files it names, for `credentials_changed`."""
        return self._source.revision()

    async def _credentials(self, source: CredentialSource, *, refresh: bool) -> Credentials:
        refused = self._last_credentials
        credentials = await source.credentials(refresh=refresh)
        if refresh and credentials == refused and not source.can_refresh:
            reason = Reason(code=ReasonCode.AUTH_UNAUTHORIZED, server=self.server)
            raise self.explain(AuthError(reason))
        self._last_credentials = credentials
        return credentials

    def _current_source(self) -> CredentialSource:
        """Return the credential source for the current content of the kubeconfig."""
        resolved = self._resolve()
        user = resolved.user
        files = file_signatures((resolved.cluster.ca_file, user.certificate_file, user.key_file))
        source = self._credential_source
        if source is not None and resolved == self._resolved and files == self._files:
            return source
        validate_context(resolved)
        self._join_login(resolved)
        source = self._credential_source = CredentialSource(resolved, self._login)
        if not source.uses_provider:
            self._leave_login()
        self._resolved, self._files = resolved, files
        return source

    def _join_login(self, resolved: ResolvedContext) -> None:
        """Use the login of a context. That of before, and its credentials, stay if it is the same.

        The run of a plugin that was replaced ends once its users have left.
        """
        key = login_key(resolved)
        if self._joined_login is not None and self._joined_login.key == key:
            return
        self._leave_login()
        if key.provider is not None:
            self._joined_login = self._logins.join(
                key,
                lambda: _make_provider(resolved, self._environ, has_terminal=self._has_terminal),
                self._login_observer,
            )

    def _leave_login(self) -> bool:
        """Return whether nothing else uses the login."""
        joined, self._joined_login = self._joined_login, None
        return joined is not None and self._logins.leave(joined, self._login_observer)

    def _login_changed(self) -> None:
        for observer in tuple(self._login_observers):
            observer()

    def _login_renewed(self) -> None:
        self._wake_renewal_waiters()
        self._login_changed()

    def _wake_renewal_waiters(self) -> None:
        for waiter in self._renewal_waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _endpoint_for(self, source: CredentialSource, credentials: Credentials) -> Endpoint:
        key = (source, credentials.certificate)
        async with self._endpoint_lock:
            if self._endpoint is None or self._endpoint_key != key:
                cluster = source.resolved.cluster
                # Certificates are read from files and parsed.
                self._endpoint = await run_in_thread(
                    lambda: make_endpoint(cluster, credentials.certificate, self._environ),
                    name="TLS settings",
                )
                self._endpoint_key = key
            return self._endpoint


def make_endpoint(
    cluster: ClusterEntry, certificate: ClientCertificate | None, environ: Mapping[str, str]
) -> Endpoint:
    """Return the endpoint of a cluster, with its trust and a client certificate. Reads files."""
    server = parse_server_url(cluster)
    secure = server.is_encrypted
    return Endpoint(
        host=server.host,
        port=server.port,
        tls=create_client_context(cluster, certificate) if secure else None,
        server_hostname=cluster.tls_server_name or None if secure else None,
        path_prefix=server.path,
        has_own_ca=bool(cluster.ca_data or cluster.ca_file),
        proxy=select_proxy(
            server.host,
            server.port,
            tls=secure,
            proxy_url=cluster.proxy_url,
            environ=environ,
            origin=f'cluster "{cluster.name}" ({cluster.origin})',
        ),
    )


def _make_provider(
    resolved: ResolvedContext, environ: Mapping[str, str], *, has_terminal: bool
) -> CredentialProvider:
    """Return the provider of credentials that are not in the kubeconfig itself."""
    user = resolved.user
    if user.exec is not None:
        from tui_forward.kube.auth.exec_plugin import ExecPlugin

        return ExecPlugin(user.exec, resolved.cluster, environ, has_terminal=has_terminal)
    entry = user.auth_provider
    assert entry is not None
    if entry.name == "oidc":
        from tui_forward.kube.auth.oidc import OidcProvider

        return OidcProvider(user, environ)
    if entry.name == "gcp":
        from tui_forward.kube.auth.gcp import GcpProvider

        return GcpProvider(entry, environ)
    successor = _SUCCESSORS.get(entry.name, "an exec plugin")
    raise AuthError(
        f'the auth-provider "{entry.name}" of user "{user.name}" ({user.origin}) is not supported',
        hint=f"kubectl no longer supports it either: change the kubeconfig to {successor}",
    )
