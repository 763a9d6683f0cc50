"""What comes from other programs, and what goes to them."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.profiles.exporters import format_env, format_kubectl_commands, format_shell_script
from tui_forward.profiles.importers.findings import RemarkCode, describe_remark
from tui_forward.profiles.importers.importer import (
    FALLBACK,
    MAX_FILE_BYTES,
    READERS,
    NothingToImportError,
    import_forwards,
)
from tui_forward.profiles.parser import parse_profile
from tui_forward.profiles.serializer import serialize_profile

FILE = Path("shop.yaml")
# Far more than the longest takes even on a busy machine.
_MAX_CPU_S = 6.0
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
# Of `kubectl get pods … -o yaml`: two pods of a Deployment, and one without owner.
KUBECTL_PODS = Path(__file__).with_name("kubectl_pods.yaml").read_text()
# k9s' documentation has such a pod; both containers have a port p1.
K9S_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "fred",
        "annotations": {
            "k9scli.io/auto-port-forwards": "zorg::5556",
            "k9scli.io/port-forwards": "bozo::9090:p1",
        },
    },
    "spec": {
        "containers": [
            {"name": "zorg", "ports": [{"name": "p1", "containerPort": 5556}]},
            {
                "name": "bozo",
                "ports": [
                    {"name": "p1", "containerPort": 8081},
                    {"name": "p2", "containerPort": 5555},
                    {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                ],
            },
        ]
    },
}
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


def remarks(text: str) -> list[str]:
    taken = import_forwards(text)
    return [describe_remark(one) for one in (*taken.notes, *taken.left_out)]


def found(text: str) -> list[tuple[str, str, int | None]]:
    return [(one.name, f"{one.target.context}/{one.target}", one.local_port)
            for one in import_forwards(text).specs]  # fmt: skip


def test_kubectl_commands_in_scripts_and_histories() -> None:
    assert found(SCRIPT) == [
        ("web", "here/shop/svc/web:80", 8080),
        ("web-9090", "here/shop/svc/web:9090", None),
        ("db", "prod/data/sts/db:5432", None),
        ("web-1", "here//pod/web-1:8080", 0),
    ]
    taken = import_forwards(SCRIPT)
    assert taken.specs[-1].addresses == ("0.0.0.0",)
    assert [(one.line, one.code) for one in taken.left_out] == [
        (2, RemarkCode.IN_COMMENT), (10, RemarkCode.INVALID),
    ]  # fmt: skip
    assert [(one.line, one.code) for one in taken.notes] == [
        (5, RemarkCode.CONTEXT_OF_LINE), (6, RemarkCode.ENVIRONMENT),
        (9, RemarkCode.CONTEXT_OF_LINE), (11, RemarkCode.MENTION),
    ]  # fmt: skip
    assert taken.summary == "6 found, 4 imported, 2 left out (1 repeats another)"


def test_kftray() -> None:
    assert found(KFTRAY) == [
        ("service-tcp-8080", "kind/argocd/svc/argocd-server:8080", 8080),
        ("pod-tcp-8083", "kind/argocd/-l app.kubernetes.io/component=server:8083", 8083),
    ]
    taken = import_forwards(KFTRAY)
    assert taken.specs[1].addresses == ("127.0.0.5",)
    assert [(one.label, one.code) for one in (*taken.notes, *taken.left_out)] == [
        ("service-tcp-8080", RemarkCode.CONTAINER_PORT), ("dns", RemarkCode.NOT_TCP),
        ("elsewhere", RemarkCode.NOT_A_POD), ("argocd-server", RemarkCode.INVALID),
    ]  # fmt: skip


def test_kportal() -> None:
    assert found(KPORTAL) == [
        ("prod-db", "production/backend/svc/postgres:5432", 5432),
        ("forward", "production/backend/-l app=web:80", 8080),
        ("api", "production/backend/pod/api:8080", 8081),
    ]
    assert remarks(KPORTAL) == [
        "line 18 (api): in kportal pod/api is the prefix of a name, here it is the full name",
        "line 26 (web): left out: it is UDP; only TCP can be forwarded",
    ]


def test_pods_of_a_workload_give_its_forwards_once() -> None:
    assert found(KUBECTL_PODS) == [
        ("fred", "/ops/pod/fred:echo", None),
        ("zorg-zorg", "/ops/deploy/zorg:5556", None),
        ("zorg-bozo", "/ops/deploy/zorg:8081", 9090),
        ("zorg-p2", "/ops/deploy/zorg:p2", 17000),
    ]
    assert [note.partition(" (")[2] for note in remarks(KUBECTL_PODS)] == [
        'ops/deploy/zorg): left out: "bozo::nope": there is no port "nope"; available: p1',
        'ops/deploy/zorg): left out: "zorg::dns": it is UDP, only TCP can be forwarded',
    ]


def annotated(annotation: str, **more: object) -> dict[str, object]:
    metadata = {"name": "fred", "annotations": {"k9scli.io/port-forwards": annotation}, **more}
    return {**K9S_POD, "metadata": metadata}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("bozo::p2", ("p2", None)),
        ("bozo::9090:p2", ("p2", 9090)),
        (" bozo::9090:5555 ", ("5555", 9090)),
        ("bozo::5555,", ("5555", None)),
        ("bozo::5555:", ("5555", None)),
        ("bozo:::p2", ("p2", None)),
        ("bozo::9090:p2/5555", ("p2", 9090)),
        ("bozo::p1", ("8081", None)),  # by name it would be that of zorg
        ("zorg::p1", ("p1", None)),
        ("9090:5555", ("5555", 9090)),
        ("p2", ("p2", None)),
        ("zorg::15000", ("15000", None)),  # what listens counts, not what is declared
    ],
)
def test_forms_of_k9s_annotations(annotation: str, expected: tuple[str, int | None]) -> None:
    spec = import_forwards(json.dumps(annotated(annotation))).specs[0]
    assert (spec.target.port, spec.local_port) == expected


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        ("bozo:9090:p2", "not in the form CONTAINER::[LOCAL:]PORT"),
        ("bozo::p2:9090", "not in the form CONTAINER::[LOCAL:]PORT"),
        ("zorg::p2", 'there is no port "p2"; available: p1'),
        ("blee::p1", 'there is no container "blee"'),
        ("bozo::dns", "it is UDP"),
        ("bozo::53", "it is UDP"),
        ("bozo::99999:p2", "is not a number from 0 to 65535"),
        ("bozo::70000", "out of range"),
    ],
)
def test_invalid_k9s_annotations_are_noted(annotation: str, why: str) -> None:
    taken = import_forwards(json.dumps(annotated(f"{annotation},bozo::p2")))
    assert [one.target.port for one in taken.specs] == ["p2"]
    (left_out,) = taken.left_out
    assert left_out.label == "pod/fred"
    assert left_out.detail.startswith(f'"{annotation}": ')
    assert why in left_out.detail


def owned(kind: str, name: str, version: str, **labels: str) -> dict[str, object]:
    owner = {"apiVersion": version, "kind": kind, "name": name, "controller": True}
    return annotated("bozo::p2", namespace="shop", labels=labels, ownerReferences=[owner])


@pytest.mark.parametrize(
    ("value", "target"),
    [
        (owned("ReplicaSet", "web-5d9", "apps/v1", **{"pod-template-hash": "5d9"}), "deploy/web"),
        (owned("ReplicaSet", "web-5d9", "apps/v1"), "rs/web-5d9"),
        (owned("StatefulSet", "db", "apps/v1"), "sts/db"),
        (owned("Job", "x", "batch/v1"), "job/x"),
        (owned("Job", "x", "batch.volcano.sh/v1alpha1"), "pod/fred"),
        (owned("Pod", "driver", "v1"), "pod/fred"),
        (annotated("bozo::p2", namespace="shop"), "pod/fred"),
    ],
)
def test_owner_of_a_pod_is_the_target(value: dict[str, object], target: str) -> None:
    texts = [json.dumps(value), json.dumps({"apiVersion": "v1", "kind": "List", "items": [value]})]
    items = [{key: value[key] for key in ("metadata", "spec")}]
    texts.append(json.dumps({"kind": "PodList", "apiVersion": "v1", "items": items}))
    texts.append(f"{json.dumps(value)}\n{json.dumps(value)}\n")
    for text in texts:
        assert found(text) == [("fred" if target == "pod/fred" else target.partition("/")[2],
                                f"/shop/{target}:p2", None)]  # fmt: skip


def test_handwritten_manifests() -> None:
    text = """\
# kubectl apply -f this
---
kind: Deployment
apiVersion: apps/v1
metadata: {name: web}
spec:
  template:
    metadata:
      annotations: {k9scli.io/port-forwards: "web::8080:http"}
    spec:
      containers:
      - {name: web, ports: [{name: http, containerPort: 80}]}
---
{kind: Service, apiVersion: v1, metadata: {name: web}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: seed}
common: &common {annotations: {k9scli.io/port-forwards: "web::8080:http"}}
spec:
  template:
    metadata:
      <<: [*common, {name: x}]
    spec: {containers: [{name: web, ports: [{name: http, containerPort: 80}]}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  jobTemplate:
    spec:
      template: {metadata: {annotations: {k9scli.io/port-forwards: "web::80"}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, annotations: {k9scli.io/port-forwards: "db::5432"}}
---
apiVersion: v1
kind: Pod
metadata: {name: wrong, annotations: {k9scli.io/port-forwards: 5432}}
"""
    assert found(text) == [("web", "//deploy/web:http", 8080), ("seed", "//job/seed:http", 0)]
    taken = import_forwards(text)
    assert [one.label for one in (*taken.notes, *taken.left_out)] == [
        "seed", "CronJob nightly", "sts/db", "Pod wrong",
    ]  # fmt: skip
    assert taken.notes[0].value == "local port 8080 is used by web"


def test_script_with_a_manifest_is_a_script() -> None:
    text = "set -e\ncat <<E | kubectl apply -f -\nkind: Pod\napiVersion: v1\nE\n" + SCRIPT
    assert len(found(text)) == 4


def many_times(line: str) -> str:
    """Each line nine times the one before, by its name."""
    lines = [line.format(one=one, nine=",".join([f"*a{one - 1}"] * 9)) for one in range(1, 40)]
    return "\n".join(["apiVersion: v1", "kind: List", "a0: &a0 {x: 1, y: 2, z: 3}", *lines])


@pytest.mark.parametrize("begin", ["kind: List\n", "contexts: []\n"])
@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("items: " + "[" * 100_000, "line 3, column 107: nested deeper than 100 levels"),
        ("items: *x", "line 3, column 8: an alias is not defined before"),
        ("\n".join(f"k{one}: &k{one} {{<<: *k{one - 1}, x{one}: 1}}" for one in range(1, 2000)),
         "line 356, column 18: aliases stand for more than 250000 values"),
        ("a: 'b", "line 3, column 6: found unexpected end"),
    ],
)  # fmt: skip
@pytest.mark.timeout(20)
def test_hostile_yaml_is_one_clear_error(begin: str, text: str, detail: str) -> None:
    with pytest.raises(NothingToImportError) as raised:
        import_forwards(f"{begin}k0: &k0 {{}}\n{text}")
    assert f"cannot parse this YAML: {detail}" in raised.value.hint


@pytest.mark.timeout(20)
def test_aliases_of_aliases_are_refused() -> None:
    for line in ("a{one}: &a{one} [{nine}]", "a{one}: &a{one} {{<<: [{nine}]}}"):
        pod = json.dumps(annotated("bozo::p2"))
        with pytest.raises(NothingToImportError) as raised:
            found(f"{many_times(line)}\nitems: [*a39, {pod}]\n")
        assert "aliases stand for more than 250000 values" in raised.value.hint


def test_limit_of_forwards_is_noted() -> None:
    with pytest.raises(NothingToImportError, match="larger than 16 MiB"):
        import_forwards("x" * (MAX_FILE_BYTES + 1))
    lines = [f"kubectl port-forward svc/web-{one} 80" for one in range(600)]
    taken = import_forwards("\n".join(lines * 2))
    assert len(taken.specs) == 500
    assert [one.detail for one in taken.notes] == [
        "only the first 500 of 600 forwards are imported"
    ]
    assert taken.summary == "600 found, 500 imported, 100 left out (600 repeat another)"


@pytest.mark.parametrize(
    "text", ["", "echo hello", "[]", "{}", "[1]", "[", "contexts:\n  - [", "contexts: 5"]
)
def test_text_without_forwards(text: str) -> None:
    with pytest.raises(NothingToImportError) as raised:
        import_forwards(text)
    # Each reader says what it misses.
    for name, _ in (*READERS, FALLBACK):
        assert f"{name}: " in raised.value.hint


@given(st.text(max_size=200))
def test_any_text_gives_forwards_or_an_error(text: str) -> None:
    for prefix in ("", "kubectl port-forward ", "[{", "contexts:\n- ", "kind: Pod\nx: "):
        try:
            import_forwards(prefix + text)
        except NothingToImportError as error:
            assert error.message  # noqa: PT017


@pytest.mark.parametrize("text", [SCRIPT, KFTRAY, KPORTAL, KUBECTL_PODS])
def test_imported_forwards_form_a_profile(text: str) -> None:
    specs = import_forwards(text).specs
    profile = parse_profile(serialize_profile(specs, FILE), FILE)
    assert [msgspec.structs.replace(one.spec, profile="") for one in profile.forwards] == specs


def test_exported_kubectl_commands_can_be_imported() -> None:
    profile = parse_profile(PROFILE, FILE)
    lines = list(format_kubectl_commands(profile))
    assert lines[0].startswith("kubectl port-forward --context 'prod eu' --namespace data statef")
    back = {str(one.target): one for one in import_forwards("\n".join(lines)).specs}
    for one in profile.forwards:
        again = back[str(one.spec.target)]
        assert again == msgspec.structs.replace(one.spec, profile="", name=again.name)


def test_exported_script(tmp_path: Path) -> None:
    text = format_shell_script(parse_profile(PROFILE, FILE))
    assert text.count("kubectl port-forward") == 4
    file = tmp_path / "shop.sh"
    file.write_text(text)
    sh = shutil.which("sh")
    assert sh is not None
    subprocess.run([sh, "-n", str(file)], check=True, timeout=60)


def test_env_has_fixed_ports() -> None:
    assert list(format_env(parse_profile(PROFILE, FILE))) == [
        "DB_HOST=127.0.0.1", "DB_PORT=15432", "ADMIN_HOST=127.0.0.1", "ADMIN_PORT=8443",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["sh", "bash"])
def test_exports_of_a_hostile_profile_run_nothing_but_kubectl(name: str, tmp_path: Path) -> None:
    """A context may have any printable text; kubectl is a script that records its arguments."""
    hostile = "$(touch PWNED) `touch PWNED`; touch PWNED '\"\\ & |"
    profile = parse_profile(
        msgspec.json.encode(
            {
                "context": hostile, "label": hostile, "description": hostile,
                "forwards": {
                    "a": {"target": "svc/a", "port": 5432, "address": "fe80::1%eth0"},
                    "b": {"selector": f"app={hostile}", "port": 5433},
                },
            }
        ).decode(), FILE,
    )  # fmt: skip
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text('#!/bin/sh\nprintf "%s\\0" "$@" >> "$LOG"\n')
    kubectl.chmod(0o755)
    shell = shutil.which(name)
    assert shell is not None
    script = "\n".join([*format_kubectl_commands(profile), "set -a", *format_env(profile)])
    done = subprocess.run(
        [shell, "-c", f"{script}\nprintf %s \"$A_HOST\""], cwd=tmp_path, timeout=60, check=True,
        capture_output=True, text=True,
        env={"PATH": f"{kubectl.parent}:/usr/bin:/bin", "LOG": str(tmp_path / "log")},
    )  # fmt: skip
    assert done.stdout == "fe80::1%eth0"
    arguments = (tmp_path / "log").read_text().split("\0")
    assert arguments.count(hostile) == 3
    assert arguments.count(f"app={hostile}") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "log"]


@pytest.mark.parametrize(
    "text",
    [
        "kubectl port-forward --address 0.0.0.0 svc/a 5432\n",
        json.dumps([{"service": "a", "namespace": "x", "remote_port": 80, "local_address": "::"}]),
    ],
    ids=["kubectl", "kftray"],
)
def test_imported_address_that_other_machines_can_reach_is_marked(text: str) -> None:
    specs = import_forwards(text).specs
    profile = serialize_profile(specs, FILE)
    (marked,) = (line for line in profile.splitlines() if "address:" in line)
    assert marked.endswith("# OPEN TO OTHER MACHINES")
    again = serialize_profile(specs, FILE, profile)
    assert again == profile, "the mark is written once"


@pytest.mark.parametrize(
    "text",
    [
        ";a" * 500_000 + " kubectl",
        "/a" * 500_000 + " kubectl",
        "a/" * 500_000 + ";" * 100_000,
        " k" * 500_000,
        " kubectl port-forward" * 10_000,
        "kubectl port-forward" + " a" * 500_000,
        "kubectl port-forward " + "a" * 1_000_000,
        "A=1 " * 200_000 + "kubectl port-forward svc/web 80",
        "kubectl port-forward svc/web 80" + " >" * 300_000,
        "kubectl port-forward svc/web 80 " + "> " * 300_000,
        "\\\n" * 200_000,
        "kubectl \\\n" * 30_000 + "port-forward svc/web 80",
        "\n" * 300_000,
        "contexts" + "\n" * 300_000,
        "---" * 300_000,
        "#\n" * 500_000,
        "[" * 1_000_000,
        "1 " * 500_000,
        "[" + "1," * 50_000 + "1]",
        "[" + '{"service":"x"},' * 12_000 + "{}]",
        '{"a":' * 300_000,
        '"' * 1_000_000,
        "kubectl port-forward svc/web 80; " * 2_500,
        "".join(f"kubectl port-forward svc/web-{n} 80\n" for n in range(2_500)),
        "KUBECONFIG=x\n" * 30_000,
        "cat <<E\nkubectl port-forward svc/x 80\n" * 2_500,
        "".join(f"alias a{n}=b\n" for n in range(4_000)) + "a1 port-forward 'a b' 80\n" * 1_000,
        "".join(f"kubectl port-forward svc/$X{n} 80\n" for n in range(2_500)),
        "sh -c \"kubectl port-forward svc/x $(sh -c 'kubectl port-forward x 1')\"\n" * 1_000,
        "- kubectl port-forward svc/x 80\n" * 2_500,
        '[["kubectl","port-forward",' * 20_000,
        "a b: kubectl port-forward svc/x 80\n" * 2_500,
        "NS=x " * 100_000 + "\nkubectl port-forward svc/$NS 80",
        "kubectl port-forward svc/x 80 \\\n" * 30_000,
        "<<A " * 100_000 + "\nkubectl port-forward svc/x 80\nA\n",
        "".join(f"kubectl port-forward web-{n}\n" for n in range(2_500)),
    ],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_import_takes_bounded_time_and_memory(text: str) -> None:
    started = time.process_time()
    try:
        notes = remarks(text)
    except NothingToImportError as error:
        notes = [error.message]
        assert len(error.hint) < 3_000  # noqa: PT017
    assert time.process_time() - started < _MAX_CPU_S
    assert len(notes) <= 2_001
    assert max(map(len, notes), default=0) <= 500


def test_long_line_is_skipped_with_its_number() -> None:
    good = "kubectl port-forward svc/web 80"
    result = import_forwards(f"{good}\n{good}0 {'x' * 20_000}\n{good}1")
    assert [one.target.port for one in result.specs] == ["80", "801"]
    assert [describe_remark(one) for one in result.left_out] == [
        "line 2: left out: the line is longer than 16384 characters"
    ]


@pytest.mark.parametrize("name", ["docker", "pip", "ld"])
def test_import_of_a_name_whose_variables_are_protected_is_valid(name: str) -> None:
    specs = import_forwards(f"kubectl port-forward svc/{name} 5432\n").specs
    text = serialize_profile(specs, FILE)
    (forward,) = parse_profile(text, FILE).forwards
    assert forward.env == f"FORWARD_{name.upper()}"
    assert serialize_profile(specs, FILE, text) == text
