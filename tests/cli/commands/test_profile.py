from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import click.termui
import pytest

from tui_forward.cli.commands import profile as profile_commands
from tui_forward.cli.main import main
from tui_forward.common import paths

SCRIPT = """\
kubectl port-forward -n shop svc/web 8080:80 &
NS=data
kubectl port-forward -n $NS sts/db 5432
kubectl --context ${CTX} port-forward svc/api 8081:80
KUBECONFIG=./lab.yaml kubectl port-forward svc/lab 9090
"""


@pytest.fixture
def run(
    own_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[int, str, str]]:  # fmt: skip
    """Function that imports a text with options; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)

    def import_text(text: str | bytes, *options: str) -> tuple[int, str, str]:
        script = tmp_path / "script.sh"
        script.write_bytes(text if isinstance(text, bytes) else text.encode())
        code = main(["profile", "import", str(script), *options])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return import_text


Run = Callable[..., tuple[int, str, str]]


def test_import_names_what_it_leaves_out(run: Run) -> None:
    code, stdout, stderr = run(SCRIPT, "--print")
    assert code == 0
    assert "target: svc/web" in stdout
    assert not {"$NS", "CTX", "lab"} & set(stdout.split())
    assert stderr.splitlines() == [
        "line 3: left out: needs a value for NS → --set NS=data",
        "line 4: left out: needs a value for CTX → --set CTX=VALUE",
        "line 5: left out: it has its own kubeconfig, ./lab.yaml → import it with KUBECONFIG set "
        "to that file",
        "4 found, 1 imported, 3 left out",
    ]


def test_values_of_variables_are_options(run: Run) -> None:
    code, stdout, stderr = run(SCRIPT, "--print", "--set", "NS=other", "--set", "CTX=a=b")
    assert code == 0
    assert "namespace: other" in stdout
    assert "context: a=b" in stdout
    assert stderr.splitlines()[-1] == "4 found, 3 imported, 1 left out"
    for wrong in ("NS", "=x"):
        assert run(SCRIPT, "--set", wrong)[0] == 2


def test_values_are_asked_for_at_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_commands, "can_ask", lambda: True)
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return {0: "", 1: "lab"}[len(prompts) - 1]  # the first one accepts the suggestion

    monkeypatch.setattr(click.termui, "visible_prompt_func", answer)
    code, stdout, stderr = run(SCRIPT, "--print")
    assert code == 0
    assert len(prompts) == 2
    assert "namespace: data" in stdout
    assert "context: lab" in stdout
    assert stderr.splitlines()[-1] == "4 found, 3 imported, 1 left out"


def test_answers_can_leave_out_a_value(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_commands, "can_ask", lambda: True)
    answers = iter(["-", ""])
    monkeypatch.setattr(click.termui, "visible_prompt_func", lambda _prompt: next(answers))
    code, _, stderr = run(SCRIPT, "--print")
    assert code == 0
    assert stderr.splitlines()[-1] == "4 found, 1 imported, 3 left out"


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, EOFError])
def test_question_can_be_declined(
    run: Run, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    monkeypatch.setattr(profile_commands, "can_ask", lambda: True)

    def decline(_prompt: str) -> str:
        raise interrupt

    monkeypatch.setattr(click.termui, "visible_prompt_func", decline)
    code, stdout, stderr = run(SCRIPT, "--print")
    assert code == 0
    assert "svc/web" in stdout
    assert stderr.splitlines()[-1] == "4 found, 1 imported, 3 left out"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("kubectl port-forward svc/$X 80\n", "1 found, 0 imported, 1 left out: nothing could be"),
        ("echo hello\n", "no forward found"),
        ("", "no forward found"),
    ],
)
def test_exit_code_is_1_if_nothing_can_be_imported(run: Run, text: str, error: str) -> None:
    code, stdout, stderr = run(text)
    assert (code, stdout) == (1, "")
    assert error in stderr
    assert not paths.profiles_dir().exists()


def test_kubeconfig_in_use_is_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "./lab.yaml")
    code, stdout, _ = run(SCRIPT, "--print")
    assert code == 0
    assert "target: svc/lab" in stdout


def test_file_of_another_encoding_is_written_as_a_profile(run: Run) -> None:
    text = "# für Übung – “x”\nkubectl port-forward -n shop svc/web 8080:80\n"
    for encoding in ("cp1252", "utf-16", "utf-8-sig"):
        assert run(text.encode(encoding), "--name", encoding)[0] == 0
        written = (paths.profiles_dir() / f"{encoding}.yaml").read_text("utf-8")
        assert "target: svc/web" in written


def test_import_from_stdin(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(SCRIPT.encode("utf-16")))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["profile", "import", "-", "--print"]) == 0
    assert "svc/web" in capsys.readouterr().out


def test_options_of_commands_are_kept(run: Run) -> None:
    code, stdout, stderr = run(
        "kubectl --as x port-forward svc/web 8080:80\n"
        "kubectl --token t0ken-of-bob port-forward svc/db 5432\n"
        "kubectl --insecure-skip-tls-verify port-forward svc/api 8081:80\n",
        "--print",
    )
    assert code == 0
    assert "    access:\n      as: x\n" in stdout
    assert "line 2: left out: it has a secret, --token" in stderr
    assert "api DOES NOT VERIFY THE CERTIFICATE of the API server" in stderr
    assert "t0ken" not in stdout + stderr
