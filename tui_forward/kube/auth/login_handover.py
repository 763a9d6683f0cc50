"""What the logins of one engine leave to the engine that replaces it. In memory only.

Credentials of plugins, and pauses after failures, are found by user, plugin and the environment of
the caller. Without them, each plugin would run again, which may open a browser.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable

import msgspec

from tui_forward.kube.auth.credentials import KeptCredentials
from tui_forward.kube.auth.login_key import LoginKey
from tui_forward.kube.kubeconfig.loader import ExecEntry
from tui_forward.model import Reason

# One for each context and environment that was used.
MAX_LOGINS = 1000


class LoginState(msgspec.Struct, frozen=True):
    """What a login has to continue with. Times are relative to the export."""

    credentials: KeptCredentials | None = None
    failure: Reason | None = None  # the last run failed
    failures: int = 0  # in a row
    retry_in_s: float = 0.0
    renewed_before_s: float | None = None  # the last refused credentials were renewed
    renewal_pause_s: float = 0.0


class HandedOverLogin(msgspec.Struct, frozen=True):
    """A login and what it belongs to."""

    environment: bytes  # of the caller, see `callers.environment_key`
    plugin: bytes  # see `plugin_key`
    state: LoginState

    @property
    def key(self) -> tuple[bytes, bytes]:
        """What the credentials are kept by."""
        return self.environment, self.plugin


def plugin_key(login: LoginKey) -> bytes:
    """Return a digest of a login.

    Its fields are listed, so that it is the same in other versions of the program.
    """
    plugin, cluster = login.provider, login.cluster
    values: list[object] = [login.user]
    if isinstance(plugin, ExecEntry):
        values += [
            plugin.command, plugin.api_version, plugin.args, plugin.env, plugin.interactive_mode,
        ]  # fmt: skip
    elif plugin is not None:
        values += [plugin.name, plugin.config]
    if cluster is not None:
        values += [
            cluster.server, cluster.tls_server_name, cluster.insecure, cluster.ca_file,
            cluster.ca_data, cluster.proxy_url, cluster.disable_compression, cluster.exec_config,
        ]  # fmt: skip
    return hashlib.sha256(repr(values).encode("utf-8", "surrogateescape")).digest()


class LoginHandover:
    """The logins of the engine before, and whether those of this one may run."""

    def __init__(self) -> None:
        # Cleared while another engine takes over, and for good once it has.
        self.may_run = asyncio.Event()
        self.may_run.set()
        self._logins: dict[tuple[bytes, bytes], LoginState] = {}
        self._found: set[tuple[bytes, bytes]] = set()

    def adopt(self, logins: Iterable[HandedOverLogin]) -> None:
        """Keep the logins of the engine before for those that ask."""
        for login in logins:
            if len(self._logins) < MAX_LOGINS:
                self._logins[login.key] = login.state

    def take(self, environment: bytes, login: LoginKey) -> LoginState:
        """Return what a login has to continue with; nothing if it is another one.

        Once: if the kubeconfig has changed in between, the user may have logged out.
        """
        key = environment, plugin_key(login)
        if key in self._found:
            return LoginState()
        self._found.add(key)
        return self._logins.get(key, LoginState())

    def merge(self, own: Iterable[HandedOverLogin]) -> tuple[HandedOverLogin, ...]:
        """Return the logins of this engine, and those of the one before that nothing needed yet.

        Of several with the same key, the credentials that are valid longest count.
        """
        merged: dict[tuple[bytes, bytes], HandedOverLogin] = {}
        for login in own:
            other = merged.get(login.key)
            if other is None or _expiry(login) > _expiry(other):
                merged[login.key] = login
        for key, state in self._logins.items():
            if key not in self._found:
                merged[key] = HandedOverLogin(*key, state)
        return tuple(list(merged.values())[:MAX_LOGINS])


def _expiry(login: HandedOverLogin) -> float:
    credentials = login.state.credentials
    return credentials.expires_at if credentials is not None else float("-inf")
