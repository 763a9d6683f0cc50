"""Credentials for an API server: static values, files, and providers.

Precedence follows client-go (`clientcmd`, `rest`, `transport`): a readable token file before a
token, both before a user name, and any of these before an exec plugin or an auth-provider. A
client certificate is presented in addition, and replaces an exec plugin. Nothing of these is used
towards a server without TLS; only impersonation is.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, ItemsView, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import msgspec

from tui_forward.common.bounded_file import read_bounded
from tui_forward.common.file_signature import Signature, file_signatures
from tui_forward.errors import AuthError, ConfigError, TuiForwardError
from tui_forward.known_secrets import remember
from tui_forward.kube.kubeconfig.loader import ResolvedContext, UserEntry
from tui_forward.kube.kubeconfig.schema import decode_base64
from tui_forward.kube.kubeconfig.server_url import parse_server_url
from tui_forward.model import LoginCommand, Reason, ReasonCode


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate chain and its key, both PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials of one request."""

    # Value of the `Authorization` header, or empty.
    authorization: str = field(default="", repr=False)
    certificate: ClientCertificate | None = None

    def __post_init__(self) -> None:
        """Hide them in every text from now on."""
        key = self.certificate.key.decode("ascii", "replace") if self.certificate else ""
        remember(self.authorization.partition(" ")[2], key)


class KeptCredentials(msgspec.Struct, frozen=True):
    """Credentials of a plugin or an identity provider, for another engine. In memory only."""

    token: str = ""
    certificate: bytes = b""  # PEM, with its key
    key: bytes = b""
    expires_at: float = float("inf")  # seconds since the epoch
    refresh_token: str = ""  # of an identity provider

    def __repr__(self) -> str:
        return f"KeptCredentials(expires_at={self.expires_at})"

    def credentials(self) -> Credentials:
        """Return them for a request."""
        certificate = ClientCertificate(self.certificate, self.key) if self.certificate else None
        return Credentials(
            authorization=f"Bearer {self.token}" if self.token else "", certificate=certificate
        )


class CredentialProvider(Protocol):
    """Source of credentials outside of the kubeconfig: a plugin, an identity provider.

    `shared_login.SharedLogin` calls it: one run at a time.
    """

    @property
    def name(self) -> str:
        """Name of the plugin in texts."""

    def listen(self, on_line: Callable[[str], None]) -> None:
        """Call `on_line` with each line for the user, without secrets, while it runs."""

    def current(self) -> Credentials | None:
        """Return credentials that should be valid now; None if `credentials` has to get others."""

    async def credentials(self, *, refresh: bool) -> Credentials:
        """Return credentials that should be valid now, or raise AuthError.

        With `refresh` the server refused the last ones: they are not returned again.
        """

    def terminal_command(self) -> LoginCommand | None:
        """Return the command that gets credentials in a terminal; None if there is none.

        Raises AuthError or ConfigError if it cannot be run.
        """

    def accept(self, output: bytes, exit_code: int) -> Credentials:
        """Return the credentials in the output of `terminal_command`, or raise AuthError."""

    def export(self) -> KeptCredentials | None:
        """Return what another engine needs instead of running the plugin; None without any."""

    def adopt(self, kept: KeptCredentials) -> None:
        """Use what `export` of the same provider in another engine has returned."""


class HeaderList(Mapping[str, str]):
    """Headers in order; a name may repeat.

    `Impersonate-Group` is one header line per group. Indexing returns the first value of a
    name; `items()` yields every line: build requests from it.
    """

    __slots__ = ("_lines",)

    def __init__(self, lines: tuple[tuple[str, str], ...]) -> None:
        self._lines = lines

    def __getitem__(self, name: str) -> str:
        lowered = name.lower()
        for key, value in self._lines:
            if key.lower() == lowered:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key for key, _ in self._lines))

    def __len__(self) -> int:
        return len({key for key, _ in self._lines})

    def __repr__(self) -> str:
        return f"HeaderList({', '.join(self)})"

    def items(self) -> ItemsView[str, str]:
        """Return every header line, repeated names included."""
        return _Lines(self, self._lines)


class _Lines(ItemsView[str, str]):
    def __init__(self, headers: HeaderList, lines: tuple[tuple[str, str], ...]) -> None:
        super().__init__(headers)
        self._lines = lines

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


class SharedCredentials(Protocol):
    """Credentials of a provider for any number of callers; see `shared_login.SharedLogin`."""

    async def credentials(self, *, refresh: bool = False) -> Credentials:
        """Return credentials that should be valid; with `refresh`, the last ones were refused."""


class CredentialSource:
    """Credentials of one user of a kubeconfig; `shared` are those of its plugin or provider."""

    def __init__(self, resolved: ResolvedContext, shared: SharedCredentials | None) -> None:
        self.resolved = resolved
        user = resolved.user
        self._user = user
        self._shared = shared
        self._token_file = _TokenFile(user.token_file) if user.token_file else None
        self._is_encrypted = parse_server_url(resolved.cluster).is_encrypted
        self._certificate = _certificate(user) if self._is_encrypted else None
        self._impersonation = tuple(_impersonation(user))

    async def credentials(self, *, refresh: bool = False) -> Credentials:
        """Return the current credentials; `refresh` if the server refused the last ones.

        As in client-go there are none towards http://. AuthError: a plugin or identity provider
        failed, there is nothing newer, or the kubeconfig has no credentials at all.
        """
        if not self._is_encrypted:
            return Credentials()
        static = self._static_authorization(refresh=refresh)
        if static is not None:
            return Credentials(authorization=static, certificate=self._certificate)
        if self._shared is None or not self.uses_provider:
            if self._certificate is None:
                raise self._no_credentials()
            return Credentials(certificate=self._certificate)
        provided = await self._shared.credentials(refresh=refresh)
        return Credentials(
            authorization=provided.authorization,
            certificate=self._certificate or provided.certificate,
        )

    @property
    def can_refresh(self) -> bool:
        """Whether a refresh can return other credentials than before."""
        if not self._is_encrypted:
            return False
        return self._token_file is not None or self.uses_provider

    @property
    def withholds_credentials(self) -> bool:
        """Whether the user has credentials, which are not sent to a server without TLS."""
        user = self._user
        settings = (
            user.token, user.token_file, user.username, user.exec, user.auth_provider,
            user.certificate_data, user.certificate_file,
        )  # fmt: skip
        return not self._is_encrypted and any(settings)

    @property
    def uses_provider(self) -> bool:
        """Whether credentials come from the provider, if the user has one.

        Tokens and names precede it. As in client-go, a client certificate of the kubeconfig
        replaces an exec plugin, but not an auth-provider.
        """
        user = self._user
        if self._shared is None or user.token or user.token_file or user.username:
            return False
        return user.exec is None or self._certificate is None

    def _no_credentials(self) -> TuiForwardError:
        user = self._user
        if user.is_missing:
            return ConfigError(
                f'context "{self.resolved.context}" ({user.origin}) names the user "{user.name}", '
                "which is not in the kubeconfig",
                code=ReasonCode.CONFIG_USER_MISSING,
                hint="Correct `user` of the context, or add the user",
            )
        # kubectl asks for a name and a password on the terminal.
        return AuthError(
            Reason(
                code=ReasonCode.AUTH_NO_CREDENTIALS,
                user=user.name,
                server=self.resolved.cluster.server.rpartition("@")[2],
                hint=self.hint,
            )
        )

    @property
    def user_name(self) -> str:
        """Name of the user in the kubeconfig; empty if the context names none."""
        return self._user.name

    @property
    def hint(self) -> str:
        """Advice for the user when the server refuses these credentials."""
        user, where = self._user, self._user.origin
        if user.token_file:
            return f"Check the token in {user.token_file}"
        if user.token:
            return f'Replace the token of user "{user.name}" in {where}, or log in again'
        if user.username:
            return f'Check name and password of user "{user.name}" in {where}'
        if user.exec is not None:
            command = user.exec.command.replace("\\", "/").rpartition("/")[2]
            return f'Log in again with the tool behind "{command}", the kubeconfig\'s exec plugin'
        if user.auth_provider is not None:
            return f'Log in again with the tool that made user "{user.name}"'
        if user.certificate_data or user.certificate_file:
            return f'Renew the client certificate of user "{user.name}" in {where}'
        return (
            f'Add credentials to user "{user.name}" in {where}'
            if user.name
            else f"Add a user with credentials to the context in {where}"
        )

    def headers(self, credentials: Credentials) -> HeaderList:
        """Return the header lines for these credentials; ConfigError if one has a line break."""
        lines = self._impersonation
        if credentials.authorization:
            lines = (("Authorization", credentials.authorization), *lines)
        for name, value in lines:
            # A line break would inject further headers into the request.
            if any(character in value for character in "\r\n\0"):
                raise ConfigError(
                    f'the {name} header of user "{self._user.name}" would contain a line break',
                    hint=f"Correct the user in {self._user.origin}",
                )
        return HeaderList(lines)

    def _static_authorization(self, *, refresh: bool) -> str | None:
        user = self._user
        if self._token_file is not None:
            token = self._token_file.read(refresh=refresh)
            if token or user.token:
                return f"Bearer {token or user.token}"
            raise AuthError(
                f"the token file {user.token_file} cannot be read or is empty",
                hint="Check that the file exists and that you may read it",
            )
        if user.token:
            return f"Bearer {user.token}"
        if user.username:
            pair = f"{user.username}:{user.password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        return None


class _TokenFile:
    """A token file rotated by another program: read again when the file changes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._signature: Signature | None = None
        self._token = ""

    def read(self, *, refresh: bool) -> str:
        now = file_signatures((self._path,))
        if now != self._signature or refresh:
            try:
                token = read_bounded(Path(self._path)).decode().strip()
            except (OSError, UnicodeDecodeError):
                # Use the last token until the server refuses it.
                return self._token
            if token:
                self._token = token
                self._signature = now
        return self._token


def _certificate(user: UserEntry) -> ClientCertificate | None:
    if not user.certificate_data and not user.certificate_file:
        return None  # As in client-go, a key alone does not count.
    certificate = _load_user_pem(
        user.certificate_data, user.certificate_file, user, "client-certificate"
    )
    key = _load_user_pem(user.key_data, user.key_file, user, "client-key")
    if not certificate or not key:
        return None
    return ClientCertificate(certificate=certificate, key=key)


def _load_user_pem(data: str, file: str, user: UserEntry, what: str) -> bytes:
    where = f'{what} of user "{user.name}"'
    return load_pem(data, file, where, user.origin)


def load_pem(data: str, file: str, where: str, source: str) -> bytes:
    """Return PEM from inline base64, else from a file, else nothing.

    `where` is the setting ("client-key of user x") and `source` its file and line, for ConfigError.
    """
    if data:
        try:
            return decode_base64(data)
        except ValueError:
            raise ConfigError(
                f"{where} is not valid base64", hint=f"Correct {where.split()[0]}-data in {source}"
            ) from None
    if not file:
        return b""
    try:
        return read_bounded(Path(file))
    except OSError as error:
        raise ConfigError(
            f"{where} cannot be read from {file}: {error.strerror or error}",
            hint=f"Check the path in {source} and the mode of the file",
        ) from error


def _impersonation(user: UserEntry) -> Iterator[tuple[str, str]]:
    """Yield the header lines of `as`, `as-uid`, `as-groups` and `as-user-extra`."""
    if not user.impersonate_user:
        return
    yield "Impersonate-User", user.impersonate_user
    if user.impersonate_uid:
        yield "Impersonate-Uid", user.impersonate_uid
    for group in user.impersonate_groups:
        yield "Impersonate-Group", group
    for key, values in user.impersonate_extra:
        # Header names are case-insensitive; other characters are percent-encoded (Kubernetes
        # API reference, "User impersonation").
        name = "Impersonate-Extra-" + quote(key.lower(), safe="!#$&'*+-.^_`|~")
        for value in values:
            yield name, value
