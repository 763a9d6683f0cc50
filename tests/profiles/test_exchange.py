"""What comes from other programs, and what goes to them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.errors import UsageError
from tui_forward.model import TargetKind
from tui_forward.profiles.exporting import env, kubectl_lines, script
from tui_forward.profiles.importing import imported
from tui_forward.profiles.reading import read_profile
from tui_forward.profiles.writing import profile_text

FILE = Path("shop.yaml")
PROFILE = """\
context: prod eu
namespace: shop
forwards:
  web: {target: deploy/web, port: http, needs: db}
  db: {target: sts/db, port: 5432, local: 15432, namespace: data}
  cache: {selector: "app=cache,tier in (a, b)", port: 6379, local: any}
  admin: {target: svc/admin, port: 443, local: 8443, address: [127.0.0.1, 10.0.0.1]}
"""
# As kftray exports it.
KFTRAY = json.dumps(
    [
        {
            "alias": "service-tcp-8080", "context": "kind", "kubeconfig": "/home/me/.kube/config",
            "local_port": 8080, "namespace": "argocd", "protocol": "tcp", "remote_port": 8080,
            "service": "argocd-server", "workload_type": "service",
        },
        {
            "alias": "pod-tcp-8083", "context": "kind", "local_port": 8083,
            "local_address": "127.0.0.5", "namespace": "argocd", "protocol": "tcp",
            "remote_port": 8083, "target": "app.kubernetes.io/component=server",
            "workload_type": "pod",
        },
        {
            "alias": "dns", "context": "kind", "local_port": 5353, "namespace": "argocd",
            "protocol": "udp", "remote_address": "coredns", "remote_port": 5353,
            "workload_type": "proxy",
        },
        {
            "alias": "elsewhere", "local_port": 8777, "namespace": "argocd", "protocol": "tcp",
            "remote_address": "test.internal", "remote_port": 80, "workload_type": "proxy",
        },
        {"service": "argocd-server", "namespace": "argocd", "remote_port": 99999},
    ]
)  # fmt: skip
# As kportal's documentation has it.
KPORTAL = """\
mdns:
  enabled: true
contexts:
  - name: production
    namespaces:
      - name: backend
        forwards:
          - resource: service/postgres
            protocol: tcp
            port: 5432
            localPort: 5432
            alias: prod-db
          - resource: pod
            selector: app=web
            protocol: tcp
            port: 80
            localPort: 8080
          - resource: pod/api
            port: 8080
            localPort: 8081
            httpLog: true
  - name: staging
    namespaces:
      - name: default
        forwards:
          - {resource: deployment/web, protocol: udp, port: 53, localPort: 53}
"""
SCRIPT = """\
#!/bin/bash
# kubectl port-forward svc/not-this 1
set -e
kubectl config use-context here
kubectl -n shop port-forward svc/web 8080:80 9090 >/dev/null 2>&1 &
KUBE=1 nohup /usr/bin/kubectl port-forward \\
    --context prod -n data sts/db 5432 &
  501  kubectl port-forward -n shop svc/web 8080:80
: 1700000000:0;kubectl port-forward pod/web-1 :8080 --address 0.0.0.0
kubectl port-forward cm/nothing 1
git push origin port-forward
"""


def found(text: str) -> list[tuple[str, str, int | None]]:
    return [(one.name, f"{one.target.context}/{one.target}", one.local_port)
            for one in imported(text).specs]  # fmt: skip


def test_kubectl_lines_of_scripts_and_histories() -> None:
    assert found(SCRIPT) == [
        ("web", "/shop/svc/web:80", 8080),
        ("web-9090", "/shop/svc/web:9090", None),
        ("db", "prod/data/sts/db:5432", None),
        ("web-1", "//pod/web-1:8080", 0),
    ]
    taken = imported(SCRIPT)
    assert taken.specs[-1].addresses == ("0.0.0.0",)
    assert taken.notes == [
        'line 10 is left out: cannot forward to "cm/nothing": "cm" is not a kind of object that '
        "has pods"
    ]


def test_kftray() -> None:
    assert found(KFTRAY) == [
        ("service-tcp-8080", "kind/argocd/svc/argocd-server:8080", 8080),
        ("pod-tcp-8083", "kind/argocd/-l app.kubernetes.io/component=server:8083", 8083),
    ]
    taken = imported(KFTRAY)
    assert taken.specs[1].addresses == ("127.0.0.5",)
    assert [note.partition(":")[0] for note in taken.notes] == [
        "service-tcp-8080", "dns is left out", "elsewhere is left out",
        "argocd-server is left out",
    ]  # fmt: skip


def test_kportal() -> None:
    assert found(KPORTAL) == [
        ("prod-db", "production/backend/svc/postgres:5432", 5432),
        ("forward", "production/backend/-l app=web:80", 8080),
        ("api", "production/backend/pod/api:8080", 8081),
    ]
    notes = imported(KPORTAL).notes
    assert len(notes) == 2
    assert "here it is the whole name" in notes[0]
    assert notes[1] == "web is left out: only TCP can be forwarded"


@pytest.mark.parametrize(
    "text", ["", "echo hello", "[]", "{}", "[1]", "[", "contexts:\n  - [", "contexts: 5"]
)
def test_what_holds_no_forward_says_so(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        imported(text)
    assert raised.value.hint


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    for prefix in ("", "kubectl port-forward ", "[{", "contexts:\n- "):
        try:
            imported(prefix + text)
        except UsageError as error:
            assert error.message  # noqa: PT017


@pytest.mark.parametrize("text", [SCRIPT, KFTRAY, KPORTAL])
def test_what_was_imported_is_a_profile(text: str) -> None:
    specs = imported(text).specs
    profile = read_profile(profile_text(specs, FILE), FILE)
    assert [msgspec.structs.replace(one.spec, profile="") for one in profile.forwards] == specs


def test_kubectl_lines_come_back_as_they_went() -> None:
    profile = read_profile(PROFILE, FILE)
    lines = list(kubectl_lines(profile))
    assert lines[0].startswith("kubectl port-forward --context 'prod eu' --namespace data statef")
    back = {str(one.target): one for one in imported("\n".join(lines)).specs}
    for one in profile.forwards:
        if one.spec.target.kind is not TargetKind.SELECTOR:  # a command inside the command
            again = back[str(one.spec.target)]
            assert again == msgspec.structs.replace(one.spec, profile="", name=again.name)


def test_a_script_is_one(tmp_path: Path) -> None:
    text = script(read_profile(PROFILE, FILE))
    assert text.count("kubectl port-forward") == 4
    file = tmp_path / "shop.sh"
    file.write_text(text)
    sh = shutil.which("sh")
    assert sh is not None
    subprocess.run([sh, "-n", str(file)], check=True, timeout=10)


def test_env_has_what_is_known_before() -> None:
    assert list(env(read_profile(PROFILE, FILE))) == [
        "DB_HOST=127.0.0.1", "DB_PORT=15432", "ADMIN_HOST=127.0.0.1", "ADMIN_PORT=8443",
    ]  # fmt: skip
