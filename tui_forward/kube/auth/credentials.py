"""Credentials for an API server: static values, files, and providers.

Precedence follows client-go (`clientcmd`, `rest`, `transport`): a readable token file before a
token, both before a password, and any of these before an exec plugin or an auth-provider. A
client certificate is presented in addition.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, ItemsView, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from tui_forward.common.bounded_file import read_bounded
from tui_forward.errors import AuthError, ConfigError
from tui_forward.known_secrets import remember
from tui_forward.kube.kubeconfig.loader import ResolvedContext, UserEntry
from tui_forward.kube.kubeconfig.source import Signature, file_signatures


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
        self._certificate = _certificate(user)
        self._impersonation = tuple(_impersonation(user))

    async def credentials(self, *, refresh: bool = False) -> Credentials:
        """Return the current credentials; `refresh` if the server refused the last ones.

        AuthError: a plugin or identity provider failed, or there is nothing newer.
        """
        static = self._static_authorization(refresh=refresh)
        if static is not None:
            return Credentials(authorization=static, certificate=self._certificate)
        if self._shared is None:
            return Credentials(certificate=self._certificate)
        provided = await self._shared.credentials(refresh=refresh)
        return Credentials(
            authorization=provided.authorization,
            certificate=self._certificate or provided.certificate,
        )

    @property
    def can_refresh(self) -> bool:
        """Whether a refresh can return other credentials than before."""
        if self._token_file is not None:
            return True
        return self._shared is not None and not self._user.token and not self._user.username

    @property
    def user_name(self) -> str:
        """Name of the user in the kubeconfig; empty if the context names none."""
        return self._user.name

    @property
    def hint(self) -> str:
        """Advice for the user when the server refuses these credentials."""
        user, where = self._user, self._user.source or "the kubeconfig"
        if user.token_file:
            return f"Check the token in {user.token_file}; forwards that wait for it resume"
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
                    hint=f"Correct the user in {self._user.source or 'the kubeconfig'}",
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
        if user.username or user.password:
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
    certificate = _load_user_pem(
        user.certificate_data, user.certificate_file, user, "client-certificate"
    )
    key = _load_user_pem(user.key_data, user.key_file, user, "client-key")
    if not certificate and not key:
        return None
    if not certificate or not key:
        missing = "client-key" if certificate else "client-certificate"
        raise ConfigError(
            f'user "{user.name}" has a client certificate or key but no {missing}',
            hint=f"Add {missing} to the user in {user.source or 'the kubeconfig'}",
        )
    return ClientCertificate(certificate=certificate, key=key)


def _load_user_pem(data: str, file: str, user: UserEntry, what: str) -> bytes:
    where = f'{what} of user "{user.name}"'
    return load_pem(data, file, where, str(user.source or "the kubeconfig"))


def load_pem(data: str, file: str, where: str, source: str) -> bytes:
    """Return PEM from inline base64, else from a file, else nothing.

    `where` is the setting ("client-key of user x") and `source` the kubeconfig, for ConfigError.
    """
    if data:
        try:
            return base64.b64decode("".join(data.split()), validate=True)
        except (binascii.Error, ValueError):
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
        if user.impersonate_groups or user.impersonate_uid or user.impersonate_extra:
            # As in client-go: the server would ignore the rest.
            raise ConfigError(
                f'user "{user.name}" impersonates groups, a uid or extras but no user',
                hint=f"Add `as` to the user in {user.source or 'the kubeconfig'}",
            )
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
