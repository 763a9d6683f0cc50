"""Logins of one environment, shared by all clusters whose credentials come from the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tui_forward.kube.auth.credentials import CredentialProvider
from tui_forward.kube.auth.login_handover import HandedOverLogin, LoginHandover, plugin_key
from tui_forward.kube.auth.login_key import LoginKey
from tui_forward.kube.auth.shared_login import SharedLogin
from tui_forward.model import ClusterKey


@dataclass(frozen=True, eq=False)
class LoginObserver:
    """A user of a login: `on_change` and `on_renewed` as for `SharedLogin`."""

    cluster: ClusterKey  # without secrets
    on_change: Callable[[], None]
    on_renewed: Callable[[], None]


@dataclass(eq=False)
class JoinedLogin:
    """A login and its users."""

    key: LoginKey
    login: SharedLogin
    observers: dict[LoginObserver, None] = field(default_factory=dict)  # in the order they joined


class SharedLogins:
    """Logins by key; each lives as long as it has users. Belongs to one event loop.

    `on_line` gets each line that a plugin writes for the user. `handover` has the logins of the
    engine before, by `environment_key`.
    """

    def __init__(
        self, on_line: Callable[[JoinedLogin, str], None] = lambda _login, _line: None,
        handover: LoginHandover | None = None, environment_key: bytes = b"",
    ) -> None:  # fmt: skip
        self._on_line = on_line
        self._handover = handover
        self._environment_key = environment_key
        self._logins: dict[LoginKey, JoinedLogin] = {}

    def __iter__(self) -> Iterator[JoinedLogin]:
        """Iterate over the logins in use."""
        return iter(tuple(self._logins.values()))

    def join(
        self, key: LoginKey, make_provider: Callable[[], CredentialProvider],
        observer: LoginObserver,
    ) -> JoinedLogin:  # fmt: skip
        """Add a user to the login of a key; a new one gets its provider from `make_provider`."""
        joined = self._logins.get(key)
        if joined is None:
            joined = self._logins[key] = self._create(key, make_provider())
        joined.observers[observer] = None
        return joined

    def leave(self, joined: JoinedLogin, observer: LoginObserver) -> bool:
        """Remove a user; return whether it was the last one. Its run ends once it is not awaited.

        Idempotent.
        """
        joined.observers.pop(observer, None)
        if joined.observers:
            return False
        if self._logins.get(joined.key) is joined:
            del self._logins[joined.key]
        return True

    def export(self) -> list[HandedOverLogin]:
        """Return the logins in use for another engine."""
        return [
            HandedOverLogin(self._environment_key, plugin_key(joined.key), joined.login.export())
            for joined in self
        ]

    def _create(self, key: LoginKey, provider: CredentialProvider) -> JoinedLogin:
        def changed() -> None:
            for observer in tuple(joined.observers):
                observer.on_change()

        def renewed() -> None:
            for observer in tuple(joined.observers):
                observer.on_renewed()

        login = SharedLogin(
            provider,
            on_change=changed,
            on_line=lambda line: self._on_line(joined, line),
            on_renewed=renewed,
            may_run=self._handover.may_run if self._handover is not None else None,
        )
        if self._handover is not None:
            login.adopt(self._handover.take(self._environment_key, key))
        joined = JoinedLogin(key, login)
        return joined
