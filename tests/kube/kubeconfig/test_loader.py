from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

import pytest

from tests.common.yaml_bombs import BOMBS, MAX_CPU_S, MAX_NODES, SLOW
from tests.kube.kubeconfigs import kubeconfig, write
from tui_forward.common import bounded_yaml
from tui_forward.errors import ConfigError
from tui_forward.kube.kubeconfig import schema
from tui_forward.kube.kubeconfig.loader import Kubeconfig, load_merged
from tui_forward.kube.kubeconfig.source import IN_CLUSTER, KubeconfigSource

SECRET = "hunter2-hunter2-hunter2"
KEY = "aHVudGVyMi1odW50ZXIyLWh1bnRlcjI="  # base64 of it

FULL = """\
apiVersion: v1
kind: Config
current-context: dev
preferences: {colors: true}
clusters:
- name: dev
  cluster:
    server: https://dev.example:6443/prefix
    certificate-authority: pki/ca.crt
    tls-server-name: kubernetes
    proxy-url: socks5://proxy:1080
    extensions:
    - name: client.authentication.k8s.io/exec
      extension: {audience: dev}
- name: open
  cluster: {server: "http://open:8080", insecure-skip-tls-verify: true}
contexts:
- name: dev
  context: {cluster: dev, user: dev, namespace: shop}
- name: open
  context: {cluster: open}
users:
- name: dev
  user:
    client-certificate: pki/dev.crt
    client-key: /abs/dev.key
    tokenFile: token
    as: jane
    as-uid: "7"
    as-groups: [ops, dev]
    as-user-extra: {reason: [audit, test]}
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: ./bin/login
      args: [--cluster, dev]
      env: [{name: A, value: "1"}]
      interactiveMode: Never
      provideClusterInfo: true
      installHint: |
        Get it from the shelf
    auth-provider:
      name: gcp
      config: {expiry: 2026-01-01T00:00:00Z, access-token: abc}
"""


def load(path: Path, text: str) -> Kubeconfig:
    path.write_text(text)
    return load_merged((path,))


def test_all_fields_of_kubectl_are_read(config_path: Path) -> None:
    config = load(config_path, FULL)
    login = config.resolve()
    folder = config_path.parent
    assert (login.context, login.namespace) == ("dev", "shop")
    assert login.cluster.server == "https://dev.example:6443/prefix"
    assert login.cluster.ca_file == str(folder / "pki/ca.crt")
    assert login.cluster.tls_server_name == "kubernetes"
    assert login.cluster.exec_config == {"audience": "dev"}
    user = login.user
    assert user.certificate_file == str(folder / "pki/dev.crt")
    assert user.key_file == "/abs/dev.key"
    assert user.token_file == str(folder / "token")
    assert (user.impersonate_user, user.impersonate_uid) == ("jane", "7")
    assert user.impersonate_groups == ("ops", "dev")
    assert user.impersonate_extra == (("reason", ("audit", "test")),)
    assert user.exec is not None
    assert user.exec.command == str(folder / "bin/login")
    assert user.exec.install_hint == "Get it from the shelf"
    assert user.auth_provider is not None
    # An unquoted date is a string.
    assert dict(user.auth_provider.config)["expiry"] == "2026-01-01T00:00:00Z"
    assert config.resolve("open").cluster.insecure
    assert config.resolve("open").user.name == ""


def test_contexts_are_listed(config_path: Path) -> None:
    load(config_path, FULL)
    source = KubeconfigSource(config_path)
    assert [(c.name, c.cluster, c.namespace, c.current) for c in source.contexts()] == [
        ("dev", "dev", "shop", True),
        ("open", "open", "default", False),
    ]
    chosen = KubeconfigSource(config_path, context="open")
    assert [c.current for c in chosen.contexts()] == [False, True]
    assert chosen.context_name() == "open"


def test_contexts_that_cannot_be_used_have_a_problem(config_path: Path) -> None:
    load(
        config_path,
        "contexts:\n"
        "- {name: good, context: {cluster: a, user: me}}\n"
        "- {name: anonymous, context: {cluster: a}}\n"
        "- {name: lonely, context: {cluster: gone, user: me}}\n"
        "- {name: unknown, context: {cluster: a, user: gone}}\n"
        "- {name: open, context: {cluster: plain, user: gone}}\n"
        "clusters:\n- {name: a, cluster: {server: 'https://a'}}\n"
        "- {name: plain, cluster: {server: 'http://a'}}\n"
        "users: [{name: me, user: {token: x}}]\n",
    )
    problems = {one.name: one.problem for one in KubeconfigSource(config_path).contexts()}
    assert [name for name, problem in problems.items() if problem] == ["lonely", "unknown"]
    assert 'the cluster "gone", which is not in' in problems["lonely"]
    assert 'the user "gone" of this context is not in' in problems["unknown"]


def test_first_file_wins_and_paths_are_relative_to_their_file(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    (one / "config").write_text(
        "contexts:\n- {name: a, context: {cluster: a, user: a}}\n"
        "clusters:\n- {name: a, cluster: {server: 'https://one'}}\n"
    )
    (two / "config").write_text(
        "current-context: a\n"
        "contexts:\n- {name: a, context: {cluster: b, user: b}}\n"
        "- {name: b, context: {cluster: b}}\n"
        "clusters:\n- {name: a, cluster: {server: 'https://two'}}\n"
        "- {name: b, cluster: {server: 'https://two', certificate-authority: ca}}\n"
        "users:\n- {name: a, user: {tokenFile: token}}\n"
    )
    listed = os.pathsep.join([str(one / "config"), str(tmp_path / "none"), str(two / "config")])
    source = KubeconfigSource(environ={"KUBECONFIG": listed + os.pathsep})
    login = source.kubeconfig().resolve()
    assert login.cluster.server == "https://one"
    assert login.user.token_file == str(two / "token")
    assert source.kubeconfig().resolve("b").cluster.ca_file == str(two / "ca")


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("clusters:\n- name: a\n  cluster: [\n", 4, "not valid YAML"),
        ("a: b: c\n", 1, "not valid YAML"),
        ("clusters:\n- name: a\n  cluster:\n    server: 5\n", 4, "server"),
        ("users:\n- name: a\n  user: {}\n- name: b\n  user:\n    token: 12345\n", 6, "token"),
        ("users: 7\n", 1, "users"),
        ("- a\n", 1, "object"),
        ("contexts:\n- context: {}\n- name: ''\n", 3, "name"),
        ("users:\n- name: a\n  user:\n    exec: {command: x, args: [1]}\n", 4, "args"),
    ],
)
def test_invalid_file_is_reported_with_its_line(
    config_path: Path, text: str, line: int, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(config_path, text)
    assert f"{config_path}, line {line}" in str(caught.value)
    assert expected in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        f"users:\n- name: a\n  user:\n    token: {SECRET}\n   password: {SECRET}\n",
        f"users:\n- name: a\n  user: {{token: [{SECRET}]}}\n",
        f"users: {SECRET}\n",
        f"{SECRET}: [{SECRET}\n",
        f'users:\n- name: a\n  user:\n    token: "{SECRET}\n',
        f"users:\n- name: a\n  user: !!{SECRET} x\n",
        f"users:\n- name: a\n  user: *{SECRET}\n",
    ],
)
def test_errors_do_not_quote_secrets(config_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(config_path, text)
    assert SECRET not in caught.value.message.removeprefix(str(config_path))
    assert SECRET not in caught.value.hint
    assert caught.value.__cause__ is None


def test_repr_shows_no_secret(config_path: Path) -> None:
    user = {
        "token": SECRET,
        "password": SECRET,
        "client-key-data": KEY,
        "auth-provider": {"name": "oidc", "config": {"refresh-token": SECRET}},
        "exec": {"command": "x", "env": [{"name": "A", "value": SECRET}], "args": [SECRET]},
    }
    cluster = {"proxy-url": f"http://me:{SECRET}@proxy"}
    write(config_path, kubeconfig("https://x", user=user, cluster=cluster))
    login = load_merged((config_path,)).resolve()
    for shown in (repr(login), repr(load_merged((config_path,)))):
        assert SECRET not in shown
        assert KEY not in shown


def test_unknown_context_suggests_similar_names(config_path: Path) -> None:
    load(config_path, FULL)
    with pytest.raises(ConfigError, match='no context "devv"') as caught:
        KubeconfigSource(config_path).context_name("devv")
    assert 'Did you mean "dev"' in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        KubeconfigSource(config_path).context_name("zzz")
    assert '"dev", "open"' in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "there is no context"),
        ("contexts:\n- {name: a, context: {cluster: x}}\n", "has no current context"),
        ("current-context: a\ncontexts:\n- {name: a, context: {cluster: x}}\n", 'cluster "x"'),
    ],
)
def test_incomplete_context_is_a_config_error(config_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        load(config_path, text).resolve()
    assert caught.value.hint


def test_explicit_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist") as caught:
        KubeconfigSource(tmp_path / "none").contexts()
    assert "--kubeconfig" in caught.value.hint
    listed = {"KUBECONFIG": str(tmp_path / "none")}
    with pytest.raises(ConfigError, match="names no file that exists"):
        KubeconfigSource(environ=listed).contexts()


def test_missing_kubeconfig_names_the_default_path(own_home: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.kube/config") as caught:
        KubeconfigSource(environ={}).contexts()
    assert "tui-forward demo" in caught.value.hint
    (own_home / ".kube").mkdir()
    write(own_home / ".kube" / "config", kubeconfig("https://x"))
    assert KubeconfigSource(environ={}).context_name() == "test"


def test_folder_or_unreadable_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        load_merged((tmp_path,))
    path = tmp_path / "secret"
    path.write_text("x")

    def refuse(*_: object) -> bytes:  # root may read everything, so no mode would do
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(schema, "read_bounded", refuse)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_merged((path,))


def account(tmp_path: Path) -> Path:
    folder = tmp_path / "account"
    folder.mkdir()
    (folder / "token").write_text("in-cluster-token\n")
    (folder / "namespace").write_text("apps")
    (folder / "ca.crt").write_text("pem")
    return folder


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_pod_uses_its_service_account(tmp_path: Path, host: str, server: str) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    folder = account(tmp_path)
    source = KubeconfigSource(environ=environ, service_account=folder)
    login = source.kubeconfig().resolve()
    assert login.context == IN_CLUSTER
    assert login.namespace == "apps"
    assert login.cluster.server == server
    assert login.user.token_file == str(folder / "token")
    assert source.contexts()[0].current


def test_kubeconfig_precedes_the_service_account(tmp_path: Path) -> None:
    environ = {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBECONFIG": str(write(tmp_path / "config", kubeconfig("https://x"))),
    }
    source = KubeconfigSource(environ=environ, service_account=account(tmp_path))
    assert source.context_name() == "test"


@pytest.mark.parametrize(
    ("text", "current"),
    [
        (None, IN_CLUSTER),
        ("", IN_CLUSTER),
        ("contexts:\n- {name: a, context: {cluster: x}}\n", IN_CLUSTER),
        ("current-context: a\ncontexts:\n- {name: a, context: {cluster: x}}\n", "a"),
    ],
)
def test_pod_uses_its_service_account_without_a_current_context(
    tmp_path: Path, text: str | None, current: str
) -> None:
    environ = {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBECONFIG": str(tmp_path / "config"),
        "POD_NAMESPACE": "from-pod",
    }
    if text is not None:
        (tmp_path / "config").write_text(text)
    source = KubeconfigSource(environ=environ, service_account=account(tmp_path))
    config = source.kubeconfig()
    assert config.current_context == current
    assert ("a" in config.contexts) is bool(text)
    if current == IN_CLUSTER:
        assert config.resolve().namespace == "from-pod"


def test_items_of_kubeconfig_are_taken_as_in_kubectl(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (own_home / ".kube").mkdir()
    write(own_home / ".kube" / "config", kubeconfig("https://x"))
    # Only separators: no file, and not the default one.
    assert not KubeconfigSource(environ={"KUBECONFIG": ":"}).contexts()
    assert not KubeconfigSource(environ={"KUBECONFIG": "::"}).contexts()
    # Neither ~ nor quotes are expanded.
    with pytest.raises(ConfigError, match="names no file") as caught:
        KubeconfigSource(environ={"KUBECONFIG": "~/.kube/config"}).contexts()
    assert "$HOME" in caught.value.hint
    with pytest.raises(ConfigError, match="names no file"):
        KubeconfigSource(environ={"KUBECONFIG": f'"{own_home}/.kube/config"'}).contexts()
    assert KubeconfigSource(environ={"KUBECONFIG": ""}).context_name() == "test"


def test_command_with_a_backslash_is_no_path(config_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "a\\b"}
    write(config_path, kubeconfig("https://x", user={"exec": plugin}))
    found = load_merged((config_path,)).resolve().user.exec
    assert found is not None
    assert (found.command, found.interactive_mode) == ("a\\b", "IfAvailable")


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_yaml, "MAX_NODES", MAX_NODES)
    monkeypatch.setattr(bounded_yaml, "MAX_ALIASED_NODES", MAX_NODES)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize(("text", "problem"), BOMBS.values(), ids=list(BOMBS))
@pytest.mark.parametrize("place", ["", "kind: Config\nextensions:\n- name: x\n  extension:\n    "])
def test_bombs_are_refused_with_their_position(
    tmp_path: Path, text: str, problem: str, place: str
) -> None:
    path = tmp_path / "config"
    path.write_text(place + text.replace("\n", "\n    " if place else "\n"))
    started = time.process_time()
    with pytest.raises(ConfigError, match=rf"config, line \d+, column \d+ .*{problem}") as caught:
        load_merged((path,))
    assert caught.value.hint
    assert time.process_time() - started < MAX_CPU_S


@pytest.mark.parametrize("text", SLOW.values(), ids=list(SLOW))
def test_files_are_read_in_linear_time(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(f"users:\n- name: a\n  user:\n    {text}".replace("\n", "\n    ", 3))
    started = time.process_time()
    with contextlib.suppress(ConfigError):
        load_merged((path,))
    assert time.process_time() - started < MAX_CPU_S


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("token: 1:30", "1:30"),
        ("token: 2024-01-02", "2024-01-02"),
        ("token: a\n    token: b", "b"),
        ("token: &a x\n    username: *a", "x"),
        ("<<: {token: merged}", "merged"),
        ('{\n\t"token":\t"tab"\n\t}', "tab"),
        ("token: x\r", "x"),
        ("token: x\n---\n[[[[ garbage", "x"),
        ("token: x\n...\n}}}} garbage", "x"),
    ],
)
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_what_kubectl_accepts_is_accepted(tmp_path: Path, text: str, token: str, bom: str) -> None:
    path = tmp_path / "config"
    path.write_text(f"{bom}users:\n- name: a\n  user:\n    {text}\n")
    assert load_merged((path,)).users["a"].token == token


def test_large_kubeconfig_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "config"
    items = "".join(
        f"- name: c{n}\n  cluster: {{server: 'https://h{n}', certificate-authority-data: "
        f"{'QUFB' * 400}}}\n"
        for n in range(1000)
    )
    path.write_text(f"clusters:\n{items}")
    assert len(load_merged((path,)).clusters) == 1000


def test_endless_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="too large to be a kubeconfig"):
        load_merged((path,))
