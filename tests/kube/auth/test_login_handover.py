from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tui_forward.kube.auth import login_handover
from tui_forward.kube.auth.credentials import KeptCredentials
from tui_forward.kube.auth.login_handover import (
    HandedOverLogin,
    LoginHandover,
    LoginState,
    plugin_key,
)
from tui_forward.kube.auth.login_key import login_key
from tui_forward.kube.kubeconfig.loader import (
    AuthProviderEntry,
    ClusterEntry,
    ExecEntry,
    ResolvedContext,
    UserEntry,
)
from tui_forward.model import Reason, ReasonCode

PLUGIN = ExecEntry("aws", "client.authentication.k8s.io/v1", args=("token",))
RESOLVED = ResolvedContext(
    "prod", "default", ClusterEntry("c", "https://x"), UserEntry("me", exec=PLUGIN)
)


def state(token: str, expires_at: float = 5e9) -> LoginState:
    return LoginState(KeptCredentials(token=token, expires_at=expires_at))


def login(token: str = "t", expires_at: float = 5e9, **key: Any) -> HandedOverLogin:
    key = {"environment": b"e", "plugin": plugin_key(login_key(RESOLVED))} | key
    return HandedOverLogin(**key, state=state(token, expires_at))


def with_plugin(**changes: Any) -> ResolvedContext:
    return replace(RESOLVED, user=replace(RESOLVED.user, exec=replace(PLUGIN, **changes)))


def with_cluster(**changes: Any) -> ResolvedContext:
    return replace(RESOLVED, cluster=replace(RESOLVED.cluster, **changes))


OTHERS = [
    with_plugin(command="gcloud"),
    with_plugin(args=("token", "--account=b")),
    with_plugin(env=(("AWS_PROFILE", "b"),)),
    with_plugin(api_version="client.authentication.k8s.io/v1beta1"),
    replace(RESOLVED, user=replace(RESOLVED.user, name="other")),
    replace(RESOLVED, user=UserEntry("me", auth_provider=AuthProviderEntry("gcp"))),
]


@pytest.mark.parametrize("other", OTHERS)
def test_other_plugin_or_user_gets_nothing(other: ResolvedContext) -> None:
    handed = LoginHandover()
    handed.adopt([login()])
    assert handed.take(b"e", login_key(other)) == LoginState()
    assert handed.take(b"e", login_key(RESOLVED)) == state("t")


@pytest.mark.parametrize("knows_cluster", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {"server": "https://other"}, {"insecure": True}, {"proxy_url": "http://proxy"},
        {"ca_data": "eA=="}, {"tls_server_name": "api"}, {"exec_config": {"a": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_cluster_matters_to_a_plugin_that_is_given_it(
    changes: dict[str, Any], knows_cluster: bool
) -> None:
    before = with_plugin(provide_cluster_info=knows_cluster)
    after = replace(before, cluster=replace(before.cluster, **changes))
    handed = LoginHandover()
    handed.adopt([login(plugin=plugin_key(login_key(before)))])
    expected = LoginState() if knows_cluster else state("t")
    assert handed.take(b"e", login_key(after)) == expected


def test_other_environment_gets_nothing() -> None:
    handed = LoginHandover()
    handed.adopt([login()])
    assert handed.take(b"other", login_key(RESOLVED)) == LoginState()


def test_login_is_taken_once() -> None:
    """Later, the kubeconfig has changed in between."""
    handed = LoginHandover()
    handed.adopt([login()])
    assert handed.take(b"e", login_key(RESOLVED)) == state("t")
    assert handed.take(b"e", login_key(RESOLVED)) == LoginState()


def test_what_says_nothing_about_the_plugin_does_not_matter() -> None:
    moved = replace(
        RESOLVED,
        context="dev",
        namespace="shop",
        cluster=replace(RESOLVED.cluster, source=Path("/b"), line=7),
        user=replace(RESOLVED.user, impersonate_user="bob", source=Path("/b"), line=9),
    )
    assert plugin_key(login_key(moved)) == plugin_key(login_key(RESOLVED))


def test_logins_that_nothing_needed_are_handed_on() -> None:
    handed = LoginHandover()
    handed.adopt([login("old"), login("unused", plugin=b"dev")])
    assert handed.take(b"e", login_key(RESOLVED)) == state("old")
    own = login("new")
    assert set(handed.merge([own])) == {own, login("unused", plugin=b"dev")}
    # Its credentials were refused or have expired since.
    gone = msgspec.structs.replace(own, state=LoginState())
    assert set(handed.merge([gone])) == {gone, login("unused", plugin=b"dev")}


def test_credentials_that_are_valid_longest_count() -> None:
    """Logins of one user that differ in what is not part of the key, such as its file."""
    logins = [login("a", 1e9), login("b", 3e9), login("c", 2e9)]
    assert LoginHandover().merge(logins) == (login("b", 3e9),)


def test_number_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_handover, "MAX_LOGINS", 3)
    logins = [login(plugin=str(number).encode()) for number in range(5)]
    assert len(LoginHandover().merge(logins)) == 3
    handed = LoginHandover()
    handed.adopt(logins)
    assert len(handed.merge([])) == 3


def test_encoded_logins_are_the_same_and_show_no_secret() -> None:
    failure = Reason(code=ReasonCode.AUTH_PLUGIN_FAILED, text="failed")
    logins = (
        login("s3cret", float("inf")),
        HandedOverLogin(b"e", b"p", LoginState(failure=failure, failures=3, retry_in_s=20.0)),
    )
    data = msgspec.msgpack.encode(logins)
    assert msgspec.msgpack.decode(data, type=tuple[HandedOverLogin, ...]) == logins
    assert "s3cret" not in repr(logins)
