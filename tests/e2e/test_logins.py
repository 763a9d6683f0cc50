"""Credential plugins of an engine with which several terminals work."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.e2e.processes import PROGRAM
from tests.e2e.pseudo_terminal import PseudoTerminal, terminal_environment
from tests.kube.api_server import ApiServer, serving
from tests.kube.certificates import Authority, server_context
from tests.kube.kubeconfigs import kubeconfig, write
from tests.support import forked_program
from tests.support.engine_processes import engine_processes
from tests.support.waiting import until
from tui_forward.daemon import connect
from tui_forward.daemon.launcher import replace_engine
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.model import CatalogScope, Forward, ForwardSpec, ReasonCode, Target, TargetKind

pytestmark = pytest.mark.timeout(180)

V1 = "client.authentication.k8s.io/v1"
MISSING = (ReasonCode.POD_NOT_FOUND, ReasonCode.TARGET_NOT_FOUND)
# What it gives depends on the caller's environment, as with `aws eks get-token`.
CLOUD_TOKEN = f"""#!{sys.executable}
import json, os, sys
open(os.path.dirname(sys.argv[0]) + '/runs', 'a').write('x')
profile = os.environ.get('CLOUD_PROFILE', '')
if profile != 'prod':
    sys.exit(f'profile {{profile!r}} has no access')
print(json.dumps({{'kind': 'ExecCredential', 'apiVersion': '{V1}', 'status': {{'token': 'good'}}}}))
"""


def tls_of(folder: Path) -> ssl.SSLContext:
    """Return the TLS of a server: a plugin is not run for one without."""
    return server_context(Authority().issue("server"), folder)


class Terminals:
    """Terminals of one user, whose environments differ."""

    def __init__(self, folder: Path, server: ApiServer) -> None:
        self.folder = folder
        plugin = folder / "cloud-token"
        plugin.write_text(CLOUD_TOKEN)
        plugin.chmod(0o755)
        user = {"exec": {"apiVersion": V1, "command": str(plugin), "interactiveMode": "Never"}}
        self.kubeconfig = write(folder / "config", kubeconfig(server.url, user=user))
        self.sessions: list[RemoteSession] = []

    async def open(self, profile: str) -> RemoteSession:
        session = await connect(str(self.kubeconfig), environ=self.environ(profile))
        self.sessions.append(session)
        return session

    @staticmethod
    def environ(profile: str) -> dict[str, str]:
        return {**os.environ, "CLOUD_PROFILE": profile}


@pytest.fixture
async def terminals(tmp_path: Path) -> AsyncIterator[Terminals]:
    async with serving(tls=tls_of(tmp_path)) as server:
        server.tokens = {"good"}
        server.put("namespaces", {"metadata": {"name": "shop"}})
        found = Terminals(tmp_path, server)
        yield found
        for session in found.sessions:
            await session.close()
        await until(lambda: not engine_processes(tmp_path))


def spec() -> ForwardSpec:
    target = Target(context="", namespace="shop", kind=TargetKind.POD, name="web-1", port="80")
    return ForwardSpec(target=target, local_port=0)


async def forward_with(session: RemoteSession, wanted: Callable[[Forward], object]) -> Forward:
    deadline = time.monotonic() + 60
    while True:
        (forward,) = (await session.snapshot()).forwards
        if wanted(forward):
            return forward
        assert time.monotonic() < deadline, forward
        await asyncio.sleep(0.05)


async def is_healthy(session: RemoteSession, scope: CatalogScope) -> bool:
    health = (await session.catalog(scope)).health
    return health is not None and health.ok is True


def files_with(text: bytes) -> list[Path]:
    """Return the files of the user that contain a text; there must be some files."""
    files = [one for one in Path(os.environ["HOME"]).rglob("*") if one.is_file()]
    assert files
    return [one for one in files if text in one.read_bytes()]


async def test_second_terminal_with_the_right_profile(terminals: Terminals) -> None:
    """A01 of the field: an engine once kept the environment of the terminal that started it."""
    wrong = await terminals.open("dev")
    forward_id = await wrong.start(spec())
    blocked = await forward_with(wrong, lambda one: one.code is ReasonCode.AUTH_PLUGIN_FAILED)
    assert "profile 'dev' has no access" in blocked.reason
    right = await terminals.open("prod")
    scope = CatalogScope("test", "shop")
    async with asyncio.timeout(60):
        while not await is_healthy(right, scope):  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.05)
    seen = (await right.snapshot()).forwards[0]
    assert "CLOUD_PROFILE" in seen.environment
    assert "prod" not in seen.environment + blocked.reason
    await right.reconnect(forward_id)
    await forward_with(right, lambda one: one.code in MISSING)

    # Another engine that replaces this one has the environments of its forwards, whatever its own.
    await right.set_keep_running(True)
    await replace_engine(str(terminals.kubeconfig), environ=terminals.environ("third"))
    again = await terminals.open("prod")
    assert again.engine_pid != right.engine_pid
    forward = await forward_with(again, lambda one: one.code in MISSING)
    assert forward.environment == ""
    assert not files_with(b"CLOUD_PROFILE")
    await again.stop(forward_id)
    await again.set_keep_running(False)


# `forward` with and without a terminal ------------------------------------------------------

ASKING = f"""#!{sys.executable}
import json, os, sys
print('Open https://login.example/device', file=sys.stderr, flush=True)
interactive = json.loads(os.environ['KUBERNETES_EXEC_INFO'])['spec']['interactive']
if interactive:
    sys.stderr.write('Code: ')
    sys.stderr.flush()
    sys.exit('wrong code') if sys.stdin.readline().strip() != 'ABCD' else None
print(json.dumps({{'kind': 'ExecCredential', 'apiVersion': '{V1}', 'status': {{'token': 'good'}}}}))
"""


def config_with(folder: Path, server: ApiServer, mode: str) -> Path:
    plugin = folder / "asking"
    plugin.write_text(ASKING)
    plugin.chmod(0o755)
    user = {"exec": {"apiVersion": V1, "command": str(plugin), "interactiveMode": mode}}
    return write(folder / "config", kubeconfig(server.url, user=user, namespace="shop"))


@pytest.mark.parametrize("mode", ["Always", "IfAvailable"])
async def test_headless_forward_gives_its_terminal_to_the_plugin(
    tmp_path: Path, own_home: Path, mode: str
) -> None:
    async with serving(tls=tls_of(tmp_path)) as server:
        server.tokens = {"good"}
        server.put("namespaces", {"metadata": {"name": "shop"}})
        config = config_with(tmp_path, server, mode)

        def log_in() -> None:
            env = terminal_environment(own_home, KUBECONFIG=str(config))
            with PseudoTerminal(*PROGRAM, "forward", "pod/web-1", ":80", env=env) as terminal:
                terminal.wait_for_output("Open https://login.example/device", "Code: ")
                terminal.send(b"ABCD\n")
                # With valid credentials: there is no such pod.
                assert terminal.wait(60) == 1
                terminal.wait_for_output("web-1")
                assert "Traceback" not in terminal.text()
                assert "good" not in terminal.text()

        await asyncio.to_thread(log_in)
    assert any(request.header("authorization") == "Bearer good" for request in server.requests)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("IfAvailable", "Open https://login.example/device"),
        ("Never", "Open https://login.example/device"),
        ("Always", "needs a terminal to log in"),
    ],
)
async def test_headless_forward_without_a_terminal(
    tmp_path: Path, mode: str, expected: str
) -> None:
    async with serving(tls=tls_of(tmp_path)) as server:
        server.tokens = {"good"}
        server.put("namespaces", {"metadata": {"name": "shop"}})
        config = config_with(tmp_path, server, mode)
        done = await asyncio.to_thread(
            forked_program.run,
            [*PROGRAM, "forward", "pod/web-1", ":80"],
            env={**os.environ, "KUBECONFIG": str(config)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert expected in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
