from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from tests.kube.certificates import Authority
from tests.support.waiting import until
from tui_forward.common.executables import find_executable
from tui_forward.common.logging_levels import TRACE, RedactingFormatter
from tui_forward.daemon.log import JsonFormatter
from tui_forward.errors import AuthError, TransportError
from tui_forward.kube.auth.exec_plugin import ExecPlugin
from tui_forward.kube.kubeconfig.loader import ClusterEntry, ExecEntry
from tui_forward.model import MAX_LOGIN_OUTPUT, ReasonCode

V1 = "client.authentication.k8s.io/v1"
BETA = "client.authentication.k8s.io/v1beta1"
SECRET = "s3cr3t-s3cr3t-token"


class PluginFactory:
    """Factory of plugins: Python scripts that count their runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.runs.write_text("")

    def plugin(
        self,
        body: str,
        *,
        cluster: ClusterEntry | None = None,
        timeout_s: float = 60,
        **options: Any,
    ) -> ExecPlugin:
        script = self.folder / "plugin.py"
        script.write_text(
            "import json, os, sys, time\n"
            f"open({str(self.runs)!r}, 'a').write('x')\n"
            "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
            "def answer(**status):\n"
            "    print(json.dumps({'kind': 'ExecCredential', 'apiVersion': info['apiVersion'],"
            " 'status': status}))\n" + body
        )
        entry = ExecEntry(
            **{
                "command": sys.executable,
                "api_version": V1,
                "args": (str(script),),
                "interactive_mode": "Never",
                **options,
            }
        )
        return ExecPlugin(entry, cluster or ClusterEntry(name="c"), os.environ, timeout_s=timeout_s)

    @property
    def count(self) -> int:
        return len(self.runs.read_text())


@pytest.fixture
def plugins(tmp_path: Path) -> PluginFactory:
    return PluginFactory(tmp_path)


async def token(plugin: ExecPlugin, *, refresh: bool = False) -> str:
    return (await plugin.credentials(refresh=refresh)).authorization


@pytest.mark.parametrize("version", [V1, BETA])
async def test_token_is_cached_until_refused(plugins: PluginFactory, version: str) -> None:
    body = "answer(token='t%d' % os.path.getsize(sys.argv[0][:-9] + 'runs'))"
    plugin = plugins.plugin(body, api_version=version)
    assert await token(plugin) == "Bearer t1"
    assert await token(plugin) == "Bearer t1"
    assert await token(plugin, refresh=True) == "Bearer t2"
    assert plugins.count == 2


async def test_expired_token_is_renewed(plugins: PluginFactory) -> None:
    soon = "time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + {}))"
    plugin = plugins.plugin(f"answer(token='t', expirationTimestamp={soon.format(5)})")
    await token(plugin)
    await token(plugin)
    assert plugins.count == 2
    later = plugins.plugin(f"answer(token='t', expirationTimestamp={soon.format(600)})")
    await token(later)
    await token(later)
    assert plugins.count == 3


async def test_client_certificate_of_a_plugin_is_used(
    plugins: PluginFactory, authority: Authority
) -> None:
    pair = authority.issue("me")
    certificate, key = pair.certificate.decode(), pair.key.decode()
    body = f"answer(clientCertificateData={certificate!r}, clientKeyData={key!r})"
    found = await plugins.plugin(body).credentials(refresh=False)
    assert found.authorization == ""
    assert found.certificate is not None
    assert found.certificate.key == pair.key


async def test_cluster_info_is_provided_on_request(
    plugins: PluginFactory, authority: Authority
) -> None:
    cluster = ClusterEntry(
        name="c",
        server="https://x:6443",
        tls_server_name="kubernetes",
        ca_data=base64.b64encode(authority.pem).decode(),
        exec_config={"audience": "a"},
    )
    body = "answer(token=json.dumps(info['spec']))"
    spec = json.loads((await token(plugins.plugin(body, cluster=cluster)))[7:])
    assert spec == {"interactive": False}
    plugin = plugins.plugin(body, cluster=cluster, provide_cluster_info=True)
    spec = json.loads((await token(plugin))[7:])
    assert spec["cluster"] == {
        "server": "https://x:6443",
        "tls-server-name": "kubernetes",
        "certificate-authority-data": base64.b64encode(authority.pem).decode(),
        "config": {"audience": "a"},
    }


async def test_plugin_has_its_environment_but_no_terminal(plugins: PluginFactory) -> None:
    body = "answer(token='%s %r %s' % (os.environ['A'], sys.stdin.read(), 'HOME' in os.environ))"
    assert await token(plugins.plugin(body, env=(("A", "1"),))) == "Bearer 1 '' True"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("sys.exit(3)", "exit code 3"),
        ("print('no json')", "did not print an ExecCredential"),
        ("print('{}')", "printed no ExecCredential of"),
        ("answer()", "neither a token nor a client certificate"),
        ("answer(clientCertificateData='c')", "without its key"),
        ("info['apiVersion'] = 'v9'; answer()", "printed no ExecCredential of"),
        (f"info['apiVersion'] = {BETA!r}; answer()", f"of {BETA} instead of {V1}"),
        ("print(json.dumps({**info, 'spec': {}}))", "neither"),
        ("print('x' * 9_000_000)", "far more than credentials"),
        ("answer(token=['" + SECRET + "'])", "did not print an ExecCredential"),
    ],
)
async def test_invalid_plugin_output_is_explained(
    plugins: PluginFactory, body: str, expected: str
) -> None:
    with pytest.raises(AuthError) as caught:
        await token(plugins.plugin(body, install_hint="Ask Bob"))
    assert expected in str(caught.value)
    assert caught.value.hint
    assert SECRET not in str(caught.value) + caught.value.hint


async def test_stderr_is_shown_without_secrets(plugins: PluginFactory) -> None:
    body = f"sys.exit('The SSO session has expired, token={SECRET} env ' + os.environ['PW'])"
    with pytest.raises(AuthError, match="The SSO session has expired") as caught:
        await token(plugins.plugin(body, env=(("PW", "pass-phrase"),)))
    assert SECRET not in str(caught.value)
    assert "pass-phrase" not in str(caught.value)


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(
    "output",
    [
        SECRET,
        f"token: {SECRET}",
        f'{{"kind": "{SECRET}"}}',
        f'{{"kind": "{SECRET}", "apiVersion": "{V1}", "status": {{"token": "x"}}}}',
        f'{{"kind": "ExecCredential", "apiVersion": "{SECRET}", "status": {{"token": "x"}}}}',
        f'{{"kind": "ExecCredential", "apiVersion": "{V1}", "status": "{SECRET}"}}',
        f'{{"kind": "ExecCredential", "apiVersion": "{V1}", "status": {{"token": ["{SECRET}"]}}}}',
        f'{{"kind": "ExecCredential", "apiVersion": "{V1}", "{SECRET}": 1}}',
        f'{{"kind": "ExecCredential", "apiVersion": "{V1}", "status": {{"token": "{SECRET}',
        f'{{"apiVersion": "{V1}", "status": {{"clientKeyData": "{SECRET}"}}}}',
    ],
)
async def test_output_of_a_plugin_is_never_quoted(
    plugins: PluginFactory, caplog: pytest.LogCaptureFixture, output: str, code: int
) -> None:
    """Whatever it prints on stdout, even if it repeats it on stderr."""
    caplog.set_level(TRACE)
    body = f"print({output!r}); sys.stderr.write({output!r}); sys.exit({code})"
    with pytest.raises(AuthError) as caught:
        await token(plugins.plugin(body, install_hint="Ask Bob"))
    error = caught.value
    shown = [str(error), error.hint, repr(error.reason), caplog.text]
    shown += traceback.format_exception(error)
    assert not [text for text in shown if SECRET in text]


@pytest.mark.parametrize(
    ("args", "secret"),
    [
        (["-p", "hunter2"], "hunter2"),
        (["-t", "abc"], "abc"),
        (["--token=q"], "q"),
        (["--token", "q7"], "q7"),
        (["--client-secret", "short"], "short"),
        (["--api-key=k1"], "k1"),
        (["https://me:pw1@idp/token"], "pw1"),
        (["--proxy", "http://me:pw1@proxy:1"], "pw1"),
    ],
)
async def test_short_arguments_are_redacted(
    plugins: PluginFactory, args: list[str], secret: str
) -> None:
    body = "sys.exit('failed with ' + ' '.join(sys.argv[1:]) + ' and ' + sys.argv[-1] + ' here')"
    plugin = plugins.plugin(body)
    plugin = plugins.plugin(body, args=(*plugin._entry.args, *args))
    with pytest.raises(AuthError, match="failed with") as caught:
        await token(plugin)
    assert secret not in re.findall(r"\w+", str(caught.value))
    assert "here" in str(caught.value)


async def test_credentials_are_hidden_wherever_they_appear(
    plugins: PluginFactory, caplog: pytest.LogCaptureFixture
) -> None:
    await token(plugins.plugin(f"answer(token='{SECRET}')"))
    encoded = base64.b64encode(SECRET.encode()).decode()
    for text in (SECRET, f"a {SECRET}", encoded, f"Basic {encoded}", SECRET[:-3]):
        record = logging.LogRecord("x", logging.INFO, "f", 1, "got %s", (text,), None)
        assert text not in RedactingFormatter().format(record)
        assert text not in JsonFormatter().format(record)
    for error in (TransportError(f"it sent {SECRET}"), TransportError("x", hint=f"not {SECRET}")):
        assert SECRET not in f"{error} {error.hint} {error.reason!r} {error!r}"
        assert SECRET.encode() not in msgspec.json.encode(error.reason)


async def test_missing_plugin_has_the_install_hint(plugins: PluginFactory) -> None:
    plugin = plugins.plugin("", command="no-such-plugin", install_hint="brew install it")
    with pytest.raises(AuthError, match='"no-such-plugin" is not installed') as caught:
        await token(plugin)
    assert caught.value.hint == "brew install it"


async def test_plugin_that_needs_a_terminal_is_not_run_without(plugins: PluginFactory) -> None:
    with pytest.raises(AuthError, match="needs a terminal") as caught:
        await token(plugins.plugin("answer(token='t')", interactive_mode="Always"))
    assert caught.value.code is ReasonCode.AUTH_TERMINAL_REQUIRED
    assert "Press L" in caught.value.hint
    assert plugins.count == 0


@pytest.mark.parametrize("mode", ["Always", "IfAvailable"])
async def test_command_for_a_terminal(plugins: PluginFactory, mode: str) -> None:
    body = "answer(token=os.environ['A'] + str(info['spec']['interactive']))"
    plugin = plugins.plugin(body, interactive_mode=mode, env=(("A", "1"),))
    command = plugin.terminal_command()
    assert command is not None
    assert "A" not in repr(command)
    done = await asyncio.to_thread(
        subprocess.run,
        command.arguments,
        env={**os.environ, **command.environ},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert plugin.accept(done.stdout, 0).authorization == "Bearer 1True"
    assert plugin.current() == await plugin.credentials(refresh=False)


async def test_output_of_a_terminal_is_checked(plugins: PluginFactory) -> None:
    plugin = plugins.plugin("", interactive_mode="Always")
    for output, code, expected in (
        (b"", 1, "exit code 1"),
        (SECRET.encode(), 0, "did not print an ExecCredential"),
        (b"x" * 9_000_000, 0, "far more"),
        # What a front end has cut is no answer that the plugin has written wrong.
        (b'{"kind": "ExecCredential", ' + b" " * MAX_LOGIN_OUTPUT, 0, "far more"),
        ((b'{"kind": "' + b"x" * MAX_LOGIN_OUTPUT)[:MAX_LOGIN_OUTPUT], 0, "far more"),
    ):
        with pytest.raises(AuthError, match=expected) as caught:
            plugin.accept(output, code)
        assert SECRET not in f"{caught.value} {caught.value.hint}"
    assert plugin.current() is None


async def test_plugin_that_never_uses_a_terminal_has_no_command(plugins: PluginFactory) -> None:
    assert plugins.plugin("").terminal_command() is None


async def test_hanging_plugin_is_killed_with_its_children(
    plugins: PluginFactory, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    # A shell starts sooner than Python, so that it has its child before the time is over.
    body = f"sleep 600 & echo $! >{shlex.quote(str(pid))}; sleep 600"
    with pytest.raises(AuthError, match="did not answer within 2 s"):
        await token(plugins.plugin("", timeout_s=2, command="sh", args=("-c", body)))
    await wait_until_gone(int(pid.read_text()))


async def test_canceling_kills_the_plugin(plugins: PluginFactory, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    body = f"open({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    waiting = asyncio.create_task(token(plugins.plugin(body)))
    await until(lambda: pid.exists() and pid.read_text() != "")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await wait_until_gone(int(pid.read_text()))


async def test_stderr_is_passed_on_while_the_plugin_runs(
    plugins: PluginFactory, tmp_path: Path
) -> None:
    """Like E04 of the field: a device code, whose plugin waits until the user has signed in."""
    signed_in = tmp_path / "signed-in"
    body = (
        "print('To sign in, open https://login.example/device', file=sys.stderr)\n"
        "print('and enter the code ABCD-1234', file=sys.stderr)\n"
        f"print('(token={SECRET}, ' + os.environ['PW'] + ')', file=sys.stderr)\n"
        "sys.stderr.write('Waiting: '); sys.stderr.flush()\n"
        f"while not os.path.exists({str(signed_in)!r}): time.sleep(0.01)\n"
        "answer(token='t')\n"
    )
    plugin = plugins.plugin(body, env=(("PW", "pass-phrase"),))
    lines: list[str] = []
    plugin.listen(lines.append)
    waiting = asyncio.create_task(token(plugin))
    await until(lambda: len(lines) == 4)
    assert lines == [
        "To sign in, open https://login.example/device",
        "and enter the code ABCD-1234",
        "(token=[redacted], [redacted])",
        "Waiting:",
    ]
    assert not waiting.done()
    signed_in.touch()
    assert await waiting == "Bearer t"


@pytest.mark.parametrize("stream", ["stdout", "stderr", "both"])
async def test_child_that_keeps_the_pipes_open_discards_no_answer(
    plugins: PluginFactory, tmp_path: Path, stream: str
) -> None:
    pid = tmp_path / "pid"
    null = {"stdout": "stderr=subprocess.DEVNULL", "stderr": "stdout=subprocess.DEVNULL"}
    body = (
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        f" {null.get(stream, '')})\n"
        f"open({str(pid)!r}, 'w').write(str(child.pid))\n"
        "print('starting the agent', file=sys.stderr)\n"
        "answer(token='t')\n"
    )
    try:
        assert await token(plugins.plugin(body)) == "Bearer t"
        # It may be an agent that later runs need.
        assert psutil.pid_exists(int(pid.read_text()))
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_plugin_may_write_much_to_both_streams(plugins: PluginFactory) -> None:
    body = (
        "for n in range(4000): print(n, 'x' * 50, file=sys.stderr)\n"
        "sys.stdout.write(' ' * 900_000)\n"
        "answer(token='t')\n"
    )
    assert await token(plugins.plugin(body)) == "Bearer t"


async def test_last_words_of_a_verbose_plugin_are_shown(plugins: PluginFactory) -> None:
    body = "for n in range(4000): print(n, 'x' * 50, file=sys.stderr)\nsys.exit('no session')"
    with pytest.raises(AuthError, match="no session"):
        await token(plugins.plugin(body))


async def test_no_descriptor_is_left_open(plugins: PluginFactory) -> None:
    await token(plugins.plugin("answer(token='t')"))
    process = psutil.Process()
    before = len(process.open_files()), process.num_fds()
    for _ in range(3):
        await token(plugins.plugin("answer(token='t')"))
        with pytest.raises(AuthError):
            await token(plugins.plugin("", args=("a\0b",)))
    await until(lambda: len(process.open_files()) <= before[0] and process.num_fds() <= before[1])


async def wait_until_gone(pid: int) -> None:
    await until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


@pytest.mark.parametrize("entry", [".", "", "bin", "./bin"])
async def test_plugin_is_not_found_through_a_relative_path_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    marker = tmp_path / "executed"
    (tmp_path / "bin").mkdir()
    for folder in (tmp_path, tmp_path / "bin"):
        plugin = folder / "login-plugin"
        plugin.write_text(f"#!/bin/sh\ntouch {marker}\n")
        plugin.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    environ = {"PATH": os.pathsep.join(["/usr/bin", entry])}
    login = ExecEntry(command="login-plugin", api_version=V1, args=(), interactive_mode="Never")
    with pytest.raises(AuthError, match="not on the PATH"):
        await token(ExecPlugin(login, ClusterEntry(name="c"), environ, timeout_s=20))
    assert not marker.exists()


async def test_absolute_command_needs_no_path(plugins: PluginFactory) -> None:
    plugin = plugins.plugin("answer(token='t')", env=(("PATH", "."),))
    assert await token(plugin) == "Bearer t"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("{folder}/bin", "{folder}/bin/p"),
        ("{folder}/none:{folder}/bin", "{folder}/bin/p"),
        ("other:{folder}/bin", "{folder}/bin/p"),
        # Found first in a relative folder: it counts as absent, as in Go.
        (".:{folder}/bin", None),
        (":{folder}/bin", None),
        ("bin:{folder}/bin", None),
        ("{folder}/bin:.", "{folder}/bin/p"),
        (".", None),
        ("", None),
        (None, None),
    ],
)
def test_plugin_is_not_taken_from_a_relative_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str | None, found: str | None
) -> None:
    (tmp_path / "bin").mkdir()
    for file in (tmp_path / "p", tmp_path / "bin" / "p"):
        file.write_text("#!/bin/sh\n")
        file.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    expected = found and found.format(folder=tmp_path)
    assert find_executable("p", path and path.format(folder=tmp_path)) == expected
    assert find_executable("./p", str(tmp_path)) is None
    assert find_executable(f"{tmp_path}/p", None) == f"{tmp_path}/p"
    assert find_executable(f"{tmp_path}/none", None) is None


async def test_credentials_are_exported_until_they_expire(
    plugins: PluginFactory, authority: Authority
) -> None:
    pair = authority.issue("bob")
    pem, key = pair.certificate.decode(), pair.key.decode()
    plugin = plugins.plugin(
        f"answer(clientCertificateData={pem!r}, clientKeyData={key!r}, token='t1',"
        " expirationTimestamp='2999-01-01T00:00:00Z')"
    )
    assert plugin.export() is None
    used = await plugin.credentials(refresh=False)
    other = plugins.plugin("answer(token='t2')")
    kept = plugin.export()
    assert kept is not None
    other.adopt(kept)
    assert other.current() == used
    assert await other.credentials(refresh=False) == used
    assert (plugins.count, other.export()) == (1, kept)
    assert "t1" not in repr(kept)
    # Expired on its way, or since.
    other.adopt(msgspec.structs.replace(kept, expires_at=time.time() + 5))
    assert (other.current(), other.export()) == (None, None)
    assert await token(other) == "Bearer t2"
    assert plugins.count == 2
