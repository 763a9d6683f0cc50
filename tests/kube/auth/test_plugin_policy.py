"""kubectl's policy for credential plugins; kubectl 1.37 behaves so in each of these cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_forward.errors import ConfigError
from tui_forward.kube.auth.plugin_policy import load_policy

BETA = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"
DENY = BETA + "credentialPluginPolicy: DenyAll\n"
LIST = BETA + "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: "


@pytest.fixture
def kuberc(tmp_path: Path) -> Path:
    return tmp_path / "kuberc"


def denies(kuberc: Path, text: str, **environ: str) -> bool:
    kuberc.write_text(text)
    return load_policy({"KUBERC": str(kuberc), **environ}).denies_all


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        (DENY, {}, True),
        (DENY, {"KUBECTL_KUBERC": "0"}, True),
        (DENY, {"KUBECTL_KUBERC": "FALSE"}, False),
        ("", {}, False),
        (DENY.replace("v1beta1", "v1alpha1"), {}, False),
        (BETA + "credentialPluginPolcy: DenyAll\n", {}, False),
        (BETA + "credentialPluginPolicy: AllowAll\n", {}, False),
        (DENY + "credentialPluginPolicy: AllowAll\n", {}, False),
        (BETA + "---\n" + DENY, {}, False),
        ("kind: x\napiVersion: foo/v1\n---\n" + DENY, {}, True),
        (DENY + "---\n}}}\n", {}, True),
        ("foo: 1\n--- # next\n" + DENY, {}, True),
        ("- a\n---\n" + DENY, {}, True),
        ("{{{\n---\n" + DENY, {}, True),
        ("---\n" + DENY, {}, True),
    ],
)
def test_policy_of_the_first_valid_document(
    kuberc: Path, text: str, environ: dict[str, str], *, expected: bool
) -> None:
    assert denies(kuberc, text, **environ) is expected


@pytest.mark.parametrize(
    "text",
    [
        "{{{",
        DENY.replace("Preference", "Other"),
        BETA + "credentialPluginPolicy: 5\n",
        BETA + "credentialPluginPolicy: denyall\n",
        BETA + "credentialPluginPolicy: AllowAll\ncredentialPluginAllowlist: [{command: p}]\n",
        BETA + "credentialPluginAllowlist: [{command: p}]\n",
        LIST + "[]\n",
        LIST + "null\n",
        LIST + "[{}]\n",
        LIST + "[{command: p, name: q}]\n",
        LIST + "[{name: ./p}]\n",
        LIST + "[{command: //bin/p}]\n",
        LIST + "[{command: /bin/p/}]\n",
    ],
)
def test_invalid_policy_is_an_error(kuberc: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=str(kuberc)) as caught:
        denies(kuberc, text)
    assert caught.value.hint


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none"):
        load_policy({"KUBERC": str(tmp_path / "none")})
    assert not load_policy({"KUBERC": "off", "HOME": str(tmp_path)}).denies_all


def test_default_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environ = {"HOME": str(tmp_path)}
    assert not load_policy(environ).denies_all
    assert not caplog.text
    (tmp_path / ".kube").mkdir()
    default = tmp_path / ".kube" / "kuberc"
    default.write_text(DENY)
    assert load_policy(environ).denies_all
    assert load_policy({**environ, "KUBERC": ""}).denies_all
    default.write_text("{{{")
    assert not load_policy(environ).denies_all
    assert str(default) in caplog.text
    default.write_text(BETA + "credentialPluginPolicy: x\n")
    with pytest.raises(ConfigError, match=str(default)):
        load_policy(environ)


@pytest.mark.parametrize(
    ("entry", "command", "allowed"),
    [
        ("p", "p", True),
        ("{first}/p", "p", True),
        ("{second}/p", "p", False),
        ("p", "{first}/p", True),
        ("p", "{second}/p", False),
        ("{second}/p", "{second}/p", True),
        ("{second}/p", "{second}/../second/p", True),
        ("first/p", "{first}/p", False),
        ("*", "p", False),
        ("q", "p", False),
    ],
)
def test_allowlist(
    tmp_path: Path, kuberc: Path, entry: str, command: str, *, allowed: bool
) -> None:
    folders = {}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        plugin = tmp_path / name / "p"
        plugin.write_text("#!/bin/sh\n")
        plugin.chmod(0o700)
        folders[name] = str(tmp_path / name)
    path = f"{folders['first']}:{folders['second']}"
    kuberc.write_text(f"{LIST}[{{command: '{entry.format(**folders)}'}}]\n")
    command = command.format(**folders)
    executable = command if "/" in command else f"{folders['first']}/{command}"
    refusal = load_policy({"KUBERC": str(kuberc)}).refusal(command, executable, path)
    assert (not refusal) is allowed
    assert allowed or str(kuberc) in refusal
