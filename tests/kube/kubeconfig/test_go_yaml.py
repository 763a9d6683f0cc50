"""Kubeconfig files as kubectl decodes them: what it accepts, and what the values are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kube.kubectl_peer import merged_by_kubectl, run_kubectl
from tui_forward.errors import ConfigError
from tui_forward.kube.kubeconfig.go_yaml import GoYamlError, compose, resolve, to_value
from tui_forward.kube.kubeconfig.loader import load_merged

BASE = """\
apiVersion: v1
kind: Config
clusters:
- name: c
  cluster: {server: "https://127.0.0.1:6443"}
contexts:
- name: x
  context: {cluster: c, user: u}
current-context: x
users:
- name: u
  user: {token: t}
"""


def named(name: str) -> str:
    return BASE.replace("name: x", f"name: {name}").replace("context: x", f"context: {name}")


def user(text: str) -> str:
    return BASE.replace("  user: {token: t}\n", f"  user:\n    {text}\n")


def exec_with(text: str) -> str:
    return user(f"exec:\n      apiVersion: client.authentication.k8s.io/v1\n      {text}")


ACCEPTED: dict[str, str | bytes] = {
    "anchors": BASE.replace(
        '{server: "https', '{<<: &a {insecure-skip-tls-verify: true}, server: "https'
    ),
    "arn": named('"arn:aws:eks:eu-west-1:123456789012:cluster/blue"'),
    "bom": BASE.encode("utf-8-sig"),
    "case": BASE.replace("cluster: {server", "Cluster: {server"),
    "crlf": BASE.replace("\n", "\r\n"),
    "dangling": "clusters: []\ncontexts: []\nusers: []\ncurrent-context: gone\n",
    "date": named("2024-01-02"),
    "dup": BASE + "current-context: x\n",
    "empty": "",
    "comment": "# nothing\n",
    "null": "null\n",
    "emptyns": BASE.replace("user: u}", 'user: u, namespace: ""}'),
    "envmis": exec_with("command: aws\n      env:\n      - name: A\n      value: b"),
    "equals": user("token: ="),
    "minikube": BASE.replace(
        "6443\"}", "6443\", extensions: [{name: minikube.sigs.k8s.io/x, extension: {provider: p}}]}"
    ),
    "noname": BASE + "- user: {token: z}\n",
    "nullexec": BASE.replace("{token: t}", "{token: t, exec: null, auth-provider: null}"),
    "nulls": "clusters: null\ncontexts: null\nusers: null\ncurrent-context: ''\npreferences: {}\n",
    "prefs": BASE + "preferences: null\nextensions: []\n",
    "sexagesimal": named("12:34:56"),
    "special": named('"Prod [EU] (primary) \\u65e5\\u672c"'),
    "twodocs": BASE + "---\napiVersion: v1\nkind: Config\n",
    "trailing": BASE + "---\n",
    "garbage behind": BASE + "...\n}}}} [[[\n",
    "empty first document": "---\n---\nusers: 5\n",
    "utf16": BASE.encode("utf-16"),
    "ver": user("token: 1.5.2"),
    "null items": BASE + "- null\n",
    "null arguments": exec_with("command: x\n      args: [null]\n      env: [null]"),
    "json": '{"apiVersion":"v1",\n\t"kind":"Config",\n\t"users":[]\n}\n',
    "no kind": BASE.replace("apiVersion: v1\nkind: Config\n", ""),
    "version /v1": BASE.replace("apiVersion: v1", "apiVersion: /v1"),
    "set tag": BASE.replace("users:", "users: !!set"),
    "unknown tag": user("token: !foo 5"),
    "string tag": user("token: !!str 5"),
    "anchor twice": user("token: &a x\n    username: &a z\n    password: *a"),
    "duplicate of a wrong type": BASE.replace("users:\n", "users: 5\nusers:\n"),
    "data of line breaks": user('client-certificate-data: "\\n\\r\\n"'),
    "data in lines": user("client-key-data: |\n      YQ=\n      ="),
    "data with other last bits": user("client-key-data: YR=="),
    "unnamed extension": BASE + "extensions:\n- extension: 3\n",
    "slash behind a backslash": 'other: "a\\\\/b"\n',
    "booleans": BASE.replace("6443\"}", "6443\", insecure-skip-tls-verify: yes}"),
}  # fmt: skip

# A part of our message each. Only what stands in a file is refused here, whatever context is used.
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "argint": (exec_with("command: aws\n      args: [--port, 443]"), "users[0].user.exec.args"),
    "exp": (named("1e3"), "contexts[0].name"),
    "hex": (user("token: 0x1F"), "users[0].user.token"),
    "no": (named("no"), "contexts[0].name"),
    "number": (named("1234"), "contexts[0].name"),
    "octal": (named("0o17"), "contexts[0].name"),
    "under": (named("1_000"), "contexts[0].name"),
    "tab": (BASE.replace("- name: c", "-\tname: c"), "not valid YAML"),
    "tabs.json": ('{"clusters":[{"cluster":{"server":"https:\\/\\/x"}}]}', "not valid YAML"),
    "env value": (
        exec_with("command: x\n      env: [{name: A, value: Y}]"),
        "users[0].user.exec.env[0].value",
    ),
    "quoted bool": (
        BASE.replace('6443"}', '6443", insecure-skip-tls-verify: "true"}'),
        "clusters[0].cluster.insecure-skip-tls-verify",
    ),
    "unused entry": (BASE + "- name: other\n  user: {token: 5}\n", "users[1].user.token"),
    "list": ("- a\n", "object"),
    "scalar": ("foo\n", "object"),
    "kind": (BASE.replace("Config", "Pod"), "at kind"),
    "version": (BASE.replace("apiVersion: v1", "apiVersion: v2"), "at apiVersion"),
    "version number": (BASE.replace("apiVersion: v1", "apiVersion: 1"), "at apiVersion"),
    "two names": (BASE + "- name: u\n  user: {token: s3cret}\n", "users[1]: the name"),
    "two without name": (BASE + "- user: {}\n- {}\n", "users[2]: the name"),
    "two extensions": (
        BASE + "extensions:\n- {name: a, extension: 1}\n- {name: a, extension: 2}\n",
        "extensions[1]: the name",
    ),
    "preferences": (BASE + "preferences: {colors: s3cret}\n", "at preferences.colors"),
    "infinite": (BASE + "other: .inf\n", "infinite"),
    "key of null": (BASE + "other: {null: 1}\n", "key"),
    "key of a list": (BASE + "other: {[a]: 1}\n", "key"),
    "merged text": (user("<<: s3cret"), "`<<`"),
    "wrong tag": (user("token: !!int s3cret"), "!!int"),
    "binary": (user("token: !!binary '*s3cret'"), "!!binary"),
    "data of a space": (user('client-certificate-data: " "'), "users[0].user.client-cert"),
    "data with a space": (user('client-key-data: "YQ= ="'), "users[0].user.client-key-data"),
    "data folded": (
        user("client-key-data: >\n      YWJj\n      YWJj"),
        "users[0].user.client-key-data",
    ),
    "data without padding": (user("client-key-data: YQ"), "users[0].user.client-key-data"),
    "data for URLs": (user("client-key-data: _-_-"), "users[0].user.client-key-data"),
    "control character": (BASE + "other: \x7f\n", "not valid YAML"),
    "bad UTF-8": (BASE.encode() + b"other: \xff\n", "not valid YAML"),
    "escaped slash in UTF-16": ('\n"a\\/s3cret": 1\n'.encode("utf-16"), "not valid YAML"),
    "YAML 1.2": ("%YAML 1.2\n---\n" + BASE, "not valid YAML"),
}

SCALARS = """\
12345 1e3 1_000 0x1F 0o17 0777 089 .5 1. . .5.1 1.5.2 true True yes Yes off OFF y Y n N on null ~
1:30 12:34:56 2024-01-02 2001-12-14t21:59:43.10-05:00 - + -1 +1 1e999 0x 0b1 -0b11 0o 0_8 1.e3 .e3
+.5 -.5 -0 00 18446744073709551615 18446744073709551616 0xfffffffffffffffff -9223372036854775808
9223372036854775808 -9223372036854775809 1__2_ -_1 _1 = << tRUE nULL yEs !!str%5 !!float%5 !!int%7
!!bool%yes !!timestamp%2001-01-01 !!null%~ !!binary%dG9r !foo%5 '5' "5" "" 1e-3 .1e1 0x_1F 0b_1
12e03 -2e+2
""".split()  # noqa: SIM905 - a list of as many lines is no better to read


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_file(tmp_path: Path, name: str) -> None:
    load_merged((written(tmp_path / "config", ACCEPTED[name]),))


@pytest.mark.parametrize("name", REFUSED)
def test_refused_file_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    content, problem = REFUSED[name]
    path = written(tmp_path / "config", content)
    with pytest.raises(ConfigError) as caught:
        load_merged((path,))
    assert problem in caught.value.message
    assert "s3cret" not in caught.value.message + caught.value.hint
    assert f"{path}, line " in caught.value.message


@pytest.mark.kubectl
def test_kubectl_accepts_these_files(tmp_path: Path) -> None:
    files = enumerate(ACCEPTED.values())
    names = [written(tmp_path / str(index), content).name for index, content in files]
    ours = load_merged(tuple(tmp_path / name for name in names))
    listed = ":".join(names)
    theirs = merged_by_kubectl(tmp_path, {"KUBECONFIG": listed})
    assert {one["name"] for one in theirs["contexts"]} == {*ours.contexts}
    assert {one["name"] for one in theirs["users"]} == {*ours.users}
    tokens = {one["name"]: one["user"].get("token", "") for one in theirs["users"]}
    assert tokens == {name: entry.token for name, entry in ours.users.items()}
    assert theirs["current-context"] == ours.current_context


@pytest.mark.kubectl
@pytest.mark.any_python
@pytest.mark.parametrize("name", REFUSED)
def test_kubectl_refuses_these_files(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "config", REFUSED[name][0])
    done = run_kubectl(tmp_path, {}, "config", "view", "--kubeconfig", str(path))
    assert done.returncode != 0


def scalars_document() -> str:
    values = "".join(f"    - {text.replace('%', ' ')}\n" for text in SCALARS)
    more = "    - &m {a: 1, b: 1}\n    - {<<: *m, b: 2}\n    - {b: 2, <<: *m}\n"
    more += "    - {<<: [{a: 1}, {a: 2, b: 2}], c: 3}\n    - {1: a, yes: b, 1.5: c, 0x10: d}\n"
    return f"extensions:\n- name: e\n  extension:\n    values:\n{values}{more}"


@pytest.mark.kubectl
def test_values_are_those_of_kubectl(tmp_path: Path) -> None:
    path = written(tmp_path / "config", scalars_document())
    theirs: Any = merged_by_kubectl(tmp_path, {"KUBECONFIG": str(path)})
    node = compose(path.read_bytes())
    assert node is not None
    ours: Any = to_value(node)
    expected = theirs["extensions"][0]["extension"]["values"]
    found = ours["extensions"][0]["extension"]["values"]
    for text, one, other in zip(SCALARS, found, expected, strict=False):
        # JSON has one kind of numbers; this one is beyond the integers of 64 bits.
        other = float(other) if isinstance(one, float) else other
        assert (isinstance(one, bool), one) == (isinstance(other, bool), other), text
    assert found[len(SCALARS) :] == expected[len(SCALARS) :]


@pytest.mark.parametrize("text", [".inf", "-.Inf", ".nan"])
def test_numbers_that_are_no_json(text: str) -> None:
    assert isinstance(resolve(text), float)
    node = compose(f"a: {text}".encode())
    assert node is not None
    with pytest.raises(GoYamlError) as caught:
        to_value(node)
    assert (caught.value.line, caught.value.column) == (1, 4)
