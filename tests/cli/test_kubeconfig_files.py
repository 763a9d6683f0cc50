"""What is wrong with each file of the kubeconfig."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_forward.cli.kubeconfig_files import context_choice, describe_file

CONTEXTS = """\
contexts:
- {name: a, context: {cluster: c, user: u}}
- {name: b, context: {cluster: c, user: u}}
"""


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (None, "file not found"),
        ("", "no contexts, current-context is empty"),
        (CONTEXTS, "2 contexts, current-context is empty"),
        (f"{CONTEXTS}current-context: ''\n", "2 contexts, current-context is empty"),
        (f"{CONTEXTS}current-context: a\n", "2 contexts, current-context is a"),
        (f"{CONTEXTS}current-context: x\n",
         "2 contexts, current-context is x, which it does not have"),
    ],
)  # fmt: skip
def test_state_of_a_file(text: str | None, state: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    assert describe_file(path) == state


def test_invalid_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("contexts: [\n")
    assert "the kubeconfig config, line " in describe_file(path)
    assert str(tmp_path) not in describe_file(path)
    assert "folder" in describe_file(tmp_path)


def test_files_of_the_environment_or_of_the_option(tmp_path: Path, own_home: Path) -> None:
    old, new = tmp_path / "old", own_home / "new"
    new.write_text(CONTEXTS)
    value = f"{old}:{new}"
    choice = context_choice("why", None, None, {"KUBECONFIG": value})
    assert choice.source == f"KUBECONFIG={value}"
    assert [(one.path, one.state) for one in choice.files] == [
        (str(old), "file not found"), ("~/new", "2 contexts, current-context is empty"),
    ]  # fmt: skip
    old.write_text(CONTEXTS)
    assert choice.read_again is not None
    assert [one.state for one in choice.read_again().files] == [choice.files[1].state] * 2
    option = context_choice("why", "", str(new), {"KUBECONFIG": value})
    assert (option.source, [one.path for one in option.files]) == ("--kubeconfig", ["~/new"])
    default = context_choice("why", "", None, {})
    assert [one.path for one in default.files] == ["~/.kube/config"]
