"""Candidates from a kubeconfig and an API server, as bash receives them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.kube.api_server import ApiServer, Reply, serving, status_body
from tests.kube.kubeconfigs import kubeconfig, write
from tests.kube.objects import pod, service, workload
from tui_forward.cli import completers
from tui_forward.cli.main import cli
from tui_forward.cli.shell_completion import SafeBashComplete

ARN = "arn:aws:eks:eu-central-1:111122223333:cluster/blue"
CONTEXTS = (ARN, "gke_proj_zone_green", "team prod (eu)")
IN_ARN = f"forward --context {ARN} -n shop"

# The command line, what readline replaces of it, and the candidates.
CASES = [
    ("--context ", "", [r"arn:aws:eks:eu-central-1:111122223333:cluster/blue",
                        "gke_proj_zone_green", r"team\ prod\ \(eu\)"]),
    ("--context arn:aws:e", "e", ["eks:eu-central-1:111122223333:cluster/blue"]),
    ("--context=te", "te", [r"team\ prod\ \(eu\)"]),
    ('--context "te', "te", ["team prod (eu)"]),
    (f"--context {ARN} -n ", "", ["other", "shop"]),
    ("--context 'team prod (eu)' --namespace=s", "s", ["shop"]),
    (r"--context team\ prod\ \(eu\) -n s", "s", ["shop"]),
    (f"{IN_ARN} svc/", "svc/", ["svc/web"]),
    (f"{IN_ARN} deploy/w", "deploy/w", ["deploy/web"]),
    (f"{IN_ARN} svc/web ", "", ["80", "http"]),
    (f"{IN_ARN} svc/web 8080:", "", ["80", "http"]),
    (f"{IN_ARN} svc/web 8080:h", "h", ["http"]),
    (f"{IN_ARN} svc/web :", "", ["80", "http"]),
    (f"{IN_ARN} svc/web 80 9090:", "", ["80", "http"]),
    (f"{IN_ARN} web-1-a 8080:", "", ["8080", "http"]),
    (f"{IN_ARN} pods/web-1-a ", "", ["8080", "http"]),
    (f"{IN_ARN} deployment/web 1:", "", ["8080", "http"]),
    (f"{IN_ARN} svc/none 8080:", "", []),
    (f"{IN_ARN} a/b/c 8080:", "", []),
    ("forward --context none svc/", "svc/", []),
    # kubectl's options for cluster and user, and what is typed with them.
    ("forward --cluster ", "", ["test"]),
    ("--cluster=", "", ["test"]),
    ("forward --user te", "te", ["test"]),
    ("forward --context team\\ prod\\ \\(eu\\) --server nowhere:1 svc/", "svc/", []),
    ("forward --server URL -n shop svc/", "svc/", ["svc/web"]),
    ("forward --as-group admins svc/", "svc/", []),  # kubectl refuses it without --as
    ("forward --as jane -n shop svc/", "svc/", ["svc/web"]),
    ("forward --certificate-authority ", "", ["file,"]),
]  # fmt: skip


def offered(monkeypatch: pytest.MonkeyPatch, line: str, replaced: str) -> list[str]:
    monkeypatch.setenv("COMP_WORDS", f"tui-forward {line}")
    monkeypatch.setenv("COMP_CWORD", replaced)
    lines = SafeBashComplete(cli, {}, "tui-forward", "X").complete().split("\n")
    return [one.removeprefix("plain,") for one in lines if one]


@pytest.fixture
def config(config_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KUBECONFIG", str(config_path))
    monkeypatch.setattr(completers, "_TIMEOUT_S", 60.0)
    monkeypatch.setattr(completers, "_GRACE_S", 60.0)
    return config_path


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    return tmp_path / "config"


def write_contexts(path: Path, server: ApiServer) -> None:
    content = kubeconfig(server.url, name="test")
    names = ({"name": one, "context": {"cluster": "test", "user": "test"}} for one in CONTEXTS)
    write(path, {**content, "contexts": [*names], "current-context": ARN})


async def test_candidates_of_a_cluster(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server:
        for name in ("shop", "other"):
            server.put("namespaces", {"metadata": {"name": name}})
        server.put("services", service())
        server.put("deployments", workload("web"))
        replica_set = workload("web-1")
        replica_set["metadata"]["ownerReferences"] = [
            {"kind": "Deployment", "name": "web", "controller": True}
        ]
        server.put("replicasets", replica_set)
        server.put("pods", pod("web-1-a", owner=("ReplicaSet", "web-1")))
        write_contexts(config, server)
        for line, replaced, expected in CASES:
            line = line.replace("URL", server.url)
            found = await asyncio.to_thread(offered, monkeypatch, line, replaced)
            assert found == expected, line
        impersonated = {one.header("Impersonate-User") for one in server.requests}
        assert impersonated == {None, "jane"}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(403, status_body(403, "Forbidden", "no")),
        Reply(401, status_body(401, "Unauthorized", "no")),
        Reply(500, b"broken"),
        Reply(200, b"<html>"),
    ],
)
async def test_errors_of_a_cluster_are_no_candidates(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    reply: Reply,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with serving(intercept=lambda _: reply) as server:
        write_contexts(config, server)
        assert await asyncio.to_thread(offered, monkeypatch, f"{IN_ARN} svc/", "svc/") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", ["", "[", "contexts: 7", "\x00", "apiVersion: v1"])
def test_unusable_kubeconfig_offers_nothing(
    config: Path, monkeypatch: pytest.MonkeyPatch, content: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config.write_text(content)
    for line in ("--context ", "-n ", "forward svc/", "forward svc/web 80:"):
        assert offered(monkeypatch, line, "") == []
    assert capfd.readouterr() == ("", "")


async def test_silent_cluster_offers_nothing_after_the_time_limit(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completers, "_TIMEOUT_S", 0.2)
    async with serving(stalled=True) as server:
        write_contexts(config, server)
        assert await asyncio.to_thread(offered, monkeypatch, f"{IN_ARN} svc/", "svc/") == []
