"""Secrets of the kubeconfig appear in no file, log, output or RPC response."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.processes import exchange, wait_until
from tests.e2e.test_profiles import Shell, shell
from tests.support.cluster_process import ClusterProcess
from tui_forward.daemon import rpc

__all__ = ["shell"]


def secrets(kubeconfig: str) -> set[str]:
    """Return the secrets of a kubeconfig."""
    return set(re.findall(r"(?:token|client-key-data|password): *\"?([^\s\"]{8,})", kubeconfig))


def files(home: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield all files below a folder with their content."""
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


def rpc_responses(path: Path) -> bytes:
    """Return the raw responses of the engine to all requests that read state."""
    requests: list[rpc.FromClient] = [
        rpc.Hello(rpc.VERSION), rpc.GetSnapshot(1), rpc.GetContexts(2), rpc.GetHops(3, "f1"),
        rpc.GetTimeline(4, "f1"), rpc.GetConnections(5, None), rpc.Subscribe(6, 0),
    ]  # fmt: skip
    responses = b""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"".join(rpc.encode_message(one) for one in requests))
        client.settimeout(3)
        try:
            while piece := client.recv(1 << 16):
                responses += piece
        except TimeoutError:
            pass
    return responses


PROFILE = """\
forwards:
  by-certificate: {namespace: shop, target: svc/echo, port: echo, local: any}
  by-token: {context: admin-token, namespace: shop, target: svc/echo, port: echo, local: any}
  refused: {context: refused, namespace: shop, target: svc/echo, port: echo, local: any}
  by-plugin: {context: plugin, namespace: shop, target: svc/echo, port: echo, local: any}
"""
LEAK = "leaked-t0ken-of-a-plugin"
ENTRY = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "interactiveMode": "Never",
    "command": "/bin/sh",
    "args": ["-c", f"echo {LEAK}-1; echo '{LEAK}-1' $0 $1 $PW >&2; exit 3", "-p", f"{LEAK}-2", "x"],
    "env": [{"name": "PW", "value": f"{LEAK}-3"}],
}


def test_secrets_are_not_disclosed(
    shell: Shell, cluster: ClusterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    cluster = config["contexts"][0]["context"]["cluster"]
    config["users"].append({"name": "refused", "user": {"token": "an-unknown-token-0123"}})
    context = {"cluster": cluster, "user": "refused", "namespace": "shop"}
    config["contexts"].append({"name": "refused", "context": context})
    config["users"].append({"name": "plugin", "user": {"exec": ENTRY}})
    context = {**context, "user": "plugin"}
    config["contexts"].append({"name": "plugin", "context": context})
    kubeconfig = shell.home / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config, width=100_000))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    (shell.profiles / "shop.yaml").write_text(PROFILE)
    hidden = {secret.encode() for secret in secrets(kubeconfig.read_text())}
    assert len(hidden) > 2, "a key and several tokens"
    hidden.add(LEAK.encode())

    done = shell("up", "shop", "--timeout", "3s", code=1)
    output = done.stdout + done.stderr
    for name, port in shell.ports().items():
        if name not in ("refused", "by-plugin"):
            assert exchange(port, b"hello", answer=5) == b"hello"
    assert shell.listed()["refused"]["state"] == "blocked"
    assert "failed with exit code 3" in str(shell.listed()["by-plugin"]["reason"])
    for words in (("status", "--json"), ("status",), ("ls", "--json"), ("metrics",), ("config",)):
        done = shell(*words)
        output += done.stdout + done.stderr
    (path,) = (shell.home / "run/tui-forward").glob("*.sock")
    responses = output.encode() + rpc_responses(path)
    assert b"credentials" in responses
    written = dict(files(shell.home))
    del written[kubeconfig]
    assert any(path.suffix == ".log" for path in written)
    assert any("sessions" in path.parts for path in written)
    for secret in hidden:
        assert secret not in responses
        assert not [path for path, content in written.items() if secret in content]
    shell("stop", "--all")
    wait_until(lambda: not shell.engines(), "the engine to end")
