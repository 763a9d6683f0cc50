"""Completion in real shells: TAB and Enter pass a candidate on as it is, or not at all."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_forward.cli import shell_completion
from tui_forward.cli.main import cli
from tui_forward.cli.shell_completion import (
    BashLine,
    SafeBashComplete,
    SafeFishComplete,
    SafeZshComplete,
)

pytestmark = pytest.mark.timeout(180)

ATTACK = "touch PWNED"
# Typed text, and the name that completes it.
COMPLETED = {
    "c0": f"c0;{ATTACK};",
    "c1": f"c1$({ATTACK})`{ATTACK}`",
    "c2": f"c2 a & {ATTACK} | 'b' \"c\" \\ # ~ ! *",
    "arn:aws:e": "arn:aws:eks:eu-1:12:cluster/prod",
    "c3": "c3-ü,漢",
    "team": "team prod (eu)",
    "it": "it's",
    "q": 'q"`$',
    "http": "http-alt",
}
ARN = COMPLETED["arn:aws:e"]
TEAM = COMPLETED["team"]
# What is typed before TAB, and the arguments that the program gets.
WRITTEN = {
    "--context 'team p": ["--context", TEAM],
    "--context=team\\ p": [f"--context={TEAM}"],
    '--context="team p': [f"--context={TEAM}"],
    '"--context=team p': [f"--context={TEAM}"],
    "--context te'am p": ["--context", TEAM],
    '--context "it': ["--context", "it's"],
    "--context 'q": ["--context", 'q"`$'],
    '--context "q': ["--context", 'q"`$'],
    "--context=arn:aws:e": [f"--context={ARN}"],
    '--context="arn:aws:e': [f"--context={ARN}"],
    "--context arn\\:aws:e": ["--context", ARN],
    f"--context {ARN} -n team\\ p": ["--context", ARN, "-n", TEAM],
    f"--context='{TEAM}' -n 'arn:aws:e": [f"--context={TEAM}", "-n", ARN],
    "forward svc/web 8080:http": ["forward", "svc/web", "8080:http-alt"],
    "forward svc/web :http": ["forward", "svc/web", ":http-alt"],
    'forward svc/web "8080:http': ["forward", "svc/web", "8080:http-alt"],
}
DROPPED = {
    "d0": f"d0\n{ATTACK}\n", "d1": "d1\x1b[2J", "d2": "d2\u202egnp", "d3": "d3\x9b31m",
    "d4": "d4\u200b", "d5": f"d5\r{ATTACK}\r", "d6": "d6\x00", "d7": "d7\udcff",
    "-": "--kubeconfig=/evil",
}  # fmt: skip
# The program: it completes by the real code, with these names, and else records its arguments. The
# real code is imported once, by a server that forks for each request.
PROGRAM = f"""\
#!/bin/sh
if [ -z "$_TUI_FORWARD_COMPLETE" ]; then
    printf '%s\\0' "$@" >> "$HOME/log"
    printf '\\n' >> "$HOME/log"
elif [ -e "$HOME/broken" ]; then
    echo NOISE >&2
    read -r line
    echo "NOISE $line" >&2
    exit 1
else
    exec {sys.executable} -I -S "$HOME/client.py"
fi
"""
CLIENT = """\
import os, socket, sys
os.chdir(os.environ["HOME"])
with socket.socket(socket.AF_UNIX) as server:
    server.connect("socket")
    server.sendall(b"\\0".join(b"=".join(pair) for pair in os.environb.items()))
    server.shutdown(socket.SHUT_WR)
    while data := server.recv(65536):
        os.write(1, data)
"""
SERVER = f"""\
import os, pathlib, socket, sys
from tui_forward.cli import completers, main, shell_completion
import tui_forward.cli.commands.forward
names = {[*COMPLETED.values(), *DROPPED.values()]!r}
completers._query_session = lambda *_: names
with socket.socket(socket.AF_UNIX) as server:
    server.bind("socket")
    server.listen()
    pathlib.Path("listening").write_text("\\n")
    while True:
        client, _ = server.accept()
        if os.fork() == 0:
            with client.makefile("rb") as request:
                pairs = request.read().split(b"\\0")
            os.environb.clear()
            os.environb.update(pair.split(b"=", 1) for pair in pairs)
            os.dup2(client.fileno(), 1)
            try:
                main.main()
            finally:
                sys.stdout.flush()
                os._exit(0)
        client.close()
        os.wait()
"""
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}


class Shell:
    """An interactive shell on a terminal."""

    def __init__(self, home: Path, command: list[str]) -> None:
        self._log = home / "log"
        master, follower = pty.openpty()
        self.master = master
        # The shell opens the terminal by its name, so that it controls the session.
        start = 'tty=$1; shift; exec "$@" <"$tty" >"$tty" 2>&1'
        self.process = subprocess.Popen(
            ["sh", "-c", start, "sh", os.ttyname(follower), *command], cwd=home,
            start_new_session=True, stdin=subprocess.DEVNULL,
            env={
                "HOME": str(home), "PATH": f"{home}/bin:{os.environ['PATH']}", "TERM": "dumb",
                "LANG": "C.UTF-8", "PYTHONPATH": os.getcwd(),  # noqa: PTH109 - of the project
                "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home),
            },
        )  # fmt: skip
        self.follower = follower  # open until the shell has it, too
        self.output = b""

    def send(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for_file(self, path: Path, lines: int) -> list[str]:
        """Read what the shell prints until a file has a number of lines; return them."""
        deadline = time.monotonic() + 60
        while True:
            readable, _, _ = select.select([self.master], [], [], 0.05)
            if readable:
                self.output += os.read(self.master, 65536)
            found = path.read_text().split("\n")[:-1] if path.exists() else []
            if len(found) >= lines:
                return found
            assert time.monotonic() < deadline, self.output.decode(errors="replace")

    def arguments(self, typed: str) -> list[str]:
        """Type text, and return the arguments that the program gets."""
        count = len(self._log.read_text().split("\n")) if self._log.exists() else 1
        self.send(typed)
        return self.wait_for_file(self._log, count)[-1].split("\0")[:-1]


@contextmanager
def running_shell(name: str, home: Path) -> Iterator[Shell]:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    home.mkdir(exist_ok=True)
    (home / "bin").mkdir()
    (home / "bin" / "tui-forward").write_text(PROGRAM)
    (home / "bin" / "tui-forward").chmod(0o755)
    (home / "client.py").write_text(CLIENT)
    (home / "server.py").write_text(SERVER)
    done = CliRunner().invoke(cli, ["completion", name])
    (home / "completion").write_text(done.stdout)
    server = subprocess.Popen(
        [sys.executable, "server.py"], cwd=home, stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": os.getcwd()},  # noqa: PTH109
    )  # fmt: skip
    shell = Shell(home, [program, *SHELLS[name][1:]])
    try:
        shell.wait_for_file(home / "listening", 1)
        load = ". ./completion"
        if name == "zsh":
            load = f"autoload -U compinit; compinit -D; {load}"
        shell.send(f"{load}; echo > ready\r")
        shell.wait_for_file(home / "ready", 1)
        yield shell
    finally:
        for process in (shell.process, server):
            process.kill()
            process.wait()
        os.close(shell.master)
        os.close(shell.follower)


@pytest.mark.shells
@pytest.mark.parametrize("name", list(SHELLS))
def test_tab_and_enter_run_nothing_but_the_program(name: str, tmp_path: Path) -> None:
    with running_shell(name, tmp_path) as shell:
        for typed, expected in COMPLETED.items():
            assert shell.arguments(f"tui-forward --context {typed}\t\r") == ["--context", expected]
        for typed in ("d0", "d1"):
            assert shell.arguments(f"tui-forward --context {typed}\t\r") == ["--context", typed]
        assert shell.arguments("tui-forward --context=c1\t\r") == [f"--context={COMPLETED['c1']}"]
        for typed, words in WRITTEN.items():
            assert shell.arguments(f"tui-forward {typed}\t\r") == words
        if name == "bash":
            # A quotation mark in which a name cannot be written.
            assert shell.arguments("tui-forward --context 'it\t'\r") == ["--context", "it"]
            assert shell.arguments("tui-forward --context c2\\ a\t\r")[-1] == COMPLETED["c2"]
        # A program that fails, reads from the terminal, or is no longer there.
        (tmp_path / "broken").touch()
        shell.output = b""
        assert shell.arguments("tui-forward --context c0\t\r") == ["--context", "c0"]
        program = tmp_path / "bin" / "tui-forward"
        program.rename(program.with_name("moved"))
        shell.send("tui-forward --context c0\t")
        shell.send("\x15echo > end\r")
        shell.wait_for_file(tmp_path / "end", 1)
        assert b"NOISE" not in shell.output
        assert b"not found" not in shell.output
        assert b"No such file" not in shell.output
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("cls", [SafeBashComplete, SafeZshComplete, SafeFishComplete])
def test_only_printable_names_are_offered(
    cls: type[SafeBashComplete | SafeZshComplete | SafeFishComplete],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [*COMPLETED.values(), *DROPPED.values()]
    monkeypatch.setattr("tui_forward.cli.completers._query_session", lambda *_: names)
    for typed in ("", *COMPLETED, *DROPPED):
        # The command line as each shell passes it.
        line = f"tui-forward --context {typed}"
        words = {"bash": typed, "zsh": "2", "fish": typed}
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", words[cls.name])
        lines = cls(cli, {}, "tui-forward", "X").complete().split("\n")
        assert all(line.replace("\t", "").isprintable() for line in lines)
        assert not any("/evil" in line for line in lines)
        offered = [line.partition(",")[2] or line for line in lines if line not in ("plain", "_")]
        if typed in COMPLETED:
            assert len(offered) == 1
        elif typed and typed != "-":
            assert offered in ([""], [])


def test_completer_that_does_not_end_ends_without_a_word(tmp_path: Path) -> None:
    code = """
import time
from tui_forward.cli import completers, main, sessions
completers._TIMEOUT_S = completers._GRACE_S = 0.1
sessions.local_session = lambda *_, **__: time.sleep(600)
raise SystemExit(main.main())
"""
    line = "tui-forward --context "
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": os.getcwd(),  # noqa: PTH109
        "COMP_WORDS": line, "COMP_CWORD": "", "_TUI_FORWARD_COMPLETE": "bash_complete",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


_TEXT = st.text(st.sampled_from("ab c$`\\\"'!:=(*\t~ü"), max_size=8)


@settings(max_examples=40)
@given(st.lists(st.tuples(_TEXT, _TEXT, st.sampled_from(["", "'", '"'])), min_size=1, max_size=12))
def test_bash_reads_a_completed_word_as_it_is(cases: list[tuple[str, str, str]]) -> None:
    """Complete words of which a first part is written in some quoting; bash reads them back."""
    lines, expected = [], []
    for first, rest, quote in cases:
        word = f"{first}{rest}"
        written = {
            "": "".join(f"\\{letter}" for letter in first),
            "'": "'" + first.replace("'", "'\\''"),
            '"': '"' + "".join(f"\\{one}" if one in '"\\$`' else one for one in first),
        }[quote]
        if first.endswith("'") and quote == "'":
            continue  # it ends with the escape of a quotation mark
        line = BashLine.parse(f"program {written}")
        assert (line.words, line.last, line.quote) == (["program"], first, quote)
        replaced = written if not quote else written[written.rindex(quote) + 1 :]
        if quote == '"':
            replaced = written[1:]
        replacement = line.replace(replaced, word)
        if replacement is None:
            assert ("'" in rest and quote == "'") or ("!" in word and quote == '"')
            continue
        lines.append(f"{written.removesuffix(replaced)}{replacement}{line.quote}")
        expected.append(word)
        assert BashLine.parse(f"{lines[-1]} ").words == ([word] if lines[-1] else [])
    script = f"printf '<%s>' {' '.join(lines)}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    # An empty word that is not quoted is no word.
    words = [one for one, text in zip(expected, lines, strict=True) if text]
    assert done.stdout.decode() == "".join(f"<{one}>" for one in words) or not words


@pytest.mark.parametrize("path", ["", ".", ":", "./bin"])
def test_bash_of_the_current_folder_is_not_run(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path, tmp_path / "bin"):
        folder.mkdir(exist_ok=True)
        (folder / "bash").write_text("#!/bin/sh\necho '3.2.57(1)-release'\n")
        (folder / "bash").chmod(0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path)
    result = CliRunner().invoke(cli, ["completion", "bash"])
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        (None, ""),
        ("exit 1", ""),
        ("echo no version", ""),
        ("printf '\\377'", ""),
        ("echo '5.2.15(1)-release'", ""),
        ("echo '10.0.1(1)-release'", ""),
        ("echo '4.4.0(1)-release'", ""),
        ("echo '3.2.57(1)-release'", "warning: bash 3.2 does not support this completion"),
        ("exec sleep 60", ""),
    ],
    ids=["none", "fails", "no version", "bytes", "5", "10", "4.4", "3.2", "hangs"],
)
def test_script_is_printed_whatever_bash_is_in_the_path(
    body: str | None, warning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script is evaluated at each start of a shell, which must not print what is no problem."""
    monkeypatch.setattr(shell_completion, "_BASH_S", 1.0 if body == "exec sleep 60" else 60.0)
    monkeypatch.setenv("PATH", str(tmp_path) + (":/usr/bin:/bin" if body else ""))
    if body:
        (tmp_path / "bash").write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bash").chmod(0o700)
    result = CliRunner().invoke(cli, ["completion", "bash"])
    assert result.exit_code == 0
    assert "complete -o nosort -F" in result.stdout
    lines = result.stderr.splitlines()
    assert len(lines) == bool(warning)
    assert not warning or lines[0].startswith(warning)
