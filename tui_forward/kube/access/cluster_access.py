"""Where one context's API server is and how to be let in; implements `transport.access.Access`."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from tui_forward.errors import AuthError, ConfigError
from tui_forward.kube.access.endpoints import make_endpoint
from tui_forward.kube.access.tls import load_ca_pem
from tui_forward.kube.auth.credentials import (
    CredentialProvider,
    Credentials,
    CredentialSource,
    HeaderList,
)
from tui_forward.kube.kubeconfig.loader import ResolvedContext
from tui_forward.kube.kubeconfig.source import KubeconfigSource, Signature, file_signatures
from tui_forward.transport.access import Endpoint


class RequestAuth(NamedTuple):
    """What one request needs.

    Attributes:
        headers: They authenticate; a name may repeat.
        advice: What the person can do if they are refused.
    """

    endpoint: Endpoint
    headers: HeaderList
    advice: str


class ClusterAccess:
    """Endpoint and credentials of one context, following its kubeconfig.

    A changed server, certificate or token is used from the next request on. Safe to use
    concurrently and to cancel.

    Args:
        source: Where the kubeconfig comes from.
        context: Context name; empty means the current one at this moment.

    Raises:
        ConfigError: There is no such context.
    """

    def __init__(self, source: KubeconfigSource, context: str = "") -> None:
        self._source = source
        self._context = source.context_name(context)
        self._login: ResolvedContext | None = None
        self._files: Signature = ()
        self._authenticator: CredentialSource | None = None
        self._provider: CredentialProvider | None = None
        self._given: Credentials | None = None
        self._endpoint: Endpoint | None = None
        self._endpoint_for: tuple[object, ...] | None = None

    @property
    def context(self) -> str:
        """The kubeconfig context."""
        return self._context

    @property
    def namespace(self) -> str:
        """The context's namespace ("default" if it names none).

        Raises:
            ConfigError: The kubeconfig cannot be used.
        """
        return self._source.kubeconfig().resolve(self._context).namespace

    @property
    def server(self) -> str:
        """Address of the API server as shown to people; empty while it is unknown."""
        if self._endpoint is not None:
            return self._endpoint.authority
        try:
            server = self._source.kubeconfig().resolve(self._context).cluster.server
        except ConfigError:
            return ""
        return urlsplit(server).netloc.rpartition("@")[2] or server

    @property
    def compression_disabled(self) -> bool:
        """Whether the kubeconfig says `disable-compression`."""
        return self._login is not None and self._login.cluster.disable_compression

    async def endpoint(self) -> Endpoint:
        """See `Access.endpoint`.

        Raises:
            ConfigError: The kubeconfig cannot be used.
            AuthError: The client certificate comes from a plugin that gave none.
        """
        authenticator = self._current()
        return self._endpoint_with(await authenticator.credentials())

    async def headers(self, *, refresh: bool = False) -> HeaderList:
        """See `Access.headers`. A name may repeat: send every pair of `items()`.

        Raises:
            AuthError: No credentials can be had, or none newer than those refused.
            ConfigError: The kubeconfig cannot be used.
        """
        authenticator = self._current()
        return authenticator.headers(await self._credentials(authenticator, refresh=refresh))

    async def request_auth(self, *, refresh: bool = False) -> RequestAuth:
        """Endpoint and headers that belong together.

        Raises:
            AuthError, ConfigError: See `headers` and `endpoint`.
        """
        authenticator = self._current()
        credentials = await self._credentials(authenticator, refresh=refresh)
        return RequestAuth(
            self._endpoint_with(credentials),
            authenticator.headers(credentials),
            authenticator.hint,
        )

    def ca_pem(self) -> bytes:
        """The cluster's own authority, as PEM; empty for the system's.

        Raises:
            ConfigError: It cannot be read.
        """
        return load_ca_pem(self._login.cluster) if self._login is not None else b""

    async def credentials_changed(self, since: Signature | None = None) -> None:
        """Wait until a file that credentials come from changes. Safe to cancel.

        Args:
            since: What `credentials_revision` said before the credentials were tried;
                a change since then counts. Default: changes from now on.
        """
        await self._source.changed(since)

    def credentials_revision(self) -> Signature:
        """What the kubeconfig and the files it names look like, for `credentials_changed`."""
        return self._source.revision()

    async def _credentials(self, authenticator: CredentialSource, *, refresh: bool) -> Credentials:
        refused = self._given
        credentials = await authenticator.credentials(refresh=refresh)
        if refresh and credentials == refused and not authenticator.can_refresh:
            raise AuthError(f"{self.server} refused the credentials (401)", hint=authenticator.hint)
        self._given = credentials
        return credentials

    def _current(self) -> CredentialSource:
        """The authenticator for what the kubeconfig and the files it names say now."""
        login = self._source.kubeconfig().resolve(self._context)
        user = login.user
        files = file_signatures((login.cluster.ca_file, user.certificate_file, user.key_file))
        if self._authenticator is not None and login == self._login and files == self._files:
            return self._authenticator
        before = self._login
        if before is None or (login.user, login.cluster) != (before.user, before.cluster):
            # A plugin's credentials outlive changes elsewhere in the file.
            self._provider = _provider(login, self._source)
        self._authenticator = CredentialSource(login, self._provider)
        self._login, self._files = login, files
        self._endpoint_for = None
        return self._authenticator

    def _endpoint_with(self, credentials: Credentials) -> Endpoint:
        assert self._login is not None
        key = (credentials.certificate,)
        if self._endpoint is None or self._endpoint_for != key:
            self._endpoint = make_endpoint(
                self._login.cluster, credentials.certificate, self._source.environ
            )
            self._endpoint_for = key
        return self._endpoint


def _provider(login: ResolvedContext, source: KubeconfigSource) -> CredentialProvider | None:
    """What gives out this user's credentials, if they are not in the kubeconfig itself."""
    if login.user.exec is not None:
        from tui_forward.kube.auth.exec_plugin import ExecPlugin

        return ExecPlugin(login.user.exec, login.cluster, source.environ)
    if login.user.auth_provider is not None:
        from tui_forward.kube.auth.auth_providers import make_provider

        return make_provider(login.user, source.environ)
    return None
