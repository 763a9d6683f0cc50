from __future__ import annotations

import pytest

from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.pasted_text import MAX_LENGTH, read_paste

OPTIONS = ReadOptions(context="here", namespace="shop")
WEB = ["here|shop/svc/web:80 8080"]
COMMAND = "kubectl port-forward svc/web 8080:80"


@pytest.mark.parametrize(
    ("text", "found", "left_out"),
    [
        (f"{COMMAND} &\nsleep 5", WEB, []),
        (f"{COMMAND} & sleep 5", WEB, []),
        (f"{COMMAND} || true", WEB, []),
        (f"{COMMAND} 2>&1 | tee pf.log", WEB, []),
        (f"({COMMAND} &)", WEB, []),
        (f"while true; do {COMMAND}; done", WEB, []),
        (f"@{COMMAND}", WEB, []),
        (f"`{COMMAND}`", WEB, []),
        (f"```sh\n{COMMAND}\n```", WEB, []),
        ("export POD=$(kubectl get pods -l app=x -o name)\nkubectl port-forward $POD 8080:80",
         ["here|shop/-l app=x:80 8080"], []),
        (f"kubectl config use-context lab && {COMMAND}", ["lab|shop/svc/web:80 8080"], []),
        (COMMAND.replace(" ", "\u00a0"), WEB, []),
        ("kubectl port-forward \u2013n data svc/web 8080:80", ["here|data/svc/web:80 8080"], []),
        (f"user@host:~$ {COMMAND}", WEB, []),
        (f"\u276f {COMMAND}", WEB, []),
        (f"# {COMMAND}", WEB, []),
        (f"PS C:\\> {COMMAND}", WEB, []),
        ("minikube kubectl -- port-forward svc/web 8080:80",
         ["minikube|shop/svc/web:80 8080"], []),
        (f"microk8s {COMMAND}", ["microk8s|shop/svc/web:80 8080"], []),
        (f"{COMMAND} --kubeconfig ~/.kube/lab", [], ["kubeconfig"]),
        (f"alias pf='{COMMAND}'", WEB, []),
        (f"watch -n5 {COMMAND}", WEB, []),
        (f"$ {COMMAND}\nForwarding from 127.0.0.1:8080 -> 80\nForwarding from [::1]:8080 -> 80",
         WEB, []),
        ("http://localhost:8080", [], []),
        (f"{COMMAND} -v6", WEB, []),
        ("oc port-forward rc/web 8080:80", ["here|shop/rc/web:80 8080"], []),
        ("kubectl port-forward service/web 8080:http --address 0.0.0.0",
         ["here|shop/svc/web:http 8080"], []),
        (f"kubectl port-forward -n $NS svc/web 8080:80\n{COMMAND}", WEB, ["variable"]),
        ("kubectl port-forward \\\r\n  svc/web \\\r  8080:80", WEB, []),
        ("kubectl port-forward \\\r\r  svc/web 8080:80 &\r\rsleep 1\r\r", WEB, []),
        ("kubectl port-forward ^\n svc/web 8080:80", WEB, []),
        ('{"scripts": {"pf": "kubectl port-forward svc/web 8080:80"}}', WEB, []),
        ('["kubectl", "port-forward", "svc/web", "8080:80"]', WEB, []),
    ],
)  # fmt: skip
def test_pastes(text: str, found: list[str], left_out: list[str]) -> None:
    for bare in (False, True):
        result = read_paste(text, OPTIONS, bare=bare)
        assert [
            f"{one.target.context}|{one.target} {one.local_port}" for one in result.specs
        ] == found
        if not (bare and not found and not left_out):  # read as arguments instead
            assert [str(one.code) for one in result.left_out] == left_out
        assert not any(one.name for one in result.specs)


@pytest.mark.parametrize(
    ("text", "found", "left_out"),
    [
        ("svc/web 8080:80", WEB, 0),
        ("port-forward svc/web 8080:80", WEB, 0),
        ("svc/web 8080:80 -n data\n\nsts/db 5432 # sql\n",
         ["here|data/svc/web:80 8080", "here|shop/sts/db:5432 None"], 0),
        ("svc/web 8080:80 &\nnonsense\n", WEB, 1),
        ("-l app=web :80", ["here|shop/-l app=web:80 0"], 0),
        ("http://localhost:8080", [], 1),
    ],
)  # fmt: skip
def test_arguments_without_a_command(text: str, found: list[str], left_out: int) -> None:
    result = read_paste(text, OPTIONS, bare=True)
    assert [f"{one.target.context}|{one.target} {one.local_port}" for one in result.specs] == found
    assert len(result.left_out) == left_out
    assert not read_paste(text, OPTIONS).specs


def test_long_paste_is_refused() -> None:
    result = read_paste(f"{COMMAND}\n" * MAX_LENGTH, OPTIONS)
    assert (len(result.specs), len(result.left_out)) == (0, 1)
