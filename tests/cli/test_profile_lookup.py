"""The trust question of the command line, asked about profiles of an attacker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui_forward.cli import profile_lookup
from tui_forward.cli.main import main
from tui_forward.common import paths
from tui_forward.errors import TuiForwardError, UsageError

GOOD = "forwards: {web: {target: svc/web, port: 80}}\n"
EVIL = """\
context: prod
forwards:
  web: {target: svc/web, port: 80, local: 8080, address: 0.0.0.0, env: DATABASE, label: x}
"""


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the profile of a cloned repository, which is the current folder."""
    tree = tmp_path / "tree"
    (tree / ".git").mkdir(parents=True)
    monkeypatch.chdir(tree)
    monkeypatch.setattr(profile_lookup, "can_ask", lambda: True)
    path = tree / ".tui-forward.yaml"
    path.write_text(EVIL)
    return path


def test_question_shows_everything(
    team: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(profile_lookup, "ask", lambda *_, **__: False)
    monkeypatch.setenv("KUBECONFIG", "/evil/\x1b[2Jconfig")
    with pytest.raises(TuiForwardError, match="not trusted"):
        profile_lookup.find_trusted_profile("tree", yes=False)
    shown = capsys.readouterr().err
    assert f"{team} is not trusted, or has changed: it is outside your profile folder." in shown
    for text in (
        r"kubeconfig /evil/\x1b[2Jconfig", "svc/web:80", "context prod", "port 8080", "label x",
        "DATABASE_HOST, DATABASE_PORT, DATABASE_URL",
    ):  # fmt: skip
        assert text in shown
    assert shown.splitlines()[-1] == "web is OPEN TO OTHER MACHINES on 0.0.0.0"


def test_path_cannot_act_on_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "a\x1b[2J\u202egnp\nyour own profile\x9b"
    (tree / ".git").mkdir(parents=True)
    (tree / ".tui-forward.yaml").write_text(GOOD)
    monkeypatch.chdir(tree)
    for can_ask in (True, False):
        monkeypatch.setattr(profile_lookup, "can_ask", lambda can_ask=can_ask: can_ask)
        monkeypatch.setattr(profile_lookup, "ask", lambda *_, **__: False)
        assert main(["up", str(tree / ".tui-forward.yaml")]) in (1, 2)
        shown = capsys.readouterr().err
        assert shown.replace("\n", "").isprintable()
        assert r"a\x1b[2J\u202egnp\nyour own profile\x9b" in shown


def test_content_that_was_shown_is_used(team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker replaces the file while the question is open, and after it."""
    team.write_text(GOOD)

    def replace_file(*_: object, **__: object) -> bool:
        team.write_text(EVIL)
        return True

    monkeypatch.setattr(profile_lookup, "ask", replace_file)
    profile = profile_lookup.find_trusted_profile("tree", yes=False)
    assert profile.forwards[0].spec.addresses == ("localhost",)
    monkeypatch.setattr(profile_lookup, "can_ask", lambda: False)
    with pytest.raises(UsageError, match="is not trusted, or has changed"):
        profile_lookup.find_trusted_profile("tree", yes=False)
    team.write_text(GOOD)
    assert profile_lookup.find_trusted_profile("tree", yes=False) == profile


def test_link_to_a_repository_in_the_own_folder_is_asked_about(
    team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = paths.profiles_dir() / "shop.yaml"
    link.parent.mkdir(parents=True)
    link.symlink_to(team)
    monkeypatch.setattr(profile_lookup, "can_ask", lambda: False)
    with pytest.raises(UsageError, match="is a link to a file outside your profile folder"):
        profile_lookup.find_trusted_profile("shop", yes=False)
    assert profile_lookup.find_trusted_profile("shop", yes=True).name == "shop"
    assert profile_lookup.find_trusted_profile("shop", yes=False).name == "shop"
    team.write_text(GOOD)  # `git pull`
    with pytest.raises(UsageError, match="is not trusted, or has changed"):
        profile_lookup.find_trusted_profile("shop", yes=False)


def test_own_file_is_not_asked_about() -> None:
    path = paths.profiles_dir() / "shop.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(GOOD)
    assert profile_lookup.find_trusted_profile("shop", yes=False).name == "shop"


# Environment of `run` ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "started"), [([], False), (["--override-env"], True)], ids=["refused", "allowed"]
)
def test_variable_of_the_user_is_not_replaced_silently(
    options: list[str], started: bool, team: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("DATABASE_URL", "postgres://production")
    calls: list[object] = []

    async def fake_run(*arguments: object, **_: object) -> int:
        calls.append(arguments)
        return 0

    monkeypatch.setattr("tui_forward.cli.commands.run._run", fake_run)
    code = main(["run", "tree", "--yes", *options, "--", "true"])
    assert bool(calls) is started
    assert code == (0 if started else 2)
    if not started:
        shown = capsys.readouterr().err
        assert "DATABASE_URL is set in your environment, and tree would replace it" in shown
        assert "--override-env" in shown


def test_import_says_that_other_machines_can_reach_a_forward(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.sh"
    script.write_text("kubectl port-forward -n shop --address 0.0.0.0 svc/web 8080:80\n")
    assert main(["profile", "import", str(script)]) == 0
    assert "web is OPEN TO OTHER MACHINES on 0.0.0.0" in capsys.readouterr().err
    written = (paths.profiles_dir() / "script.yaml").read_text()
    assert "# OPEN TO OTHER MACHINES" in written
