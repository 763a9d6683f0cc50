"""Which clusters share a login, and how long it lives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kube.kubeconfigs import kubeconfig, write
from tui_forward.common.access_options import parse_access_options
from tui_forward.kube import ClusterClients, KubeconfigSource
from tui_forward.kube.auth import shared_login
from tui_forward.kube.client import ClusterClient

V1 = "client.authentication.k8s.io/v1"
SERVER = "https://127.0.0.1:6443"
Change = Callable[[dict[str, Any]], object]


class Plugin:
    """A plugin that counts its runs."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "runs"
        self.runs.touch()
        self.script = folder / "plugin"
        answer = {"kind": "ExecCredential", "apiVersion": V1, "status": {"token": "t"}}
        self.script.write_text(f"#!/bin/sh\necho >> {self.runs}\necho '{json.dumps(answer)}'\n")
        self.script.chmod(0o755)

    @property
    def count(self) -> int:
        return self.runs.read_text().count("\n")

    def user(self, **more: Any) -> dict[str, Any]:
        entry = {"apiVersion": V1, "command": str(self.script), "interactiveMode": "Never", **more}
        return {"exec": entry}


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


def make_config(folder: Path, plugin: Plugin, **more: Any) -> Path:
    """Write a kubeconfig with contexts `test` and `twin` of one user, and other entries."""
    content = kubeconfig(SERVER, user=plugin.user(**more))
    user, cluster = content["users"][0]["user"], content["clusters"][0]["cluster"]
    content["users"].append({"name": "other", "user": user})
    content["clusters"].append({"name": "same", "cluster": cluster})
    content["clusters"].append({"name": "far", "cluster": {**cluster, "server": "https://far"}})
    content["contexts"] += [
        {"name": "twin", "context": {"cluster": "same", "user": "test", "namespace": "x"}},
        {"name": "abroad", "context": {"cluster": "far", "user": "test"}},
        {"name": "else", "context": {"cluster": "test", "user": "other"}},
    ]
    return write(folder / "config", content)


@pytest.fixture
async def clients(tmp_path: Path, plugin: Plugin) -> AsyncIterator[ClusterClients]:
    found = ClusterClients(KubeconfigSource(make_config(tmp_path, plugin)))
    yield found
    await found.close()


def client(clients: ClusterClients, context: str, *words: str) -> ClusterClient:
    given: dict[str, list[str]] = {}
    for word in words:
        name, _, value = word.partition("=")
        given.setdefault(name, []).append(value)
    return clients.get(context, parse_access_options(given))


async def authorization(one: ClusterClient) -> str:
    return dict((await one.headers()).items()).get("Authorization", "")


SAME = [
    ("test", "as=ann"), ("test", "as=ann", "as-group=a", "as-group=b", "as-uid=1"),
    ("test", "as=ann", "as-user-extra=k=v"), ("test", "request-timeout=5s"),
    ("test", "disable-compression=true"), ("test", "cluster=same"), ("test", "user=test"),
    ("twin",), ("twin", "as=bob"),
]  # fmt: skip
SAME_UNLESS_GIVEN_THE_CLUSTER = [
    ("abroad",), ("test", "cluster=far"), ("test", "server=https://10.0.0.1"),
    ("test", "tls-server-name=api"), ("test", "proxy-url=http://127.0.0.1:1"),
]  # fmt: skip
DIFFERENT = [("test", "user=other"), ("else",), ("else", "as=ann")]
NONE = [("test", "token=x"), ("test", "username=a", "password=b"), ("test", "server=http://x")]


@pytest.mark.parametrize("knows_cluster", [False, True])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *((given, [1, 1]) for given in SAME),
        *((given, [1, 2]) for given in SAME_UNLESS_GIVEN_THE_CLUSTER),
        *((given, [2, 2]) for given in DIFFERENT),
        *((given, [1, 1]) for given in NONE),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
async def test_runs_of_two_clusters(
    tmp_path: Path, plugin: Plugin, given: tuple[str, ...], expected: list[int],
    knows_cluster: bool,
) -> None:  # fmt: skip
    """Options of TLS and compression are part of what a plugin may be given."""
    if knows_cluster and given[1:] == ("disable-compression=true",):
        expected = [1, 2]
    source = KubeconfigSource(make_config(tmp_path, plugin, provideClusterInfo=knows_cluster))
    clients = ClusterClients(source)
    for one in (client(clients, "test"), client(clients, *given)):
        await one.headers()
        await one.headers()
    assert plugin.count == expected[knows_cluster]
    await clients.close()


async def test_options_with_credentials_of_their_own_do_not_use_the_login(
    clients: ClusterClients, plugin: Plugin
) -> None:
    assert await authorization(client(clients, "test", "token=x")) == "Bearer x"
    assert not list(clients.logins)
    assert client(clients, "test", "token=x").begin_login() is None
    assert plugin.count == 0


async def test_renewed_credentials_are_those_of_all(
    clients: ClusterClients, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_login, "FIRST_RENEWAL_PAUSE_S", 60.0)
    ann, bob = client(clients, "test", "as=ann"), client(clients, "test", "as=bob")
    assert await authorization(ann) == await authorization(bob) == "Bearer t"
    plugin.script.write_text(plugin.script.read_text().replace('"t"', '"new"'))
    # Both are refused; the second one gets what the first one has got.
    assert dict((await ann.headers(refresh=True)).items())["Authorization"] == "Bearer new"
    assert dict((await bob.headers(refresh=True)).items())["Authorization"] == "Bearer new"
    assert plugin.count == 2


async def test_changed_plugin_is_run_and_the_others_stay(
    clients: ClusterClients, tmp_path: Path, plugin: Plugin
) -> None:
    ann, bob = client(clients, "test", "as=ann"), client(clients, "test", "as=bob")
    await ann.headers()
    await bob.headers()
    (login,) = clients.logins
    assert len(login.observers) == 2
    make_config(tmp_path, plugin, args=["--again"])
    await ann.headers()
    assert plugin.count == 2
    assert len(list(clients.logins)) == 2  # the other one has not looked yet
    await bob.headers()
    (login,) = clients.logins
    assert (plugin.count, len(login.observers)) == (2, 2)


async def test_change_that_makes_no_difference_keeps_the_credentials(
    clients: ClusterClients, tmp_path: Path, plugin: Plugin
) -> None:
    one = client(clients, "test")
    await one.headers()
    content = json.loads((tmp_path / "config").read_text())
    content["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:7443"
    write(tmp_path / "config", content)
    endpoint, _ = await one.request_auth()
    assert (endpoint.port, plugin.count) == (7443, 1)


async def test_login_ends_with_its_last_user(clients: ClusterClients) -> None:
    ann, bob = client(clients, "test", "as=ann"), client(clients, "test", "as=bob")
    await ann.headers()
    await bob.headers()
    await ann.close()
    (login,) = clients.logins
    assert [one.cluster[1].impersonate_user for one in login.observers] == ["bob"]
    await bob.close()
    assert not list(clients.logins)
