"""The same kubeconfigs as kubectl: accepted or refused alike, with the same credentials sent.

Each case is tried with a real kubectl and with the program. What differs on purpose is listed in
the README and not here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.kube.kubectl_peer import Answer, Server, Servers, ask_kubectl, ask_us
from tui_forward.common.blocking_call import run_in_thread

pytestmark = pytest.mark.kubectl

SECRET = "tok-s3cret-of-the-test"
V1 = "client.authentication.k8s.io/v1"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    running = Servers(tmp_path_factory.mktemp("servers"))
    try:
        yield running
    finally:
        running.stop()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


class Folder:
    """The folder of a kubeconfig, and what goes into it."""

    def __init__(self, path: Path, servers: Servers) -> None:
        self.path = path
        self.servers = servers
        self.ca = servers.root.pem + servers.intermediate.pem

    def write(self, name: str, content: str | bytes, mode: int = 0o600) -> str:
        path = self.path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return name

    def plugin(self, name: str, output: str) -> str:
        """Write a plugin that prints something, and leaves a file when it runs."""
        script = f"#!/bin/sh\n: > {self.path}/ran\ncat <<'END'\n{output}\nEND\n"
        return self.write(name, script, 0o700)

    def config(
        self,
        server: Server | str = "",
        *,
        cluster: Mapping[str, Any] | None = None,
        user: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the base of all cases, changed; a value of None removes a field."""
        address = server.url if isinstance(server, Server) else server or self.servers.good.url
        settings = {
            "server": address,
            "certificate-authority-data": b64(self.ca),
            **(cluster or {}),
        }
        settings = {name: value for name, value in settings.items() if value is not None}
        credentials = {"token": SECRET} if user is None else dict(user)
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": settings}],
            "users": [{"name": "u", "user": credentials}],
        }
        return json.dumps(content, indent=1)

    def exec(self, command: str, **more: Any) -> dict[str, Any]:
        plugin = {"apiVersion": V1, "command": command, "interactiveMode": "Never", **more}
        return {"exec": {name: value for name, value in plugin.items() if value is not None}}

    def with_token(self, text: str) -> str:
        """Return the base with a token as it stands in YAML."""
        return self.config().replace(f'"token": "{SECRET}"', f'"token": {text}')


Content = str | bytes


@dataclass(frozen=True)
class Case:
    content: Callable[[Folder], Content]
    accepted: bool
    authorization: str | None = None  # what arrives, if accepted
    impersonate: str | None = None
    environ: Callable[[Folder], dict[str, str]] = field(default=lambda _: {})
    problem: str = ""  # a part of our message
    has_line: bool = True  # our message names file and line
    runs: bool = False  # the plugin runs


def bearer(token: str = SECRET) -> str:
    return f"Bearer {token}"


def good(content: Callable[[Folder], Content], authorization: str | None, **more: Any) -> Case:
    return Case(content, True, authorization, **more)


def bad(content: Callable[[Folder], Content], problem: str, **more: Any) -> Case:
    return Case(content, False, problem=problem, **more)


def credential(**status: str) -> str:
    return json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})


def block(pem: bytes, style: str) -> str:
    """Return a configuration's CA data as a block scalar of several lines."""
    data = b64(pem)
    lines = [data[start : start + 64] for start in range(0, len(data), 64)]
    return style + "\n" + "\n".join("      " + line for line in lines)


def folded(folder: Folder, style: str) -> str:
    return (
        "current-context: c\ncontexts:\n- name: c\n  context: {cluster: k, user: u}\n"
        f"users:\n- name: u\n  user: {{token: {SECRET}}}\nclusters:\n- name: k\n  cluster:\n"
        f"    server: {folder.servers.good.url}\n"
        f"    certificate-authority-data: {block(folder.ca, style)}\n"
    )


def damaged(folder: Folder) -> bytes:
    text = folder.ca.decode().splitlines()
    return "\n".join([text[0], "AAAA" + text[1], *text[2:4], "-----END CERTIFICATE-----"]).encode()


def pair(folder: Folder) -> dict[str, str]:
    client = folder.servers.client
    return {
        "client-certificate-data": b64(client.certificate),
        "client-key-data": b64(client.key),
    }


def kuberc(text: str) -> Callable[[Folder], dict[str, str]]:
    def environ(folder: Folder) -> dict[str, str]:
        head = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"
        name = folder.write("kuberc", head + text.replace("FOLDER", str(folder.path)))
        return {"KUBERC": str(folder.path / name)}

    return environ


def oidc(token: str) -> dict[str, str]:
    return {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "c", "id-token": token}


YAML = f"apiVersion: {V1}\nkind: ExecCredential\nstatus:\n  token: {SECRET}"
NO_CA = {"certificate-authority-data": None}
CASES: dict[str, Case] = {
    "01 http and a token": good(lambda f: f.config(f.servers.plain), None),
    "02 http and as": good(
        lambda f: f.config(f.servers.plain, user={"token": SECRET, "as": "bob"}),
        None,
        impersonate="bob",
    ),
    "03 http and a plugin": good(
        lambda f: f.config(f.servers.plain, user=f.exec(f"./{f.plugin('p.sh', '')}")), None
    ),
    "04 no scheme and a CA": good(lambda f: f.config(f.servers.plain.authority), None),
    "05 token: 12345": bad(lambda f: f.with_token("12345"), "user.token"),
    "06 token: 1e3": bad(lambda f: f.with_token("1e3"), "user.token"),
    "07 token: y": bad(lambda f: f.with_token("y"), "user.token"),
    "08 token: 1:30": good(lambda f: f.with_token("1:30"), bearer("1:30")),
    "09 token: date": good(lambda f: f.with_token("2024-01-02"), bearer("2024-01-02")),
    "10 token: !!binary": good(lambda f: f.with_token("!!binary dG9r"), bearer("tok")),
    "11 token twice": good(lambda f: f.with_token('a, "token": b'), bearer("b")),
    "12 two clusters of one name": bad(
        lambda f: f.config().replace(
            '"clusters": [', '"clusters": [{"name": "k", "cluster": {"server": "https://x"}},'
        ),
        "is used twice",
    ),
    "13 a second document": good(lambda f: f.config() + "\n---\nkind: Other\n", bearer()),
    "14 kind: Pod": bad(lambda f: f.config().replace('"Config"', '"Pod"'), "kind Config"),
    "15 BOM": good(lambda f: f.config().encode("utf-8-sig"), bearer()),
    "15 UTF-16": good(lambda f: f.config().encode("utf-16"), bearer()),
    "16 CA data folded": bad(lambda f: folded(f, ">"), "not base64"),
    "17 CA data in lines": good(lambda f: folded(f, "|"), bearer()),
    "18 CA file and data": bad(
        lambda f: f.config(cluster={"certificate-authority": f.write("ca", f.ca)}), "sets both"
    ),
    "19 CA file and empty data": good(
        lambda f: f.config(
            cluster={
                "certificate-authority-data": "",
                "certificate-authority": f.write("ca", f.ca),
            }
        ),
        bearer(),
    ),
    "20 insecure and a CA": bad(
        lambda f: f.config(cluster={"insecure-skip-tls-verify": True}), "sets both"
    ),
    "21 CA is an intermediate": good(
        lambda f: f.config(cluster={"certificate-authority-data": b64(f.servers.intermediate.pem)}),
        bearer(),
    ),
    "22 certificate without names": bad(
        lambda f: f.config(
            f.servers.nameless.url.replace("127.0.0.1", "localhost"),
        ),
        "",
        has_line=False,
    ),
    "23 a bad certificate and good ones": good(
        lambda f: f.config(cluster={"certificate-authority-data": b64(damaged(f) + b"\n" + f.ca)}),
        bearer(),
    ),
    "24 empty CA file": bad(
        lambda f: f.config(cluster={**NO_CA, "certificate-authority": f.write("ca", b"")}),
        "no valid PEM",
        environ=lambda f: {"SSL_CERT_FILE": str(f.path / f.write("all", f.ca))},
    ),
    "25 key alone and a token": good(
        lambda f: f.config(user={"token": SECRET, "client-key": "none.key"}), bearer()
    ),
    "26 token and password": bad(
        lambda f: f.config(user={"token": SECRET, "username": "n", "password": SECRET}),
        "more than one credential",
    ),
    "27 password alone": bad(lambda f: f.config(user={"password": "p"}), "no credentials"),
    "28 no credentials": bad(lambda f: f.config(user={}), "no credentials"),
    "29 token and tokenFile": good(
        lambda f: f.config(user={"token": "t", "tokenFile": f.write("token", "f\n")}),
        bearer("f"),
    ),
    "30 tokenFile of two lines": bad(
        lambda f: f.config(user={"tokenFile": f.write("token", "one\ntwo")}), "line break"
    ),
    "31 plugin and certificate": good(
        lambda f: f.config(
            user={**f.exec(f"./{f.plugin('p.sh', credential(token=SECRET))}"), **pair(f)}
        ),
        None,
    ),
    "32 plugin in a relative folder of PATH": bad(
        lambda f: f.config(user=f.exec(f.plugin("p.sh", credential(token=SECRET)))),
        "p.sh",
        environ=lambda _: {"PATH": ".:/usr/bin:/bin"},
        has_line=False,
    ),
    "33 plugin without interactiveMode": bad(
        lambda f: f.config(
            user=f.exec(f"./{f.plugin('p.sh', credential(token=SECRET))}", interactiveMode=None)
        ),
        "interactiveMode",
    ),
    "34 plugin prints YAML": good(
        lambda f: f.config(user=f.exec(f"./{f.plugin('p.sh', YAML)}")), bearer(), runs=True
    ),
    "34 plugin prints a BOM": good(
        lambda f: f.config(
            user=f.exec(f"./{f.plugin('p.sh', chr(0xFEFF) + credential(token=SECRET))}")
        ),
        bearer(),
        runs=True,
    ),
    "35 expirationTimestamp: soon": bad(
        lambda f: f.config(
            user=f.exec(
                f"./{f.plugin('p.sh', credential(token=SECRET, expirationTimestamp='soon'))}"
            )
        ),
        "not RFC 3339",
        has_line=False,
        runs=True,
    ),
    "36 v1beta1 printed for v1": bad(
        lambda f: f.config(
            user=f.exec(f"./{f.plugin('p.sh', credential(token=SECRET).replace(V1, V1 + 'beta1'))}")
        ),
        f"of {V1}beta1 instead of {V1}",
        has_line=False,
        runs=True,
    ),
    "37 kuberc with DenyAll": bad(
        lambda f: f.config(user=f.exec(f"./{f.plugin('p.sh', credential(token=SECRET))}")),
        "credentialPluginPolicy is DenyAll",
        environ=kuberc("credentialPluginPolicy: DenyAll"),
        has_line=False,
    ),
    "37 kuberc with an allowlist": good(
        lambda f: f.config(user=f.exec(f"./{f.plugin('p.sh', credential(token=SECRET))}")),
        bearer(),
        environ=kuberc(
            "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{command: FOLDER/p.sh}]"
        ),
        runs=True,
    ),
    "37 kuberc with DenyAll and a token": good(
        lambda f: f.config(user={"token": SECRET, **f.exec(f"./{f.plugin('p.sh', '')}")}),
        bearer(),
        environ=kuberc("credentialPluginPolicy: DenyAll"),
    ),
    "38 proxy-url: socks5h": bad(
        lambda f: f.config(cluster={"proxy-url": "socks5h://127.0.0.1:1"}), "socks5h"
    ),
    "38 proxy-url with a bad escape": bad(
        lambda f: f.config(cluster={"proxy-url": "http://a%zz:s3cret@127.0.0.1:1"}), "proxy-url"
    ),
    "39 HTTPS_PROXY and loopback": good(
        lambda f: f.config(), bearer(), environ=lambda _: {"HTTPS_PROXY": "http://127.0.0.1:1"}
    ),
    "40 NO_PROXY with another form": bad(
        lambda f: f.config("https://[fd00::2]:1"),
        "fd00::2",
        environ=lambda f: {"HTTPS_PROXY": f.servers.plain.url, "NO_PROXY": "FD00:0::2"},
        has_line=False,
    ),
    # Further rules of credentials and plugins, one each.
    "http and a plugin without command": bad(
        lambda f: f.config(f.servers.plain, user={"exec": {"apiVersion": V1}}), "without command"
    ),
    "plugin without command beside a token": bad(
        lambda f: f.config(user={"token": SECRET, **f.exec("")}), "without command"
    ),
    "plugin of v1alpha1 beside a token": bad(
        lambda f: f.config(user={"token": SECRET, **f.exec("x", apiVersion=f"{V1}alpha1")}),
        "apiVersion",
    ),
    "http and a plugin of v1alpha1": good(
        lambda f: f.config(f.servers.plain, user=f.exec("x", apiVersion=f"{V1}alpha1")), None
    ),
    "plugin with another interactiveMode": bad(
        lambda f: f.config(user=f.exec("x", interactiveMode="never")), "interactiveMode"
    ),
    "plugin with a nameless variable": bad(
        lambda f: f.config(user=f.exec("x", env=[{"value": SECRET}])), "env entry without name"
    ),
    "plugin and auth-provider": bad(
        lambda f: f.config(user={**f.exec("x"), "auth-provider": {"name": "oidc"}}),
        "both an exec plugin and an auth-provider",
    ),
    "plugin found through its own PATH only": bad(
        lambda f: f.config(
            user=f.exec(
                f.plugin("p.sh", credential(token=SECRET)),
                env=[{"name": "PATH", "value": str(f.path)}],
            )
        ),
        "p.sh",
        has_line=False,
    ),
    "auth-provider without name": bad(
        lambda f: f.config(user={"auth-provider": {}}), "auth-provider", has_line=True
    ),
    "auth-provider azure beside a token": bad(
        lambda f: f.config(user={"token": SECRET, "auth-provider": {"name": "azure"}}),
        "azure",
    ),
    "oidc without client-id": bad(
        lambda f: f.config(
            user={"auth-provider": {"name": "oidc", "config": {"idp-issuer-url": "https://x"}}}
        ),
        "client-id",
    ),
    "oidc with a token that is no JWT": bad(
        lambda f: f.config(user={"auth-provider": {"name": "oidc", "config": oidc(SECRET)}}),
        "not a JSON Web Token",
        has_line=False,
    ),
    "oidc with a token without expiry": bad(
        lambda f: f.config(user={"auth-provider": {"name": "oidc", "config": oidc("e30.e30.x")}}),
        "has expired",
        has_line=False,
    ),
    "oidc with a bad CA": bad(
        lambda f: f.config(
            user={
                "auth-provider": {
                    "name": "oidc",
                    "config": {**oidc(""), "idp-certificate-authority-data": "*"},
                }
            }
        ),
        "idp-certificate-authority",
    ),
    "username alone": good(lambda f: f.config(user={"username": "n"}), "Basic " + b64(b"n:")),
    "tokenFile and username": bad(
        lambda f: f.config(user={"tokenFile": f.write("token", "f"), "username": "n"}),
        "more than one credential",
    ),
    "token with a line break": bad(
        lambda f: f.config(user={"token": f"{SECRET}\nx"}), "line break"
    ),
    "certificate and its data": bad(
        lambda f: f.config(user={**pair(f), "client-certificate": f.write("c", "x")}),
        "sets both",
    ),
    "certificate without key": bad(
        lambda f: f.config(user={"client-certificate-data": b64(f.servers.client.certificate)}),
        "no client-key",
    ),
    "as-groups without as": bad(
        lambda f: f.config(f.servers.plain, user={"as-groups": ["a"]}), "`as` is missing"
    ),
    "missing user towards http": good(
        lambda f: f.config(f.servers.plain).replace('"user": "u"', '"user": "gone"'), None
    ),
    "missing user towards https": bad(
        lambda f: f.config().replace('"user": "u"', '"user": "gone"'), "gone"
    ),
    "missing CA file towards http": bad(
        lambda f: f.config(f.servers.plain, cluster={**NO_CA, "certificate-authority": "none.crt"}),
        "none.crt",
    ),
    "no scheme and a path": bad(lambda f: f.config(f"{f.servers.plain.authority}/api"), "path"),
    "space before the scheme": bad(lambda f: f.config(f" {f.servers.good.url}"), "space"),
    "server's own certificate as CA": good(
        lambda f: f.config(cluster={"certificate-authority-data": b64(f.servers.good_leaf)}),
        bearer(),
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_same_answer_as_kubectl(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    case, folder = CASES[name], Folder(tmp_path, servers)
    content = case.content(folder)
    config = tmp_path / "config"
    config.write_bytes(content.encode() if isinstance(content, str) else content)
    monkeypatch.chdir(tmp_path)
    environ = case.environ(folder)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)  # OpenSSL reads SSL_CERT_FILE by itself
    headers = {"authorization": case.authorization, "impersonate-user": case.impersonate}
    identity = {header: value for header, value in headers.items() if value}
    expected = (case.accepted, identity if case.accepted else None, case.runs)

    def outcome(answer: Answer) -> tuple[bool, dict[str, str] | None, bool]:
        ran = (tmp_path / "ran").exists()
        (tmp_path / "ran").unlink(missing_ok=True)
        return answer.accepted, answer.identity, ran

    kubectl = await run_in_thread(lambda: ask_kubectl(servers, config, environ), name="kubectl")
    assert outcome(kubectl) == expected, kubectl.message
    answer = await ask_us(servers, config, environ)
    assert outcome(answer) == expected, answer.message
    if not case.accepted:
        assert case.problem in answer.message
        assert SECRET not in answer.message
        if case.has_line:
            assert f"{config}, line " in answer.message
