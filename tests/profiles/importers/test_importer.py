"""Texts of the field with the forwards in them, and what is left out, each with its line."""

# ruff: noqa: E501 - texts as they are found

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.findings import RemarkCode, describe_remark
from tui_forward.profiles.importers.import_result import ImportResult
from tui_forward.profiles.importers.importer import (
    NothingToImportError,
    import_forwards,
)
from tui_forward.profiles.importers.own_kubeconfig import own_kubeconfig_test
from tui_forward.profiles.parser import parse_profile
from tui_forward.profiles.serializer import serialize_profile


class Case(NamedTuple):
    """A text, its forwards as `LINE [CONTEXT|]NAMESPACE/TARGET LOCAL`, and what is left out."""

    name: str
    text: str
    found: list[str]
    left_out: list[tuple[int, str]] = []  # line and code  # noqa: RUF012
    notes: list[tuple[int, str]] = []  # noqa: RUF012


MAKEFILE = """\
.PHONY: pf graf db
pf:
\t@kubectl port-forward -n shop svc/web 8080:80
graf:
\t-@kubectl -n mon port-forward svc/grafana 3000:80
db:
\t$(KUBECTL) port-forward -n data sts/db 15432:5432
plain:
\tkubectl port-forward -n shop svc/api 8081:80
"""
AFTER_COMMAND = """\
kubectl port-forward -n shop svc/web 8080:80 & sleep 5
kubectl port-forward -n shop svc/api 8081:80 >/dev/null 2>&1 & PF_PID=$!
kubectl port-forward -n shop svc/auth 8082:80 > pf.log 2>&1 & echo $! > pf.pid
kubectl port-forward -n shop svc/cart 8083:80 || true
kubectl port-forward -n shop svc/log 8084:80 2>&1 | grep -v "Handling connection"
while true; do kubectl port-forward -n data svc/redis 6379:6379; sleep 1; done
until kubectl port-forward -n data sts/db 5432:5432; do sleep 1; done
"""
SUBSHELLS = """\
(kubectl port-forward service/registry 8082:8080) & PID1=$!
(kubectl port-forward service/idp 8083:8080 &)
{ kubectl port-forward service/mail 8025:8025; } &
"""
VARIABLES = """\
NAMESPACE=shop
kubectl port-forward -n "$NAMESPACE" svc/web 8080:80
kubectl --context ${CTX} port-forward svc/api 8081:80
kubectl port-forward -n $(NS) svc/make 8082:80
kubectl port-forward --namespace {{ .Release.Namespace }} svc/helm 8083:80
kubectl port-forward -n <namespace> svc/doc 8084:80
"""
PACKAGE_JSON = """\
{
  "name": "shop",
  "scripts": {
    "pf:web": "kubectl port-forward -n shop service/web 8080:80",
    "pf:es": "kubectl port-forward service/es-http 9200"
  }
}
"""
TASKS_JSON = """\
{
  // of an editor
  "version": "2.0.0",
  "tasks": [
    {"label": "pf", "type": "shell", "command": "kubectl port-forward -n shop svc/web 8080:80"},
    {"label": "pf2", "command": "kubectl", "args": ["port-forward", "deployment/api", "5678:5678"]},
    {"label": "pf3", "command": "kubectl", "args": [
      "port-forward", {"value": "svc/x", "quoting": "strong"}, "90:90",
      "-n", "${input:ns}",
    ]},
  ],
}
"""
MARKDOWN = """\
Open the UI with `kubectl port-forward -n shop svc/web 8080:80` and log in.

```console
$ kubectl port-forward -n mon svc/grafana 3000:80
Forwarding from 127.0.0.1:3000 -> 80
```
> kubectl port-forward svc/quote 8090:80
1. kubectl port-forward svc/numbered 8091:80
"""
KFTRAY = """\
[
  {"alias": "one", "service": "web", "namespace": "shop", "local_port": 18080, "remote_port": 80,
   "context": "east", "kubeconfig": "/home/me/east.yaml", "workload_type": "service"},
  {"alias": "lo", "service": "db", "namespace": "data", "local_port": 5432, "remote_port": 5432,
   "context": "east", "local_address": "127.0.0.5"},
  {"alias": "lo2", "service": "db2", "namespace": "data", "local_port": 5432, "remote_port": 5432,
   "context": "east", "local_address": "127.0.0.6"},
  {"alias": "pod", "target": "app=nginx,tier=front", "namespace": "shop", "local_port": 8090,
   "remote_port": 80, "context": "east", "workload_type": "pod", "kubeconfig": "default"}
]
"""
OTHER_KUBECONFIG = """\
KUBECONFIG=./lab.yaml kubectl port-forward -n mon svc/one 8080:80
export KUBECONFIG=$PWD/tf/.kubeconfig && kubectl port-forward -n mon svc/two 8081:80 &
export KUBECONFIG=/home/me/prod.yaml
kubectl port-forward -n mon svc/three 8082:80
"""
WEB = "1 shop/svc/web:80 8080"
COMMAND = "kubectl port-forward -n shop svc/web 8080:80"
CASES = [
    # Shell text ---------------------------------------------------------------------------
    Case("marks of make", MAKEFILE,
         ["3 shop/svc/web:80 8080", "5 mon/svc/grafana:80 3000", "7 data/sts/db:5432 15432",
          "9 shop/svc/api:80 8081"], [], [(7, "program")]),
    Case("program of make", "KUBECTL ?= kubectl --context lab\npf:\n\t$(KUBECTL) port-forward "
         "-n shop svc/web 8080:80\n", ["3 lab|shop/svc/web:80 8080"]),
    Case("program with another kubeconfig", "KUBECTL = kubectl --kubeconfig=lab\npf:\n\t@$(KUBECTL)"
         " port-forward -n shop svc/web 8080:80\n", [], [(3, "kubeconfig")]),
    Case("what follows on the line", AFTER_COMMAND,
         ["1 shop/svc/web:80 8080", "2 shop/svc/api:80 8081", "3 shop/svc/auth:80 8082",
          "4 shop/svc/cart:80 8083", "5 shop/svc/log:80 8084", "6 data/svc/redis:6379 6379",
          "7 data/sts/db:5432 5432"]),
    Case("subshells", SUBSHELLS, ["1 /svc/registry:8080 8082", "2 /svc/idp:8080 8083",
                                  "3 /svc/mail:8025 8025"]),
    Case("continuations", "kubectl port-forward \\\n  -n shop \\\n  svc/web 8080:80 \\\n"
         "  > /dev/null &\necho\n", [WEB]),
    Case("continuation with CR LF", "kubectl \\\r\n  port-forward -n shop \\\r\n svc/web 8080:80\r\n"
         "kubectl port-forward x/y 1\r\n", [WEB], [(4, "invalid")]),
    Case("continuation with CR", "kubectl port-forward -n shop \\\rsvc/web 8080:80\r", [WEB]),
    Case("blank behind the backslash", "kubectl port-forward -n shop \\ \n svc/web 8080:80", [WEB]),
    Case("second prompts", "$ kubectl port-forward \\\n> -n shop \\\n> svc/web 8080:80\n", [WEB]),
    Case("continued comment", "# kubectl port-forward \\\n#   -n shop svc/web 8080:80\n", [WEB]),
    Case("function", "pf() {\n  kubectl port-forward -n shop svc/web 8080:80 \"$@\"\n}\n",
         ["2 shop/svc/web:80 8080"]),
    Case("function of one line", "pf() { kubectl port-forward -n shop svc/web 8080:80; }", [WEB]),
    Case("trap and test", "trap 'kill 0' EXIT; [ -z \"$X\" ] && kubectl port-forward -n shop svc/web"
         " 8080:80 & wait", [WEB]),
    Case("shell -c", f"bash -lc \"{COMMAND} & sleep 1\"", [WEB]),
    Case("quotes within quotes", f"sh -c 'bash -c \"{COMMAND}\"'", [WEB]),
    Case("quotes over lines", f"bash -c '\n  {COMMAND} &\n  wait\n'", ["2 shop/svc/web:80 8080"]),
    Case("quoted words", "'kubectl' port-forward -n'shop' \"svc/\"web '8080':80", [WEB]),
    Case("wrappers", f"FOO=1 nohup timeout -k 5 30 env BAR=2 /usr/bin/{COMMAND}", [WEB], [],
         [(1, "environment"), (1, "environment")]),
    Case("alias", f"alias pf='{COMMAND}'", [WEB]),
    Case("alias of kubectl", "alias kp='kubectl --context prod'\nkp port-forward -n shop svc/web "
         "8080:80", ["2 prod|shop/svc/web:80 8080"]),
    Case("tmux", f"tmux new-session -d -s pf '{COMMAND}'\ntmux send-keys -t pf "
         "\"kubectl port-forward -n shop svc/api 8081:80\" C-m\n",
         [WEB, "2 shop/svc/api:80 8081"]),
    Case("several programs", "concurrently \"npm start\" \"" + COMMAND + "\"", [WEB]),
    Case("history", f"  501  {COMMAND}\n: 1700000000:0;{COMMAND}\n  502  [2024-01-01] {COMMAND}\n",
         [WEB]),
    Case("several ports", "kubectl port-forward -n shop svc/web 8080:80 9090 :http", [
        WEB, "1 shop/svc/web:9090 None", "1 shop/svc/web:http 0"]),
    Case("heredoc that is run", f"bash <<EOF\n{COMMAND}\nEOF\n", ["2 shop/svc/web:80 8080"]),
    Case("heredoc that is shown", f"cat <<EOF\n  {COMMAND}\nEOF\nkubectl port-forward svc/b 1:2\n",
         ["4 /svc/b:2 1"], [(2, "in_comment")]),
    Case("only a heredoc that is shown", f"cat > pf.sh <<-'EOF'\n\t{COMMAND}\n\tEOF\n",
         ["2 shop/svc/web:80 8080"]),
    Case("kubeconfig in a heredoc", "cat <<K\nKUBECONFIG=x\ncontexts:\n- name: ci\nK\n" + COMMAND,
         ["6 shop/svc/web:80 8080"]),
    Case("heredoc without end", f"cat <<EOF\n{COMMAND}\n", ["2 shop/svc/web:80 8080"]),
    Case("PowerShell", "$env:FOO = 'x'\nkubectl port-forward `\n  -n shop `\n  svc/web 8080:80\n"
         "& \"C:\\Program Files\\kubectl.exe\" port-forward svc/a 1:2\n"
         "Start-Job { kubectl port-forward svc/b 3:4 }\n"
         "Start-Process kubectl -ArgumentList 'port-forward','svc/c','5:6' -NoNewWindow\n"
         "Start-Process -FilePath kubectl.exe -ArgumentList \"port-forward svc/d 7:8\"\n",
         ["2 shop/svc/web:80 8080", "5 /svc/a:2 1", "6 /svc/b:4 3", "7 /svc/c:6 5",
          "8 /svc/d:8 7"]),
    Case("cmd", "@echo off\nREM kubectl port-forward svc/rem 1:1\nstart \"\" /b kubectl port-forward"
         " ^\n  -n shop svc/web 8080:80\nC:\\tools\\kubectl.exe port-forward svc/a 1:2 >nul 2>&1\n"
         "kubectl port-forward -n %NS% svc/b 3:4\n",
         ["3 shop/svc/web:80 8080", "5 /svc/a:2 1"], [(2, "in_comment"), (6, "variable")]),
    Case("Justfile", "ns := 'shop'\npf:\n    @kubectl port-forward -n shop svc/web 8080:80\n"
         "db:\n    kubectl -n {{ns}} port-forward sts/db 5432\n",
         ["3 shop/svc/web:80 8080"], [(5, "variable")]),
    Case("Dockerfile", 'CMD ["kubectl", "port-forward", "-n", "shop", "svc/web", "8080:80"]', [WEB]),
    Case("Python", 'subprocess.Popen(["kubectl", "port-forward", "-n", "shop", "svc/web", '
         '"8080:80"])\nrun(["kubectl", "port-forward", f"svc/{name}", "1:2"])\n',
         [WEB], [(2, "variable")]),
    Case("Go", 'exec.Command("kubectl", "port-forward", "-n", "shop", "svc/web", "8080:80")', [WEB]),
    Case("apostrophes", f"Don't forget: `{COMMAND}` isn't started", [WEB]),
    Case("quote that is not closed", f"echo \"oops\n{COMMAND}\n\"\n", ["2 shop/svc/web:80 8080"]),
    Case("sentence", f"To look at it, run {COMMAND}, then open it.", [WEB], [],
         [(1, "trailing_text")]),
    Case("HTML", "<pre><code>kubectl port-forward -n shop svc/web 8080:80 &amp;&amp; x</code></pre>",
         [WEB]),
    Case("minikube", "minikube -p lab kubectl -- port-forward -n shop svc/web 8080:80",
         ["1 lab|shop/svc/web:80 8080"]),
    Case("microk8s", "microk8s kubectl port-forward -n shop svc/web 8080:80",
         ["1 microk8s|shop/svc/web:80 8080"]),
    Case("own command", "tui-forward forward --context lab -n shop svc/web 8080:80",
         ["1 lab|shop/svc/web:80 8080"]),
    # Variables and placeholders -------------------------------------------------------------
    Case("variables", VARIABLES, [], [(line, "variable") for line in range(2, 7)]),
    Case("variable beside good lines", f"{COMMAND}\nkubectl port-forward svc/$X 1:2\n",
         [WEB], [(2, "variable")]),
    Case("loop", "for p in 1 2; do kubectl port-forward svc/web $p:80; done", [], [(1, "variable")]),
    Case("placeholders", "kubectl port-forward <pod name> 1:2\nkubectl port-forward svc/{name} 1:2\n"
         "kubectl port-forward svc/x ${PORT:-8080}:80\nkubectl port-forward -n ${{ inputs.ns }} "
         "svc/y 1:2\nkubectl port-forward POD_NAME 1:2\n", [],
         [(1, "variable"), (2, "variable"), (3, "variable"), (4, "variable"), (5, "invalid")]),
    Case("pod of a selector", "export POD=$(kubectl get pods -n shop -l \"app=web,x=y\" -o "
         "jsonpath=\"{.items[0].metadata.name}\")\nkubectl -n shop port-forward $POD 8080:80\n",
         ["2 shop/-l app=web,x=y:80 8080"], [], [(2, "pod_of_selector")]),
    Case("pod of a selector in place", "kubectl port-forward $(kubectl get po -l app=web -o name) "
         "8080:80", ["1 /-l app=web:80 8080"], [], [(1, "pod_of_selector")]),
    Case("other substitution", "kubectl port-forward $(head -1 pods) 8080:80", [],
         [(1, "variable")]),
    # Wrong cluster --------------------------------------------------------------------------
    Case("own kubeconfig", OTHER_KUBECONFIG, [], [(1, "kubeconfig"), (2, "kubeconfig"),
                                                  (4, "kubeconfig")]),
    Case("kubeconfig is unset", f"export KUBECONFIG=x\nunset KUBECONFIG\n{COMMAND}\n",
         ["3 shop/svc/web:80 8080"]),
    Case("default kubeconfig", f"export KUBECONFIG=$HOME/.kube/config\n{COMMAND} --kubeconfig "
         "~/.kube/config\n", ["2 shop/svc/web:80 8080"]),
    Case("kubeconfig of fish, PowerShell, cmd", f"set -gx KUBECONFIG /x\n{COMMAND}1\n"
         f"unset KUBECONFIG\n{COMMAND}2\n$env:KUBECONFIG = 'C:\\x'\n{COMMAND}3\nset KUBECONFIG=\n"
         f"{COMMAND}4\nset KUBECONFIG=C:\\x\n{COMMAND}5\n",
         ["4 shop/svc/web:802 8080", "8 shop/svc/web:804 0"],
         [(2, "kubeconfig"), (6, "kubeconfig"), (10, "kubeconfig")]),
    Case("kubeconfig of one recipe", f"a:\n\texport KUBECONFIG=x && {COMMAND}1\nb:\n\t{COMMAND}\n",
         ["4 shop/svc/web:80 8080"], [(2, "kubeconfig")]),
    Case("kubeconfig of the Makefile", f"export KUBECONFIG := $(PWD)/x\npf:\n\t{COMMAND}\n", [],
         [(3, "kubeconfig")]),
    Case("options of access", f"{COMMAND} --token=abc\n{COMMAND} --cluster x\n{COMMAND} --user=y\n",
         ["2 shop/svc/web:80 8080", "3 shop/svc/web:80 0"], [(1, "secret_option")]),
    Case("other machine", f"ssh bastion {COMMAND}\nssh -t host \"{COMMAND}\"\ndocker run -it "
         "bitnami/kubectl port-forward svc/x 1:2\nkubectl exec -it box -- kubectl port-forward "
         f"svc/y 1:2\nssh host <<E\n{COMMAND}\nE\n", [],
         [(line, "other_machine") for line in (1, 2, 3, 4, 6)]),
    Case("context of a line before", f"kubectl config use-context lab && {COMMAND}1\n{COMMAND}2\n"
         f"{COMMAND}3 --context east\nkubectx west\n{COMMAND}4\n",
         ["1 lab|shop/svc/web:801 8080", "2 lab|shop/svc/web:802 0",
          "3 east|shop/svc/web:803 0", "5 west|shop/svc/web:804 0"]),
    Case("context in a variable", f"kubectl config use-context $C\n{COMMAND}\n", [],
         [(2, "variable")]),
    Case("namespace of a line before", "kubens shop\nkubectl port-forward svc/web 8080:80\n"
         "kubectl config set-context --current --namespace=data\nkubectl port-forward db-0 5432\n",
         ["2 shop/svc/web:80 8080", "4 data/pod/db-0:5432 None"]),
    # Formats --------------------------------------------------------------------------------
    Case("package.json", PACKAGE_JSON, ["4 shop/svc/web:80 8080", "5 /svc/es-http:9200 None"]),
    Case("package.json of one line", json.dumps(json.loads(PACKAGE_JSON)),
         ["1 shop/svc/web:80 8080", "1 /svc/es-http:9200 None"]),
    Case("tasks.json", TASKS_JSON, ["5 shop/svc/web:80 8080", "6 /deploy/api:5678 5678"],
         [(7, "variable")]),
    Case("Taskfile", "version: '3'\ntasks:\n  pf:\n    cmds:\n      - kubectl port-forward -n shop "
         "svc/web 8080:80\n      - cmd: kubectl -n {{.NS}} port-forward svc/a 1:2\n      # kubectl "
         "port-forward svc/old 3:4\n", ["5 shop/svc/web:80 8080"],
         [(6, "variable"), (7, "in_comment")]),
    Case("compose", "services:\n  pf:\n    image: bitnami/kubectl:1.30\n    command: port-forward -n "
         "shop svc/web 8080:80\n  db:\n    image: x\n    entrypoint: [kubectl]\n    command:\n"
         "      - port-forward\n      - sts/db\n      - '5432'\n  lab:\n    image: bitnami/kubectl\n"
         "    environment:\n      - KUBECONFIG=/lab\n    command: [port-forward, svc/x, '1:2']\n",
         ["4 shop/svc/web:80 8080", "7 /sts/db:5432 None"], [(16, "kubeconfig")]),
    Case("workflow", "jobs:\n  e2e:\n    env: {KUBECONFIG: ./ci}\n    steps:\n      - run: kubectl "
         "port-forward svc/a 1:2 &\n  other:\n    steps:\n      - run: |\n          set -e\n"
         "          kubectl port-forward -n shop svc/web 8080:80 &\n",
         ["10 shop/svc/web:80 8080"], [(5, "kubeconfig")]),
    Case("sidecar", "kind: Pod\nspec:\n  containers:\n  - command: [kubectl]\n    args: [port-forward"
         ", -n, shop, svc/web, '8080:80']\n", ["4 shop/svc/web:80 8080"]),
    Case("Markdown", MARKDOWN, ["1 shop/svc/web:80 8080", "4 mon/svc/grafana:80 3000",
                                "7 /svc/quote:80 8090", "8 /svc/numbered:80 8091"]),
    Case("table of Markdown", f"| what | how |\n|---|---|\n| web | `{COMMAND}` |\n| b | ``kubectl "
         "port-forward svc/b 1:2`` |\n", ["3 shop/svc/web:80 8080", "4 /svc/b:2 1"]),
    Case("badge", "[![ci](https://ci.example/badge.svg)](https://ci.example)\n\n    " + COMMAND,
         ["3 shop/svc/web:80 8080"]),
    Case("template", "{{- if .Values.ui }}\nGet the URL:\n  " + COMMAND + "\n{{- end }}\n",
         ["3 shop/svc/web:80 8080"]),
    Case("test command", f"[ -n \"$1\" ] || exit 1\n{COMMAND}\n", ["2 shop/svc/web:80 8080"]),
    Case("kubeconfig as a heredoc", "cat > kc.yaml <<K\napiVersion: v1\ncontexts:\n- name: ci\n"
         f"  context: {{cluster: c, user: u}}\nK\n{COMMAND}\n", ["7 shop/svc/web:80 8080"]),
    Case("comment of a manifest", "kind: Deployment\n---\n# to look at it: kubectl port-forward -n "
         "shop deploy/web 8080:80\n", ["3 shop/deploy/web:80 8080"]),
    Case("prose like YAML", f"# notes\nkind: of a long story\n{COMMAND}\n",
         ["3 shop/svc/web:80 8080"]),
    Case("kftray", KFTRAY, ["4 east|data/svc/db:5432 5432 127.0.0.5",
                            "6 east|data/svc/db2:5432 5432 127.0.0.6",
                            "8 east|shop/-l app=nginx,tier=front:80 8090"], [(2, "kubeconfig")],
         [(4, "container_port"), (6, "container_port")]),
    Case("services", json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
         "spec": {"selector": {"a": "b"}, "ports": [
             {"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes"},
         "spec": {"ports": [{"port": 443}]}}]}, indent=1),
         ["17 shop/svc/web:8080 None"], [(21, "not_tcp"), (29, "no_pods")]),
    Case("kubefwd", "INFO Port-Forward: 127.1.27.1 web.shop:80 to pod web-5d-x:8080\n"
         "$ sudo kubefwd svc -n shop\n", ["1 shop/svc/web:80 80 127.1.27.1"],
         [(2, "whole_namespace")]),
    Case("list of arguments", "svc/web 8080:80 -n shop\n-n data sts/db 5432\nsvc/$X 1:2\n",
         [WEB, "2 data/sts/db:5432 None"], [(3, "variable")]),
    # Silent loss ----------------------------------------------------------------------------
    Case("mentions", f"{COMMAND}\ngit push origin port-forward\n# Port-Forward\nkubectl "
         "port-forward --help\nuse kubectl port-forward to reach it\n"
         "See the docs of `kubectl port-forward`.\n", [WEB],
         [(4, "invalid"), (5, "not_understood"), (6, "invalid")], [(2, "mention"), (3, "mention")]),
    Case("commands that kubectl refuses", f"{COMMAND}\nkubectl port-forward svc/web\nkubectl "
         "port-forward svc/web 99999\nkubectl port-forward cm/x 1\n", [WEB],
         [(2, "invalid"), (3, "invalid"), (4, "invalid")]),
    # Typography and terminals ----------------------------------------------------------------
    Case("no-break spaces", COMMAND.replace(" ", "\u00a0"), [WEB]),
    Case("dashes", "kubectl port\u2011forward \u2013n shop svc/web 8080:80 \u2014context lab",
         ["1 lab|shop/svc/web:80 8080"]),
    Case("quotes", "kubectl port-forward -n \u201cshop\u201d \u2018svc/web\u2019 8080:80", [WEB]),
    Case("invisible characters", "kubectl\u200b port-forward -n shop\ufeff svc/web 8080:80", [WEB]),
    Case("prompts", f"user@host:~$ {COMMAND}1\n\u276f {COMMAND}2\nPS C:\\> {COMMAND}3\n"
         f"[me@host dir]$ {COMMAND}4\nC:\\Users\\me> {COMMAND}5\n(venv) me@host % {COMMAND}6\n"
         f"me@host ~/x> {COMMAND}7\nroot@host:/# {COMMAND}8\n",
         [f"{n} shop/svc/web:80{n} {8080 if n == 1 else 0}" for n in range(1, 9)]),
    Case("colors", f"\x1b[32m$\x1b[0m {COMMAND}\x1b[0m\n", [WEB]),
]  # fmt: skip

FURTHER = [
    Case(
        "rendered notes of a chart",
        """\
1. Get the application URL by running these commands:
  export POD_NAME=$(kubectl get pods --namespace shop -l "app.kubernetes.io/name=web,app.kubernetes.io/instance=x" -o jsonpath="{.items[0].metadata.name}")
  export CONTAINER_PORT=$(kubectl get pod --namespace shop $POD_NAME -o jsonpath="{.spec.containers[0].ports[0].containerPort}")
  echo "Visit http://127.0.0.1:8080 to use your application"
  kubectl --namespace shop port-forward $POD_NAME 8080:$CONTAINER_PORT
  kubectl --namespace shop port-forward $POD_NAME 8080:80
""",
        ["6 shop/-l app.kubernetes.io/name=web,app.kubernetes.io/instance=x:80 8080"],
        [(5, "variable")],
    ),
    Case(
        "pod in place with quotes",
        "kubectl port-forward $(kubectl get pod -l app=x -n y -o jsonpath='{.items[0].metadata.name}') -n y 8080:80",
        ["1 y/-l app=x:80 8080"],
    ),
    Case(
        "unit of systemd",
        "[Service]\nEnvironment=KUBECONFIG=/x\nExecStart=/usr/local/bin/kubectl port-forward -n shop svc/web 8080:80\n",
        [],
        [(3, "kubeconfig")],
    ),
    Case(
        "unit of systemd without kubeconfig",
        "[Service]\nExecStart=/usr/local/bin/kubectl port-forward -n shop svc/web 8080:80\nRestart=always\n",
        ["2 shop/svc/web:80 8080"],
    ),
    Case(
        "supervisord",
        "[program:pf]\ncommand=kubectl port-forward -n shop svc/web 8080:80\n",
        ["2 shop/svc/web:80 8080"],
    ),
    Case("Procfile", f"web: npm start\npf: {COMMAND}\n", ["2 shop/svc/web:80 8080"]),
    Case("Tiltfile", f"local_resource('pf', serve_cmd='{COMMAND}')", [WEB]),
    Case(
        "Terraform",
        f'provisioner "local-exec" {{\n  command = "{COMMAND} &"\n}}\n',
        ["2 shop/svc/web:80 8080"],
    ),
    Case(
        "JavaScript",
        f"exec('{COMMAND}')\nspawn('kubectl', ['port-forward', 'svc/a', '1:2'])\nexec(`kubectl port-forward svc/${{name}} 3:4`)\n",
        [WEB, "2 /svc/a:2 1"],
        [(3, "variable")],
    ),
    Case(
        "fish",
        f"function pf; {COMMAND}; end\nabbr -a pa kubectl port-forward svc/a 1:2\n",
        [WEB, "2 /svc/a:2 1"],
    ),
    Case(
        "history of fish",
        f"- cmd: {COMMAND}\n  when: 1700000000\n- cmd: ls\n  when: 1700000001\n",
        [WEB],
    ),
    Case(
        "history of zsh",
        ": 1700000000:0;kubectl port-forward \\\\\n -n shop svc/web 8080:80\n",
        [WEB],
    ),
    Case(
        "case of a shell",
        f"case $1 in\n  pf) {COMMAND} ;;\n  db) exec kubectl port-forward db-0 5432;;\nesac\n",
        ["2 shop/svc/web:80 8080", "3 /pod/db-0:5432 None"],
    ),
    Case("array of a shell", f"CMD=({COMMAND})\n", [WEB]),
    Case("arguments of a function", 'pf() { kubectl port-forward "$@"; }\n', [], [(1, "variable")]),
    Case(
        "chain over lines",
        f"kubectl config use-context lab && \\\n  {COMMAND}\n",
        ["1 lab|shop/svc/web:80 8080"],
    ),
    Case(
        "kubeconfig of the user",
        f'export KUBECONFIG="${{KUBECONFIG:-$HOME/.kube/config}}"\n{COMMAND}\n',
        ["2 shop/svc/web:80 8080"],
    ),
    Case(
        "wiki",
        f"{{code:bash}}{COMMAND}{{code}}\n{{{{kubectl port-forward svc/a 1:2}}}}\n",
        [WEB, "2 /svc/a:2 1"],
    ),
    Case(
        "version in the name",
        'kubectl-1.29 port-forward -n shop svc/web 8080:80\nkubectl.exe port-forward svc/a 1:2 --context "my cluster"\n',
        [WEB, "2 my cluster|/svc/a:2 1"],
    ),
    Case(
        "wrapped in make",
        'make kubectl ARGS="port-forward svc/x 80"\n',
        [],
        [(1, "not_understood")],
    ),
    Case(
        "keys of several words",
        json.dumps({"run web": 'sh -c "' + COMMAND + '"'}),
        [WEB],
    ),
    Case(
        "GitLab CI",
        f"test:\n  variables: {{A: b}}\n  script:\n    - {COMMAND} &\n    - >\n      kubectl port-forward\n      svc/a 1:2 &\n",
        ["4 shop/svc/web:80 8080", "5 /svc/a:2 1"],
    ),
    Case(
        "Ansible",
        "- hosts: all\n  tasks:\n  - command:\n      argv: [kubectl, port-forward, -n, shop, svc/web, '8080:80']\n",
        ["4 shop/svc/web:80 8080"],
    ),
    Case("screen and wait", f"screen -dmS pf {COMMAND}\n", [WEB]),
    Case(
        "loop in a shell in the background",
        'nohup bash -c "while true; do kubectl port-forward -n shop svc/web 8080:80; done" &',
        [WEB],
    ),
    Case(
        "reStructuredText",
        f"Run ``{COMMAND}`` first::\n\n    $ kubectl port-forward svc/a 1:2\n",
        [WEB, "3 /svc/a:2 1"],
    ),
    Case(
        "launchd",
        "<array>\n<string>kubectl</string>\n<string>port-forward</string>\n</array>",
        [],
        [],
        [(3, "mention")],
    ),
    Case(
        "log of a shell", f"+ {COMMAND}\n++ kubectl port-forward svc/a 1:2\n", [WEB, "2 /svc/a:2 1"]
    ),
    Case(
        "diff", f"- {COMMAND}1\n+{COMMAND}2\n", ["1 shop/svc/web:801 8080", "2 shop/svc/web:802 0"]
    ),
    Case("CSV", f'name,command\nweb,"{COMMAND}"\n', ["2 shop/svc/web:80 8080"]),
    Case(
        "TOML",
        f'[tasks]\npf = "{COMMAND}"\npg = ["kubectl", "port-forward", "svc/a", "1:2"]\n',
        ["2 shop/svc/web:80 8080", "3 /svc/a:2 1"],
    ),
]

TOOLS = [
    ("az aks get-credentials -g rg --name lab", "lab"),
    ("az aks get-credentials --name=lab --context east", "east"),
    ("aws eks update-kubeconfig --name lab --alias east", "east"),
    ("aws eks update-kubeconfig --region x --name lab", None),
    ("gcloud container clusters get-credentials lab --zone z", None),
    ("kind create cluster", "kind-kind"),
    ("kind create cluster --name lab --wait 5m", "kind-lab"),
    ("k3d cluster create lab --agents 2", "k3d-lab"),
    ("minikube start --cpus 4", "minikube"),
    ("minikube start -p lab", "lab"),
    ("tsh kube login lab", None),
    ("oc login https://api", None),
    ("kind create cluster --name $X", None),
    ("kind load docker-image x", ""),
    ("minikube stop", ""),
]


@pytest.mark.parametrize(("command", "context"), TOOLS)
def test_context_that_another_program_has_chosen(command: str, context: str | None) -> None:
    result = import_forwards(f"set -e\n{command}\n{COMMAND} &\n")
    assert [one.target.context for one in result.specs] == ([] if context is None else [context])
    if context is None:
        (left_out,) = result.left_out
        (variable,) = left_out.variables
        values = ReadOptions(values={variable.name: "named"})
        (spec,) = import_forwards(f"{command}\n{COMMAND}", values).specs
        assert spec.target.context.endswith("named")


def describe(result: ImportResult) -> list[str]:
    lines = []
    for line, one in zip(result.lines, result.specs, strict=True):
        context = f"{one.target.context}|" if one.target.context else ""
        address = "" if one.addresses == ("localhost",) else f" {','.join(one.addresses)}"
        lines.append(f"{line} {context}{one.target} {one.local_port}{address}")
    return lines


@pytest.mark.parametrize("case", [*CASES, *FURTHER], ids=lambda case: case.name)
def test_texts_of_the_field(case: Case) -> None:
    result = import_forwards(case.text)
    assert describe(result) == case.found
    assert [(one.line, str(one.code)) for one in result.left_out] == case.left_out
    if case.notes:
        assert [(one.line, str(one.code)) for one in result.notes] == case.notes
    assert result.found == len(case.found) + len(case.left_out)
    # What is imported is a valid profile, as it is.
    if result.specs:
        file = Path("x.yaml")
        profile = parse_profile(serialize_profile(result.specs, file), file)
        assert len(profile.forwards) == len(result.specs)
        targets = [f"{one.spec.target.context}{one.spec.target}" for one in profile.forwards]
        assert not any(mark in text for text in targets for mark in "$<{%`")
    for one in (*result.left_out, *result.notes):
        assert describe_remark(one).startswith(f"line {one.line}")
        assert "abc" not in describe_remark(one), "a token is a secret"


@pytest.mark.parametrize(
    ("values", "found", "left_out"),
    [
        ({}, [], ["NAMESPACE", "CTX", "NS", "Release.Namespace", "namespace"]),
        ({"NAMESPACE": "a"}, ["2 a/svc/web:80 8080"],
         ["CTX", "NS", "Release.Namespace", "namespace"]),
        ({"NAMESPACE": "a", "CTX": "lab", "NS": "b", "Release.Namespace": "c", "namespace": "d"},
         ["2 a/svc/web:80 8080", "3 lab|/svc/api:80 8081", "4 b/svc/make:80 8082",
          "5 c/svc/helm:80 8083", "6 d/svc/doc:80 8084"], []),
    ],
)  # fmt: skip
def test_values_of_variables(values: dict[str, str], found: list[str], left_out: list[str]) -> None:
    result = import_forwards(VARIABLES, ReadOptions(values=values))
    assert describe(result) == found
    assert [one.name for one in result.variables] == left_out


def test_value_cannot_add_words() -> None:
    options = ReadOptions(values={"X": "web --context evil 1:2", "Y": "$(touch x)"})
    text = "kubectl port-forward svc/$X 8080:80\nkubectl --context $Y port-forward svc/a 80\n"
    result = import_forwards(text, options)
    assert describe(result) == ["2 $(touch x)|/svc/a:80 None"]
    assert [one.code for one in result.left_out] == [RemarkCode.INVALID]


def test_variable_is_suggested_with_the_value_of_the_text() -> None:
    result = import_forwards("NS=shop\nTOKEN_NS=x\n" + "".join(
        f"kubectl port-forward -n {name} svc/a 1:2\n"
        for name in ("$NS", "${B:-data}", "$TOKEN_NS", "$(x y)")
    ))  # fmt: skip
    assert [describe_remark(one).partition(": ")[2] for one in result.left_out] == [
        "left out: needs a value for NS → --set NS=shop",
        "left out: needs a value for B → --set B=data",
        "left out: needs a value for TOKEN_NS → --set TOKEN_NS=VALUE",
        "left out: needs a value for $(x y)",
    ]


@pytest.mark.parametrize(
    ("environ", "path", "is_own"),
    [
        ({}, "~/.kube/config", True),
        ({}, "$HOME/.kube/config", True),
        ({}, "/home/me/.kube/config", True),
        ({}, "default", True),
        ({}, "./lab.yaml", False),
        ({}, "/root/lab.yaml", False),
        ({"KUBECONFIG": "./lab.yaml"}, "./lab.yaml", True),
        ({"KUBECONFIG": "./lab.yaml"}, "lab.yaml", True),
        ({"KUBECONFIG": "./lab.yaml"}, "~/.kube/config", False),
        ({"KUBECONFIG": "/a:/b"}, "/b", True),
        ({"KUBECONFIG": "/a:/b"}, "/b:/a", True),
        ({"KUBECONFIG": "/a:/b"}, "/b:/c", False),
    ],
)
def test_kubeconfig_in_use_is_kept(environ: dict[str, str], path: str, *, is_own: bool) -> None:
    options = ReadOptions(is_own_kubeconfig=own_kubeconfig_test({"HOME": "/h", **environ}))
    entry = {"service": "a", "remote_port": 80, "context": "x", "kubeconfig": path}
    for text in (json.dumps([entry]), f"kubectl --kubeconfig={path} port-forward svc/a 80",
                 f"KUBECONFIG={path} kubectl port-forward svc/a 80",
                 f"export KUBECONFIG={path}\nkubectl port-forward svc/a 80"):  # fmt: skip
        result = import_forwards(text, options)
        assert (len(result.specs), len(result.left_out)) == ((1, 0) if is_own else (0, 1)), text


def test_context_with_another_port_of_the_same_address() -> None:
    line = "kubectl port-forward --address {} svc/{} 5432:5432"
    text = "\n".join(
        line.format(*pair)
        for pair in (("127.0.0.5", "a"), ("127.0.0.6", "b"), ("127.0.0.6", "c"), ("localhost", "d"),
                     ("::1", "e"), ("0.0.0.0", "f"))
    )  # fmt: skip
    result = import_forwards(text)
    assert [one.local_port for one in result.specs] == [5432, 5432, 0, 5432, 0, 0]
    file = Path("x.yaml")
    parse_profile(serialize_profile(result.specs, file), file)


ENCODED = "# Straße – “x”\nkubectl port-forward -n shop svc/web 8080:80\n"


@pytest.mark.parametrize(
    "content",
    [
        ENCODED.encode(),
        ENCODED.encode("utf-8-sig"),
        ENCODED.encode("utf-16"),
        ENCODED.encode("utf-16-le"),
        ENCODED.encode("utf-16-be"),
        b"\xfe\xff" + ENCODED.encode("utf-16-be"),
        ENCODED.encode("utf-32"),
        ENCODED.encode("cp1252"),
        ENCODED.replace("–", "-").replace("“x”", "x").encode("latin-1"),
        ENCODED.replace("\n", "\r\n").encode("utf-16"),
        ENCODED.replace("\n", "\r").encode(),
        ENCODED.replace(" ", "\u00a0").encode("cp1252", errors="replace"),
        b"\x00\xff\xfe" + ENCODED.encode(),
    ],
    ids=range(13),
)
def test_encodings(content: bytes) -> None:
    assert describe(import_forwards(content)) == ["2 shop/svc/web:80 8080"]


def test_file_that_no_reader_accepts_gets_the_reason_of_each() -> None:
    with pytest.raises(NothingToImportError) as raised:
        import_forwards('{"contexts": [{"name": "x"}], "scripts": {"a": "npm start"}}')
    assert raised.value.hint == (
        "kftray: no object has `remote_port` and one of `service`, `target`, `remote_address`, "
        "`workload_type`; kportal: no `contexts` with `namespaces` and `forwards`; Skaffold: no "
        "`apiVersion: skaffold/…` with `portForward`; DevSpace: no `version: v2beta1` (or another "
        "one of DevSpace) with `dev`; annotations of k9s: no Kubernetes object has an annotation of k9s; commands in JSON or YAML: no value of "
        "this JSON or YAML holds a `kubectl port-forward`; kubefwd: no line is `KIND/NAME PORT…` "
        "or output of kubefwd; commands: it mentions no `kubectl port-forward`; Kubernetes "
        "objects: no Kubernetes object declares a port"
    )


def test_every_line_that_mentions_port_forward_is_named() -> None:
    """Lines of all cases, shuffled together: each is imported or named."""
    lines = [line for case in CASES for line in case.text.split("\n")
             if "port-forward" in line and not line.rstrip().endswith(("\\", "`", "^"))
             and "\r" not in line and "<<" not in line]  # fmt: skip
    result = import_forwards("\n".join(lines))
    named = {*result.lines, *(one.line for one in (*result.left_out, *result.notes))}
    for number, line in enumerate(lines, 1):
        if number not in named:  # a repetition of another
            assert import_forwards(line).specs, line
