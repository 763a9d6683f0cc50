"""A real kubectl beside the program: the same kubeconfig, the same server, the same answer.

`Servers` are API servers that accept everything and record what arrives; `ask_kubectl` and `ask_us`
send one request to them.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kube.certificates import Authority, Pair, server_context
from tui_forward.errors import TuiForwardError
from tui_forward.kube.access.cluster_access import ClusterAccess
from tui_forward.kube.api.rest_client import RestClient
from tui_forward.kube.kubeconfig.source import KubeconfigSource

_TIMEOUT_S = 60
# A short-lived kubectl need not collect garbage, and its threads cost more than they save.
GO_SETTINGS = {"GOGC": "off", "GOMAXPROCS": "1"}
# From this one on an empty certificate authority is an error, and allowlists have `command`.
_VERSION = (1, 36)


class Answer(NamedTuple):
    """What became of one request."""

    accepted: bool
    # Authorization and impersonation headers that the server got; None if nothing arrived.
    identity: dict[str, str] | None
    message: str  # of a refusal


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[dict[str, str]] = []
        self.tls = tls
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread."""
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that do not trust the server."""

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = ("authorization", "impersonate-user")
        self.server.seen.append(
            {name.lower(): value for name, value in self.headers.items() if name.lower() in wanted}
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_CONNECT = do_GET  # noqa: N815 - the name is that of the method

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Servers:
    """Servers with a good certificate, with one without names, and without TLS."""

    def __init__(self, folder: Path) -> None:
        self.root = Authority("root")
        self.intermediate = Authority("intermediate", issuer=self.root)
        self.client: Pair = self.root.issue("client")
        pair = self.intermediate.issue("server")
        self.good_leaf = pair.certificate
        self.good = Server(self._context(folder, pair))
        self.nameless = Server(
            self._context(folder, self.intermediate.issue("localhost", names=()))
        )
        self.plain = Server()

    def _context(self, folder: Path, pair: Pair) -> ssl.SSLContext:
        return server_context(pair, folder)

    @property
    def all(self) -> tuple[Server, ...]:
        return (self.good, self.nameless, self.plain)

    def take_seen(self) -> list[dict[str, str]]:
        seen = [one for server in self.all for one in server.seen]
        for server in self.all:
            server.seen.clear()
        return seen

    def stop(self) -> None:
        for server in self.all:
            server.stop()


@functools.cache
def find_kubectl() -> Path | None:
    """Return the kubectl of the development dependencies, or another recent one."""
    beside = Path(sys.executable).with_name("kubectl")
    if beside.exists():
        return beside
    found = shutil.which("kubectl")
    if found is None:
        return None
    done = subprocess.run(
        [found, "version", "--client", "-o", "json"],
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        return None
    version = json.loads(done.stdout)["clientVersion"]
    minor = int("".join(filter(str.isdigit, version["minor"])))
    return Path(found) if (int(version["major"]), minor) >= _VERSION else None


def run_kubectl(
    folder: Path, environ: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run kubectl in a folder that is also its home."""
    kubectl = find_kubectl()
    if kubectl is None:
        pytest.skip("there is no kubectl of 1.36 or later")
    return subprocess.run(
        [kubectl, *arguments],
        env={"PATH": os.defpath, "HOME": str(folder), **GO_SETTINGS, **environ},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


def ask_kubectl(servers: Servers, config: Path, environ: Mapping[str, str]) -> Answer:
    """Send a request with kubectl."""
    servers.take_seen()
    arguments = ("--kubeconfig", str(config), "get", "--raw", "/api", "--request-timeout=20s")
    done = run_kubectl(config.parent, environ, *arguments)
    seen = servers.take_seen()
    return Answer(done.returncode == 0, seen[0] if seen else None, done.stderr)


async def ask_us(servers: Servers, config: Path, environ: Mapping[str, str]) -> Answer:
    """Send a request with the program's own client."""
    servers.take_seen()
    environ = {"PATH": os.defpath, "HOME": str(config.parent), **environ}
    message, rest = "", None
    try:
        rest = RestClient(ClusterAccess(KubeconfigSource(config, environ=environ)))
        await rest.get("/api", "get /api")
    except TuiForwardError as error:
        message = f"{error.message}; {error.hint}"
    finally:
        if rest is not None:
            await rest.close()
    seen = servers.take_seen()
    return Answer(not message, seen[0] if seen else None, message)


def merged_by_kubectl(folder: Path, environ: Mapping[str, str]) -> Any:
    """Return the merged kubeconfig as kubectl decodes it."""
    done = run_kubectl(folder, environ, "config", "view", "--raw", "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
