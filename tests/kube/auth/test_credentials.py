from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tui_forward.errors import AuthError, ConfigError
from tui_forward.kube.auth.credentials import (
    Credentials,
    CredentialSource,
    HeaderList,
    KeptCredentials,
)
from tui_forward.kube.auth.shared_login import SharedLogin
from tui_forward.kube.kubeconfig.loader import ClusterEntry, ResolvedContext, UserEntry
from tui_forward.model import LoginCommand

CLUSTER = ClusterEntry(name="c", server="https://x")


def credential_source(user: UserEntry, provider: Provider | None = None) -> CredentialSource:
    login = None if provider is None else SharedLogin(provider, clock=provider.clock)
    return CredentialSource(ResolvedContext("c", "default", CLUSTER, user), login)


class Provider:
    name = "plugin"

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[bool] = []
        self.number = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def clock(self) -> float:
        return self.now

    def listen(self, on_line: Callable[[str], None]) -> None:
        pass

    def terminal_command(self) -> LoginCommand | None:
        return None

    def accept(self, output: bytes, exit_code: int) -> Credentials:
        raise NotImplementedError

    def export(self) -> KeptCredentials | None:
        return None

    def adopt(self, kept: KeptCredentials) -> None:
        raise NotImplementedError

    def current(self) -> Credentials | None:
        return Credentials(authorization=f"Bearer {self.number}") if self.number else None

    async def credentials(self, *, refresh: bool) -> Credentials:
        self.asked.append(refresh)
        await self.gate.wait()
        if refresh or not self.number:
            self.number += 1
        return Credentials(authorization=f"Bearer {self.number}")


async def authorization(user: UserEntry, provider: Provider | None = None) -> str:
    return (await credential_source(user, provider).credentials()).authorization


async def test_token_precedes_password_and_plugin(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" from-file \n")
    basic = "Basic " + base64.b64encode(b"me:pw").decode()
    both = UserEntry(token="t", username="me", password="pw")
    assert await authorization(both, Provider()) == "Bearer t"
    assert await authorization(UserEntry(username="me", password="pw"), Provider()) == basic
    assert await authorization(UserEntry(), Provider()) == "Bearer 1"
    # A password without a name is not sent, as in client-go.
    assert await authorization(UserEntry(password="pw"), Provider()) == "Bearer 1"
    assert await authorization(UserEntry(token="t", token_file=str(file))) == "Bearer from-file"
    none = UserEntry(token="t", token_file=str(tmp_path / "none"))
    assert await authorization(none) == "Bearer t"


async def test_changed_token_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    source = credential_source(UserEntry(token_file=str(file)))
    assert (await source.credentials()).authorization == "Bearer one"
    file.write_text("number two")
    assert (await source.credentials()).authorization == "Bearer number two"
    file.unlink()
    assert (await source.credentials()).authorization == "Bearer number two"


async def test_missing_token_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match="token file") as caught:
        await authorization(UserEntry(token_file=str(tmp_path / "none")))
    assert caught.value.hint


async def test_concurrent_refusals_cause_one_refresh() -> None:
    provider = Provider()
    source = credential_source(UserEntry(), provider)
    await source.credentials()
    provider.gate.clear()
    waiting = [asyncio.create_task(source.credentials(refresh=True)) for _ in range(10)]
    await asyncio.sleep(0)
    provider.gate.set()
    found = {(await task).authorization for task in waiting}
    assert found == {"Bearer 2"}
    assert provider.asked.count(True) == 1
    # A refusal a while after the refresh causes another one.
    provider.now += 10
    assert (await source.credentials(refresh=True)).authorization == "Bearer 3"


async def test_canceled_refresh_does_not_affect_other_callers() -> None:
    provider = Provider()
    source = credential_source(UserEntry(), provider)
    provider.gate.clear()
    first = asyncio.create_task(source.credentials(refresh=True))
    second = asyncio.create_task(source.credentials(refresh=True))
    await asyncio.sleep(0)
    first.cancel()
    provider.gate.set()
    assert (await second).authorization.startswith("Bearer")
    with pytest.raises(asyncio.CancelledError):
        await first


def test_impersonation_has_one_line_per_value() -> None:
    user = UserEntry(
        token="t",
        impersonate_user="jane",
        impersonate_uid="7",
        impersonate_groups=("ops", "dev"),
        impersonate_extra=(("Example.com/Reason why", ("a", "b")),),
    )
    headers = credential_source(user).headers(Credentials(authorization="Bearer t"))
    assert list(headers.items()) == [
        ("Authorization", "Bearer t"),
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Extra-example.com%2Freason%20why", "a"),
        ("Impersonate-Extra-example.com%2Freason%20why", "b"),
    ]
    assert headers["impersonate-group"] == "ops"
    assert len(headers) == 5
    assert "t" not in repr(headers).split("(")[1].replace("Impersonate", "").split("Bearer")


def test_line_break_in_a_header_is_an_error() -> None:
    user = UserEntry(name="u", impersonate_user="jane\r\nX-Evil: 1")
    with pytest.raises(ConfigError, match="line break"):
        credential_source(user).headers(Credentials())


def test_header_list_is_a_mapping() -> None:
    headers = HeaderList((("A", "1"), ("a", "2"), ("B", "3")))
    assert headers.get("b") == "3"
    assert headers.get("c") is None
    assert "A" in headers
    assert len(headers.items()) == 3


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"client-certificate-data": "!!"}, "not base64"),
        ({"client-certificate": "none.crt", "client-key": "none.key"}, "cannot be read"),
        ({"client-certificate-data": "YQ=="}, "no client-key"),
        ({"client-key-data": "YQ=="}, "has no credentials"),
        ({"auth-provider": {"name": "azure"}}, "not supported"),
        ({"auth-provider": {"name": "x"}}, "not supported"),
    ],
)
async def test_invalid_credentials_are_explained(
    config_path: Path, user: dict[str, object], expected: str
) -> None:
    write(config_path, kubeconfig("https://x", user=user))
    with pytest.raises((ConfigError, AuthError), match=expected) as caught:
        await cluster_for(config_path).headers()
    assert caught.value.hint


async def test_new_token_in_the_kubeconfig_is_used_at_once(config_path: Path) -> None:
    cluster = cluster_for(write(config_path, kubeconfig("https://x", user={"token": "one"})))
    assert (await cluster.headers())["Authorization"] == "Bearer one"
    with pytest.raises(AuthError, match="does not accept the token") as caught:
        await cluster.headers(refresh=True)
    assert "Replace the token of user" in caught.value.hint
    write(config_path, kubeconfig("https://x", user={"token": "number two"}))
    assert (await cluster.headers(refresh=True))["Authorization"] == "Bearer number two"
