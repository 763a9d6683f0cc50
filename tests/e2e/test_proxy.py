"""The command `proxy` on the embedded cluster, with the clients that people use."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
import requests

from tests.e2e.processes import PROGRAM, TIMEOUT_S, Process, program, wait_until
from tests.support import forked_program
from tests.support.cluster_process import ClusterProcess
from tests.support.free_ports import find_free_port

pytestmark = [pytest.mark.usefixtures("kubeconfig"), pytest.mark.clients]


def needs(*names: str) -> pytest.MarkDecorator:
    """Return a marker that skips a test where a program is missing."""
    missing = [name for name in names if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def listening_port(process: Process) -> int:
    """Return the port of a proxy that prints JSON."""

    def find() -> list[int]:
        assert process.popen.poll() is None, process.output()
        found = [one for one in process.events if one["event"] == "listening"]
        return [address["port"] for one in found for address in one["listening"]]

    wait_until(find, "the proxy to listen", state=process.output)
    return find()[0]


@pytest.fixture(scope="module")
def port(cluster: ClusterProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of a proxy with namespace shop that the tests share."""
    home = str(tmp_path_factory.mktemp("home"))
    process = Process(
        *PROGRAM, "proxy", "--port", "0", "--json", "-n", "shop",
        "--kubeconfig", str(cluster.kubeconfig), env={**os.environ, "HOME": home},
    )  # fmt: skip
    try:
        yield listening_port(process)
    finally:
        assert process.stop(signal.SIGINT) == 0


def run(*command: str, code: int | None = 0, **env: str) -> str:
    """Return what a command prints, stderr included."""
    done = forked_program.run(
        command, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=TIMEOUT_S,
    )  # fmt: skip
    text = str(done.stdout, "utf-8", "replace")
    assert code is None or done.returncode == code, text
    return text


def curl(*arguments: str, code: int | None = 0) -> str:
    return run("curl", "-sS", "-m", "30", *arguments, code=code)


def test_lines_and_ctrl_c() -> None:
    port = find_free_port()
    with program("proxy", "--port", str(port), "-n", "shop") as process:
        process.wait_for_output(
            f"Proxying from 127.0.0.1:{port} -> ", f"Proxying from [::1]:{port} -> "
        )
        assert "You reached pod" in curl(
            "--proxy", f"socks5h://127.0.0.1:{port}", "http://web.shop/"
        )
        process.wait_for_output("shop/svc/web:80 ready")
        curl("--proxy", f"http://127.0.0.1:{port}", "http://wep.shop/")
        process.wait_for_output("refused wep.shop:80")
        assert process.stop(signal.SIGINT) == 0


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        with program("proxy", "--port", str(number)) as process:
            assert process.wait() == 1
    assert f"{number}" in process.output()
    assert str(os.getpid()) in process.output()


@pytest.mark.parametrize(
    "url",
    [
        "http://web/",
        "http://web.shop/",
        "http://web.shop.svc/",
        "http://web.shop.svc.cluster.local/",
        "http://web-direct.shop:8888/",
        "http://web.shop:15000/",  # not declared by the service
    ],
)
@pytest.mark.parametrize("scheme", ["socks5h", "http"])
def test_curl(port: int, scheme: str, url: str) -> None:
    assert "You reached pod" in curl("--proxy", f"{scheme}://127.0.0.1:{port}", url)


def test_curl_through_connect(port: int) -> None:
    tunnel = ("--proxytunnel", "--proxy", f"http://127.0.0.1:{port}")
    assert "You reached pod" in curl(*tunnel, "http://web.shop/")


def test_curl_with_localhost(port: int) -> None:
    page = curl(f"http://web.shop.localhost:{port}/")
    assert "You reached pod" in page
    assert f"<td>its host</td><td><code>web.shop.localhost:{port}</code></td>" in page
    assert "Admin" in curl(f"http://web.shop.15000.localhost:{port}/")
    assert "# TYPE" in curl(f"http://web.shop.metrics.localhost:{port}/metrics")
    page = curl("-o", "-", "-w", "%{http_code}", f"http://toolbox.ops.localhost:{port}/")
    assert "You reached" in page or "200" in page or "404" in page


def test_pods_and_headless_services(port: int) -> None:
    for host in ("db-0.db.data.svc.cluster.local", "db-1.db.data", "db-0.data.pod", "db.data"):
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as sock:
            sock.sendall(f"CONNECT {host}:5432 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 "), host


def test_addresses(port: int, cluster: ClusterProcess) -> None:
    kubectl = shutil.which("kubectl") or str(Path(sys.executable).with_name("kubectl"))
    config = ("--kubeconfig", str(cluster.kubeconfig), "-n", "shop", "-o")
    service = run(kubectl, "get", "svc", "web", *config, "jsonpath={.spec.clusterIP}").strip()
    assert "You reached pod" in curl("--proxy", f"socks5h://127.0.0.1:{port}", f"http://{service}/")
    pod = run(
        kubectl, "get", "pods", "-l", "app=web", *config, "jsonpath={.items[0].status.podIP}"
    ).strip()
    assert "You reached pod" in curl("--proxy", f"http://127.0.0.1:{port}", f"http://{pod}:8080/")


@pytest.mark.parametrize(
    ("url", "texts"),
    [
        ("http://wep.shop/", ("no service", "web.shop", "Fix:")),
        ("http://example.com/", ("outside the cluster", "--direct")),
        ("http://partner.shop/", ("api.partner.example", "ExternalName")),
        ("http://kubernetes.default/", ("API server",)),
        ("http://legacy.shop/", ("nothing listens on", "port in the pod")),
    ],
)
def test_error_pages(port: int, url: str, texts: tuple[str, ...]) -> None:
    page = curl("-w", "%{http_code}", "--proxy", f"http://127.0.0.1:{port}", url)
    assert page.endswith("502")
    assert [text for text in texts if text not in page] == []


def test_socks_errors(port: int) -> None:
    text = curl("--proxy", f"socks5h://127.0.0.1:{port}", "http://wep.shop/", code=97)
    assert "(4)" in text
    text = curl("--proxy", f"socks5h://127.0.0.1:{port}", "http://example.com/", code=97)
    assert "(2)" in text


def test_a_client_that_resolves_names_itself(port: int) -> None:
    """Its name server does not know names of the cluster; the client says so itself."""
    text = curl("--proxy", f"socks5://127.0.0.1:{port}", "http://web.shop.invalid/", code=None)
    assert "resolve" in text.lower()


def test_requests(port: int) -> None:
    session = requests.Session()
    session.proxies = {"http": f"http://127.0.0.1:{port}"}
    for _ in range(3):
        for url in ("http://web.shop/", "http://web-direct.shop:8888/"):
            assert "You reached pod" in session.get(url, timeout=TIMEOUT_S).text
    answer = session.post("http://web.shop/upload", data=b"x" * 300_000, timeout=TIMEOUT_S)
    assert "300000" in answer.text

    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b"y" * 1000

    answer = session.post("http://web.shop/upload", data=chunks(), timeout=TIMEOUT_S)
    assert "20000" in answer.text
    session.close()


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "http"])
def test_httpx(port: int, scheme: str) -> None:
    """Its SOCKS client sends names as they are, also for `socks5`."""
    with httpx.Client(proxy=f"{scheme}://127.0.0.1:{port}", timeout=TIMEOUT_S) as client:
        for url in ("http://web.shop/", "http://web-direct.shop:8888/", "http://web.shop/"):
            assert "You reached pod" in client.get(url).text
        answer = client.post("http://web.shop/upload", content=b"x" * 300_000)
        assert "300000" in answer.text


@needs("git")
def test_git(port: int) -> None:
    text = run(
        "git", "-c", f"http.proxy=socks5h://127.0.0.1:{port}", "ls-remote",
        "http://web.shop/nothing.git", code=128,
    )  # fmt: skip
    assert "not found" in text


@pytest.fixture
def proxychains(port: int, tmp_path: Path) -> tuple[str, ...]:
    """Return the beginning of a command that runs another one with all connections proxied."""
    config = tmp_path / "proxychains.conf"
    config.write_text(
        "strict_chain\nproxy_dns\nquiet_mode\n"
        f"tcp_connect_time_out 20000\n[ProxyList]\nsocks5 127.0.0.1 {port}\n"
    )
    return ("proxychains4", "-f", str(config))


@needs("proxychains4", "redis-cli")
def test_redis_cli(proxychains: tuple[str, ...]) -> None:
    """The echo server sends the command back, which is a list in the protocol of Redis."""
    text = run(*proxychains, "redis-cli", "-h", "echo.shop", "-p", "7", "PING", "hello")
    assert "PING" in text
    assert "hello" in text


@needs("proxychains4", "psql")
def test_psql(proxychains: tuple[str, ...]) -> None:
    """The database of the embedded cluster is none of Postgres: what counts is that it answers."""
    text = run(
        *proxychains, "psql", "host=db.data port=5432 user=me dbname=me sslmode=disable", code=2
    )
    assert "could not translate host name" not in text
    assert "expected authentication request" in text or "closed the connection" in text


def test_env() -> None:
    port = find_free_port()
    with program("proxy", "--port", str(port), "-n", "shop") as process:
        process.wait_for_output("Proxying from")
        command = forked_program.forking_command([*PROGRAM, "proxy", "--env"], "command")
        shell = f'eval "$({shlex.join(command)} --port {port})" && '
        assert "You reached pod" in run(
            "sh", "-c", f"{shell} curl -sS http://web.shop/", NO_PROXY="example.com"
        )
        text = run(*PROGRAM, "proxy", "--env", "--port", str(port), NO_PROXY="example.com")
        assert f"export ALL_PROXY=socks5h://127.0.0.1:{port}" in text
        assert "export NO_PROXY=example.com,localhost,.localhost,127.0.0.1,::1" in text
    text = run(*PROGRAM, "proxy", "--env", "--port", str(port), code=2)
    assert "no cluster proxy runs" in text


def test_run_with_a_proxy(cluster: ClusterProcess) -> None:
    program = "import os, urllib.request as r; print(r.urlopen('http://web.shop/').read().decode())"
    text = run(
        *PROGRAM, "run", "--proxy", "-n", "shop", "--", sys.executable, "-c", program,
        KUBECONFIG=str(cluster.kubeconfig),
    )  # fmt: skip
    assert "You reached pod" in text
    assert run(*PROGRAM, "run", "--proxy", "--", "sh", "-c", "exit 7", code=7) == ""


def test_run_without_a_proxy_takes_no_context() -> None:
    assert "--namespace needs --proxy" in run(
        *PROGRAM, "run", "-n", "shop", "p", "--", "true", code=2
    )
    assert "no profile given" in run(*PROGRAM, "run", "--", code=2)


def test_protected_contexts(own_home: Path, cluster: ClusterProcess) -> None:
    settings = own_home / ".config" / "tui-forward" / "settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('protected_contexts = ["*"]\n')
    assert "is protected" in run(*PROGRAM, "proxy", "--port", "0", code=2)
    assert "is protected" in run(*PROGRAM, "run", "--proxy", "--", "true", code=2)
    assert run(*PROGRAM, "run", "--proxy", "--allow-protected", "--", "true") == ""


def test_json(cluster: ClusterProcess) -> None:
    with program("proxy", "--port", "0", "--json", "-n", "shop") as process:
        number = listening_port(process)
        curl("--proxy", f"http://127.0.0.1:{number}", "http://web/")
        wait_until(
            lambda: any(one["event"] == "connection.closed" for one in process.events),
            "the end of the connection",
        )
        assert process.stop(signal.SIGTERM) == 0
    targets = {one.get("target") for one in map(json.loads, process.out)}
    assert "shop/svc/web:80" in targets


def test_in_the_background(cluster: ClusterProcess) -> None:
    port = find_free_port()
    text = run(*PROGRAM, "proxy", "--background", "--port", str(port), "-n", "shop")
    assert f"Proxying from 127.0.0.1:{port} -> " in text
    assert "tui-forward stop p1" in text
    proxy = ("--proxy", f"socks5h://127.0.0.1:{port}")
    assert "You reached pod" in curl(*proxy, "http://web/")
    listed = [json.loads(line) for line in run(*PROGRAM, "ls", "--json").splitlines()]
    assert listed[0]["proxy"] == "p1"
    assert listed[0]["targets"] == [one["forward"] for one in listed[1:]]
    assert listed[1]["target"] == "shop/svc/web:80"
    text = run(*PROGRAM, "ls")
    assert f"p1 cluster proxy on 127.0.0.1:{port} for " in text
    assert "by p1" in text
    assert "p1 cluster proxy on" in run(*PROGRAM, "status")
    # Another engine takes over the port, and the names are known again.
    run(*PROGRAM, "restart")
    assert "You reached pod" in curl(*proxy, "http://web/")
    # A killed engine is replaced, and what it had is restored.
    (engine,) = [json.loads(line) for line in run(*PROGRAM, "status", "--json").splitlines()[:1]]
    os.kill(engine["engine"]["pid"], signal.SIGKILL)
    assert "You reached pod" in curl("--retry", "20", "--retry-all-errors", *proxy, "http://web/")
    assert "stopped p1: cluster proxy on" in run(*PROGRAM, "stop", "p1")
    curl(*proxy, "http://web/", code=7)
    assert "no active forwards" in run(*PROGRAM, "ls")


def test_connections_are_spread_over_the_pods(port: int) -> None:
    def pods(number: int) -> set[str]:
        pages = [curl("--proxy", f"socks5h://127.0.0.1:{number}", "http://web/") for _ in range(20)]
        return {page.partition("You reached pod <b>")[2].partition("</b>")[0] for page in pages}

    found: set[str] = set()
    wait_until(lambda: len(found.union(pods(port))) > 1, "an answer of a second pod")
    own = find_free_port()
    with program("proxy", "--port", str(own), "-n", "shop", "--no-spread") as process:
        process.wait_for_output("Proxying from")
        assert len(pods(own)) == 1


def test_profile_has_a_proxy(own_home: Path, cluster: ClusterProcess) -> None:
    port = find_free_port()
    profile = own_home / ".config/tui-forward/profiles/shop.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text(f"namespace: shop\nforwards: {{}}\nproxy: {port}\n")
    tui_forward = partial(run, *PROGRAM, HOME=str(own_home), KUBECONFIG=str(cluster.kubeconfig))
    shown = tui_forward("profile", "show", "shop")
    assert (
        f"proxy: every service and pod in the current context, namespace shop\n    port {port}"
        in shown
    )
    tui_forward("up", "shop")
    try:
        assert "You reached pod" in curl("--proxy", f"socks5h://127.0.0.1:{port}", "http://web/")
        assert "no changes" in tui_forward("up", "shop", "--dry-run")
    finally:
        assert "stopped the cluster proxy" in tui_forward("down", "shop")
    assert curl("--proxy", f"socks5h://127.0.0.1:{port}", "http://web/", code=None).startswith(
        "curl"
    )


def test_services_get_their_own_name(own_home: Path, cluster: ClusterProcess) -> None:
    process = Process(
        *PROGRAM, "proxy", "--port", "0", "--json", "-n", "shop", "--strip-suffix",
        env={**os.environ, "HOME": str(own_home), "KUBECONFIG": str(cluster.kubeconfig)},
    )  # fmt: skip
    try:
        port = listening_port(process)
        hosts = {
            f"http://web.shop.localhost:{port}/": "web.shop",
            f"http://web.shop.80.localhost:{port}/": "web.shop",
            f"http://web.shop.http.localhost:{port}/": "web.shop",
        }
        for url, host in hosts.items():
            assert f"<td>its host</td><td><code>{host}</code></td>" in curl(url)
    finally:
        assert process.stop(signal.SIGINT) == 0


def test_domain_of_the_cluster(own_home: Path, cluster: ClusterProcess) -> None:
    settings = own_home / ".config/tui-forward/settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('proxy_domain = "corp.example"\nproxy_idle_timeout = "2m"\n')
    env = {"HOME": str(own_home), "KUBECONFIG": str(cluster.kubeconfig)}
    wrong = run(*PROGRAM, "proxy", "--domain", "a..b", code=2, **env)
    assert '--domain: "a..b" is not a valid domain' in wrong
    process = Process(
        *PROGRAM, "proxy", "--port", "0", "--json", "-n", "shop", env={**os.environ, **env}
    )
    try:
        proxy = f"socks5h://127.0.0.1:{listening_port(process)}"
        assert "You reached pod" in curl("--proxy", proxy, "http://web.shop.svc.corp.example/")
    finally:
        assert process.stop(signal.SIGINT) == 0
