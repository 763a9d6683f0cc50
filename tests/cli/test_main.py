from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from tests.cli.fake_session import FakeSession
from tui_forward.cli import main as cli_main
from tui_forward.cli import sessions
from tui_forward.cli.exit_codes import ExitCode, exit_code_for
from tui_forward.cli.main import COMMANDS, LazyGroup, cli, main
from tui_forward.cli.shell_completion import (
    SafeBashComplete,
    SafeFishComplete,
    SafeZshComplete,
)
from tui_forward.common.logging_levels import TRACE
from tui_forward.daemon import unix_socket
from tui_forward.errors import ApiError, AuthError, ConfigError, TuiForwardError, UsageError
from tui_forward.known_secrets import remember
from tui_forward.model import (
    Balance,
    ForwardSpec,
    ForwardState,
    ProxySpec,
    TargetKind,
    TransportChoice,
)
from tui_forward.session import Session

Run = Callable[..., "Result"]


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def run_it(*arguments: str) -> Result:
        code = main(arguments)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Result(code, out, err)

    return run_it


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    """Session of `forward` instead of an engine; forwards become ready, then SIGINT arrives."""
    fake: list[FakeSession] = []

    @contextlib.asynccontextmanager
    async def fake_session(
        kubeconfig: str | None, *, context: str | None = None, has_terminal: bool = False
    ) -> AsyncIterator[Session]:
        fake[0].calls.append(("open", kubeconfig, context))
        try:
            yield fake[0]
        finally:
            await fake[0].close()

    def on_start(session: FakeSession, forward_id: str) -> None:
        session.make_ready(forward_id, 8079 + len(session.forwards))
        if len(session.forwards) == session.expected:
            os.kill(os.getpid(), signal.SIGINT)

    fake.append(FakeSession(on_start))
    monkeypatch.setattr("tui_forward.cli.sessions.local_session", fake_session)
    return fake[0]


def started(session: FakeSession) -> list[ForwardSpec]:
    return [call[1] for call in session.calls if call[0] == "start"]  # type: ignore[misc]


def test_version(run: Run) -> None:
    result = run("--version")
    assert (result.code, result.out) == (0, f"tui-forward {version('tui-forward')}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["forward", "-h"], ["demo", "-h"],
                                       ["cluster", "-h"], ["cluster", "fault", "-h"],
                                       ["cluster", "user", "-h"]])  # fmt: skip
def test_help_is_short_and_on_stdout(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.code == ExitCode.DONE
    assert result.err == ""
    assert result.out.startswith("Usage: tui-forward")
    lines = result.out.splitlines()
    assert len(lines) <= 50
    assert all(len(line) <= 82 and "\\" not in line for line in lines)


def test_help_lists_all_commands(run: Run) -> None:
    out = run("--help").out
    listed = re.findall(r"^  (\w+) {2,}\S", out.partition("Commands:")[2], re.MULTILINE)
    assert listed == list(COMMANDS)


def test_help_texts_of_group_and_commands_are_equal() -> None:
    assert isinstance(cli, LazyGroup)
    for name, (_, text) in COMMANDS.items():
        command = cli.get_command(cli.make_context("tui-forward", [], resilient_parsing=True), name)
        assert command is not None
        assert command.short_help == text
        assert command.name == name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "no such command 'nonsense'"),
        (["--nonsense"], "no such option"),
        (["forward"], "no target given"),
        (["forward", "pod/web"], "no port given"),
        (["forward", "pod/web", "nope!"], '"nope!" is not a port'),
        (["forward", "pod/web", "80:90:100"], "is not a port"),
        (["forward", "pod/web", "99999"], "out of range"),
        (["forward", "node/web", "80"], "not a kind of object"),
        (["forward", "Web", "80"], "cannot be the name"),
        (["forward", "web", "80", "--address", "nowhere"], "not an address"),
        (["forward", "web", "80", "--queue-timeout", "soon"], "not a duration"),
        (["forward", "web", "80", "--transport", "quic"], "'quic' is not one of"),
        (["forward", "svc/web", "80", "--pin"], "--pin needs a pod"),
        (["forward", "-l", "app=web", "svc/web", "80"], "cannot be combined"),
        (["forward", "-l", "app=web", "--pin", "80"], "--pin needs a pod"),
        (["forward", "-l", "svc/web", "80"], "not a label selector"),
        (["forward", "web", "8080:80", "8080:81"], "used twice"),
        (["-A", "forward", "web", "80"], "no option --all-namespaces"),
        (["-n", "x", "demo"], "demo has no option --namespace"),
        (["-n", "x", "-A"], "cannot be combined"),
        ([], "needs a terminal"),
        (["cluster", "--pods", "many"], "not a valid"),
        (["cluster", "fault", "status"], "no control socket"),
        (["cluster", "fault", "cut", "hop", "--control", "/nowhere"], "invalid field"),
    ],
)
def test_usage_error_prints_error_and_hint_with_code_2(
    run: Run,
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # without clusters of other tests
    result = run(*arguments)
    assert result.code == ExitCode.USAGE
    assert result.out == ""
    error, hint = result.err.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert hint.startswith("hint:  ")


def test_missing_control_socket_is_no_usage_error(run: Run) -> None:
    result = run("cluster", "fault", "status", "--control", "/nowhere/control.sock")
    assert result.code == ExitCode.FAILED
    assert result.err.startswith("error: no response at control socket")


def test_exit_codes() -> None:
    assert exit_code_for(UsageError("x")) == 2
    for error in (
        ConfigError("x"),
        AuthError("x"),
        ApiError("x", status=403),
        TuiForwardError("x"),
    ):
        assert exit_code_for(error) == 1


def test_forward_passes_all_options_on(run: Run, session: FakeSession) -> None:
    session.expected = 3
    result = run(
        "forward", "deploy/web", "8080:http", ":9090", "7000", "--context", "prod", "-n", "shop",
        "--kubeconfig", "/etc/kc", "--transport", "websocket", "--queue-timeout", "1m",
        "--half-close-timeout", "500ms", "--address", "127.0.0.1,::1", "--preconnect", "3",
        "--preconnect-age", "20s",
    )  # fmt: skip
    assert result.code == ExitCode.DONE
    assert session.closed
    assert ("open", "/etc/kc", "prod") in session.calls
    specs = started(session)
    assert [(s.target.port, s.local_port) for s in specs] == [
        ("http", 8080), ("9090", 0), ("7000", None),
    ]  # fmt: skip
    for spec in specs:
        assert (spec.target.kind, spec.target.name) == (TargetKind.DEPLOYMENT, "web")
        assert (spec.target.context, spec.target.namespace) == ("prod", "shop")
        assert spec.transport is TransportChoice.WEBSOCKET
        assert (spec.queue_timeout_s, spec.half_close_timeout_s) == (60.0, 0.5)
        assert spec.addresses == ("127.0.0.1", "::1")
        assert (spec.preconnect, spec.preconnect_age_s) == (3, 20.0)


def test_options_may_precede_the_command(run: Run, session: FakeSession) -> None:
    assert run("-n", "shop", "--kubeconfig", "/etc/kc", "forward", "web", "80").code == 0
    assert started(session)[0].target.namespace == "shop"
    assert ("open", "/etc/kc", None) in session.calls


def test_selector_replaces_the_target(run: Run, session: FakeSession) -> None:
    session.expected = 2
    assert run("forward", "-l", "app=web", "8080:80", ":81").code == 0
    specs = started(session)
    assert [(s.target.kind, s.target.name, s.target.port) for s in specs] == [
        (TargetKind.SELECTOR, "app=web", "80"), (TargetKind.SELECTOR, "app=web", "81"),
    ]  # fmt: skip


@pytest.mark.parametrize("options", [["--spread"], ["--balance", "spread"]])
def test_connections_are_spread_on_request(
    run: Run, session: FakeSession, options: list[str]
) -> None:
    assert run("forward", "svc/web", "80", *options).code == 0
    assert started(session)[0].target.balance is Balance.SPREAD


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("web", "80", "--spread"), "--spread needs several pods, not web"),
        (("svc/web", "80", "--spread", "--balance", "one"), "cannot be combined"),
    ],
)
def test_spread_that_cannot_be_is_a_usage_error(
    run: Run, arguments: tuple[str, ...], words: str
) -> None:
    result = run("forward", *arguments)
    assert result.code == ExitCode.USAGE
    assert words in result.err


def test_pin_option_pins_the_pod(run: Run, session: FakeSession) -> None:
    assert run("forward", "web", "80", "--pin").code == 0
    assert started(session)[0].target.pin


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_forwards_with_code_0(
    run: Run, session: FakeSession, number: signal.Signals
) -> None:
    def on_start(fake: FakeSession, forward_id: str) -> None:
        fake.make_ready(forward_id)
        os.kill(os.getpid(), number)

    session.on_start = on_start
    before = signal.getsignal(number)
    result = run("forward", "web", "8080:80")
    assert result.code == ExitCode.DONE
    assert session.closed
    assert ("stop", "f1") in session.calls
    assert signal.getsignal(number) is before


def test_blocked_forward_fails_with_code_1(run: Run, session: FakeSession) -> None:
    session.on_start = lambda fake, forward_id: fake.change(
        forward_id, ForwardState.BLOCKED, "port 8080 is taken by nginx (42)", "choose another one"
    )
    result = run("forward", "web", "8080:80", "--quiet")
    assert result.code == ExitCode.FAILED
    assert result.err.splitlines() == [
        "error: port 8080 is taken by nginx (42)",
        "hint:  choose another one",
    ]
    assert session.closed


def test_bug_prints_an_error_and_a_traceback_only_on_request(
    run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("tui_forward.cli.sessions.local_session", bug)
    result = run("forward", "web", "80")
    assert result.code == ExitCode.FAILED
    assert "error: unexpected ZeroDivisionError: oops" in result.err
    monkeypatch.setenv("TUI_FORWARD_DEBUG", "1")
    assert main(["forward", "web", "80"]) == ExitCode.FAILED
    shown = capfd.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert "ZeroDivisionError: oops" in shown


def test_traceback_and_message_of_a_bug_show_no_secret(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the server sent known-s3cr3t and password=s3cr3t")

    remember("known-s3cr3t")
    monkeypatch.setattr("tui_forward.cli.sessions.local_session", bug)
    for debug in ("", "1"):
        monkeypatch.setenv("TUI_FORWARD_DEBUG", debug)
        main(["forward", "web", "80"])
        found = capfd.readouterr().err
        assert "the server sent [redacted] and password=[redacted]" in found


def python(*code_or_arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *code_or_arguments], env={**os.environ, **env}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


def test_help_and_completion_import_no_heavy_module() -> None:
    code = """
import os, sys
from tui_forward.cli.main import cli, main
main(['--help'])
heavy = ['asyncio', 'textual', 'kubernetes', 'ssl', 'aiohttp', 'tui_forward.engine',
         'tui_forward.session', 'tui_forward.settings']
def imported(*more):
    return [name for name in [*heavy, *more] if name in sys.modules]
found = imported('msgspec', 'tui_forward.model')
from tui_forward.cli.shell_completion import SafeBashComplete
for line in ('tui-forward ', 'tui-forward forward --t'):
    os.environ.update(COMP_WORDS=line, COMP_CWORD=line.split(' ')[-1])
    text = SafeBashComplete(cli, {}, 'tui-forward', '_TUI_FORWARD_COMPLETE').complete()
    assert 'cluster' in text or '--transport' in text
    found += imported()
print(found, file=sys.stderr)
"""
    done = python("-c", code)
    assert done.stderr.strip() == "[]"


COMPLETION = {"bash": SafeBashComplete, "zsh": SafeZshComplete, "fish": SafeFishComplete}


@pytest.mark.parametrize("shell", COMPLETION)
def test_shells_complete_commands_and_options(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_it = "import sys; from tui_forward.cli.main import main; sys.exit(main())"

    def complete(line: str) -> str:
        """Return what the shell reads, from the same code in this process."""
        last = line.rpartition(" ")[2]
        words = line.count(" ")
        # zsh passes the number of the word, bash and fish the word itself.
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(words) if shell == "zsh" else last)
        return COMPLETION[shell](cli, {}, "tui-forward", "_TUI_FORWARD_COMPLETE").complete()

    assert "--transport" in complete("tui-forward forward --tr")
    found = re.findall(r"\w+", complete("tui-forward "))
    assert {"forward", "demo", "cluster"} <= set(found)
    source = python("-c", run_it, _TUI_FORWARD_COMPLETE=f"{shell}_source")
    assert "tui_forward" in source.stdout.lower()
    # kubectl's options are offered by a process that completes only.
    words = {
        "COMP_WORDS": "tui-forward forward --as-", "COMP_CWORD": "2" if shell == "zsh" else "--as-",
    }  # fmt: skip
    done = python("-c", run_it, _TUI_FORWARD_COMPLETE=f"{shell}_complete", **words)
    assert "--as-uid" in done.stdout
    assert "--as-group" in done.stdout


def test_closed_stdout_causes_no_error_message() -> None:
    code = "import sys; from tui_forward.cli.main import main; sys.exit(main(['--help']))"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as broken:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=broken, stderr=subprocess.PIPE, check=False,
            timeout=60,
        )  # fmt: skip
    assert done.stderr == b""


def test_color_depends_on_terminal_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    from tui_forward.cli.output import supports_unicode, use_color

    terminal = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert use_color(terminal)  # type: ignore[arg-type]
    assert supports_unicode(terminal)  # type: ignore[arg-type]
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_color(terminal)  # type: ignore[arg-type]
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not use_color(terminal)  # type: ignore[arg-type]
    terminal.encoding = "ascii"
    assert not supports_unicode(terminal)  # type: ignore[arg-type]


def test_main_module_runs_as_a_program() -> None:
    assert cli_main.main.__module__ == "tui_forward.cli.main"
    done = python("-m", "tui_forward", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tui-forward ")


def test_config_prints_effective_settings_and_their_lines(run: Run, own_home: Path) -> None:
    done = run("config")
    assert done.code == 0
    assert "# " in done.out.splitlines()[0]
    assert "(does not exist)" in done.out.splitlines()[0]
    folder = own_home / ".config/tui-forward"
    folder.mkdir()
    file = folder / "settings.toml"
    file.write_text("".join(line + "\n" for line in done.out.splitlines()[1:]))
    again = run("config")
    assert (again.code, again.err) == (0, ""), "the output is a valid settings file"
    file.write_text(
        'keep_running = "always"\naddress = ["127.0.0.1", "::1"]\nqueue_timeout = 90\n'
        '[keys]\n"forwards.stop" = "ctrl+x"\n'
    )
    lines = [" ".join(line.split()) for line in run("config").out.splitlines()]
    assert lines[1:] == [
        'theme = "forward-dark" # default',
        'symbols = "auto" # default',
        'keep_running = "always" # line 1',
        'restore = "ask" # default',
        'address = ["127.0.0.1", "::1"] # line 2',
        'queue_timeout = "90s" # line 3',
        'half_close_timeout = "5s" # default',
        "refresh = 0.25 # default",
        'notifications = "all" # default',
        'log_level = "info" # default',
        'disk_buffer = "256MiB" # default',
        'login_command = "" # default',
        "protected_contexts = [] # default",
        'proxy_domain = "cluster.local" # default',
        "proxy_strip_suffix = false # default",
        'proxy_idle_timeout = "300s" # default',
        'keys."forwards.stop" = "ctrl+x" # line 5',
    ]
    objects = map(json.loads, run("config", "--json").out.splitlines())
    found = {one["setting"]: one for one in objects}
    assert found["address"] == {
        "setting": "address", "value": ["127.0.0.1", "::1"], "line": 2, "file": str(file),
    }  # fmt: skip
    assert (found["queue_timeout"]["value"], found["refresh"]["value"]) == (90.0, 0.25)
    assert (found["half_close_timeout"]["line"], found["half_close_timeout"]["file"]) == (
        None,
        None,
    )


def test_config_reports_problems_and_prints_defaults(run: Run, own_home: Path) -> None:
    file = own_home / ".config/tui-forward/settings.toml"
    file.parent.mkdir()
    file.write_text('keep_running = 5\nqueue_timeout = "soon"\n')
    done = run("config")
    assert done.code == 1
    assert done.out.count("# default") == 16
    assert done.err.splitlines() == [
        "settings.toml, line 1: keep_running is not one of ask, always, never. "
        'Write keep_running = "ask"',
        'settings.toml, line 2: queue_timeout: "soon" is not a duration. '
        "Write seconds or a unit, for example 30 or 500ms",
    ]
    file.unlink()
    file.mkdir()
    done = run("config")
    assert done.code == 1
    assert "settings.toml: cannot be read: Is a directory" in done.err
    assert "does not exist" not in done.out


def test_config_prints_the_schema(run: Run) -> None:
    done = run("config", "--schema")
    assert done.code == 0
    assert json.loads(done.out)["title"] == "The settings of tui-forward"


@pytest.mark.parametrize(
    ("options", "effective"),
    [
        ([], (("0.0.0.0",), 120.0, 1.0)),
        (["--half-close-timeout", "7s"], (("0.0.0.0",), 120.0, 7.0)),
        # An option with the default value overrides the setting, too.
        (["--address", "localhost", "--queue-timeout", "30s"], (("localhost",), 30.0, 1.0)),
    ],
)
def test_settings_are_defaults_of_options(
    run: Run,
    session: FakeSession,
    own_home: Path,
    options: list[str],
    effective: tuple[tuple[str, ...], float, float],
) -> None:
    file = own_home / ".config/tui-forward/settings.toml"
    file.parent.mkdir()
    file.write_text(
        'address = "0.0.0.0"\nqueue_timeout = "2m"\nhalf_close_timeout = 1\ntheme = 3\n'
    )
    done = run("forward", "web", "80", *options)
    assert done.code == ExitCode.DONE
    (spec,) = started(session)
    assert (spec.addresses, spec.queue_timeout_s, spec.half_close_timeout_s) == effective
    assert "settings.toml, line 4: theme is not a name in quotes" in done.err
    exposed = "listening on 0.0.0.0: other machines may reach this forward" in done.err
    assert exposed == ("0.0.0.0" in effective[0])


def test_forward_does_not_import_the_dashboard() -> None:
    code = (
        "import sys; from tui_forward.cli.main import main;"
        "main(['forward', 'web', '80', '--kubeconfig', '/nowhere']);"
        "names = 'textual', 'psutil', 'tui_forward.settings.parser';"
        "print([m for m in names if m in sys.modules])"
    )
    assert python("-c", code).stdout.strip() == "['tui_forward.settings.parser']"


@pytest.mark.parametrize(
    ("arguments", "settings", "messages"),
    [
        # States report what is lost, so that it is not logged as well.
        ([], "", {"no effect"}),
        (["-q"], "", set()),
        (["--log-level", "warning"], "", {"no effect", "lost"}),
        (["--log-level", "info"], "", {"no effect", "lost", "connected"}),
        (["-v"], 'log_level = "error"', {"no effect", "lost", "connected", "dialing"}),
        (["-vv"], "", {"no effect", "lost", "connected", "dialing", "frame token=[redacted]"}),
        ([], 'log_level = "info"', {"no effect", "lost", "connected"}),
    ],
)
def test_log_options_of_forward_select_the_level_on_stderr(
    run: Run,
    session: FakeSession,
    own_home: Path,
    arguments: list[str],
    settings: str,
    messages: set[str],
) -> None:
    file = own_home / ".config/tui-forward/settings.toml"
    file.parent.mkdir()
    file.write_text(settings)

    def on_start(fake: FakeSession, forward_id: str) -> None:
        log = logging.getLogger("tui_forward.engine.some")
        log.warning("lost")
        logging.getLogger("tui_forward.kube.auth.plugin_policy").warning("no effect")
        log.info("connected")
        log.debug("dialing")
        log.log(TRACE, "frame token=abcdef0123456789")
        fake.make_ready(forward_id)
        os.kill(os.getpid(), signal.SIGINT)

    session.on_start = on_start
    result = run("forward", "web", "80", *arguments)
    assert result.code == ExitCode.DONE
    logged = re.findall(r"[A-Z]+ tui_forward\.[a-z_.]+: (.*)", result.err)
    assert set(logged) == messages
    assert "tui_forward.engine" not in result.out


@pytest.mark.parametrize(
    ("arguments", "settings", "is_logged"),
    [
        ([], "", False),
        (["--log-level", "warning"], "", True),
        ([], 'log_level = "warning"', True),
        (["--log-level", "error"], 'log_level = "warning"', False),
    ],
)
def test_log_level_of_a_proxy_is_chosen_as_that_of_a_forward(
    run: Run,
    session: FakeSession,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    settings: str,
    is_logged: bool,
) -> None:
    file = own_home / ".config/tui-forward/settings.toml"
    file.parent.mkdir()
    file.write_text(settings)
    start_proxy = session.start_proxy

    async def start(spec: ProxySpec, *, proxy_id: str = "") -> str:
        logging.getLogger("tui_forward.engine.some").warning("lost")
        os.kill(os.getpid(), signal.SIGINT)
        return await start_proxy(spec, proxy_id=proxy_id)

    monkeypatch.setattr(session, "start_proxy", start)
    result = run("proxy", *arguments)
    assert result.code == ExitCode.DONE
    assert ("WARNING tui_forward.engine.some: lost" in result.err) == is_logged


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        (["ls"], []),
        (["--log-level", "warning", "ls"], ["--log-level=warning"]),
        (["-vv", "restart"], ["--log-level=trace"]),
        (["restart", "-v"], ["--log-level=debug"]),
    ],
)
def test_log_options_are_passed_on_to_the_engine(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], level: list[str]
) -> None:
    passed: list[list[str]] = []

    async def connect_if_running(*_: object, **__: object) -> None:
        passed.append(sessions.engine_log_arguments())

    monkeypatch.setattr("tui_forward.daemon.connect_if_running", connect_if_running, raising=False)
    run(*arguments)
    assert passed == [level]


def test_log_level_for_a_running_engine_prints_a_note(run: Run, own_home: Path) -> None:
    socket = unix_socket.default_socket_path(None, os.environ)
    with click.Context(cli) as context:
        context.meta["tui_forward.log_level"] = "trace"
        sessions._note_level_of_running_engine(None)
        assert run("--version").err == ""
        socket.parent.mkdir(parents=True, exist_ok=True)
        socket.touch()
        sessions._note_level_of_running_engine(None)
    assert "tui-forward restart -vv" in run("--version").err


def test_options_of_kubectl(run: Run, session: FakeSession, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    result = run(
        "--as", "ann", "forward", "--as=bob", "--as-group", "a", "--as-group=b,c", "-s",
        "https://10.0.0.1", "--certificate-authority", str(ca), "--token", "t0ken-given",
        "--request-timeout=1m30s", "--pod-running-timeout=1m0s", "--cache-dir", "/x", "-v", "2",
        "--match-server-version=true", "--profile=none", "svc/web", "80",
    )  # fmt: skip
    assert (result.code, "t0ken" in result.out + result.err) == (0, False)
    options = started(session)[0].target.options
    assert options.impersonate_user == "bob"
    assert options.impersonate_groups == ("a", "b,c")
    assert options.server == "https://10.0.0.1"
    assert options.certificate_authority == str(ca)
    assert options.request_timeout_s == 90
    assert (options.token, options.secret_fields) == ("t0ken-given", ("token",))
    assert result.err.count("accepted without an effect") == 1
    assert "--cache-dir" in result.err
    assert "--match-server-version" in result.err
    assert "--profile" in result.err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--as", "bob", "ls"], "ls has no option --as"),
        (["forward", "web", "80", "--insecure-skip-tls-verify=maybe"], '"maybe" is no value'),
        (["forward", "web", "80", "--client-key", "/nowhere"], "there is no file /nowhere"),
        (["forward", "web", "80", "--token", "t0ken-given", "--username", "u"], "combined"),
        (["forward", "web", "80", "--server", "https://u:p@x"], "has a user or a password"),
        (["forward", "web", "80", "--as-user-extra", "x"], "no extra"),
        (["forward", "web", "80", "--request-timeout", "soon"], '"soon" is not a duration'),
    ],
)
def test_wrong_options_of_kubectl(run: Run, arguments: list[str], error: str) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert error in result.err


@pytest.mark.parametrize("command", [[], ["forward"]], ids=["dashboard", "forward"])
def test_options_of_kubectl_are_listed(run: Run, command: list[str]) -> None:
    help_before = run(*command, "--help").out
    result = run(*command, "--kubectl-options")
    assert (result.code, result.err) == (0, "")
    for name in ("-s, --server URL", "--as NAME", "--insecure-skip-tls-verify", "--cache-dir"):
        assert name in result.out
    assert run(*command, "--help").out == help_before


def test_switch_of_kubectls_transports(
    run: Run, session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", "False")
    assert run("forward", "web", "80").code == 0
    assert started(session)[0].transport is TransportChoice.SPDY


def test_pod_running_timeout_must_be_positive(run: Run) -> None:
    result = run("forward", "web", "80", "--pod-running-timeout=0")
    assert (result.code, result.out) == (2, "")
    assert "--pod-running-timeout must be higher than zero" in result.err


def test_kuberc_is_that_of_the_command(
    run: Run, session: FakeSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBERC", "/other")
    monkeypatch.chdir(tmp_path)
    assert run("forward", "web", "80", "--kuberc", "mine").code == 0
    assert started(session)
    assert os.environ["KUBERC"] == str(tmp_path / "mine")
