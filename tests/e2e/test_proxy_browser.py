"""Names of localhost in Chromium, and pages of other origins that want to reach services."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import program
from tests.support.cluster_process import ClusterProcess
from tests.support.free_ports import find_free_port

pytestmark = [
    pytest.mark.usefixtures("kubeconfig"),
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium"),
]

# Each attempt adds its result to the page; what it finds out about another origin is little.
_ATTACKS = """<!doctype html><title>other origin</title><pre id=log></pre>
<img id=image src="{url}image.png"><iframe name=frame src="{url}frame"></iframe>
<script src="{url}script.js"></script>
<form id=form target=frame method=post action="{url}upload"><input name=a value=b></form>
<script>
const log = text => document.getElementById("log").textContent += text + "\\n";
document.getElementById("form").submit();
const attempts = [
  fetch("{url}fetch").then(r => log("READ fetch " + r.status), () => log("failed: fetch")),
  fetch("{url}simple", {{method: "POST", mode: "no-cors", body: "x"}})
    .then(r => log("opaque: " + r.type), () => log("failed: simple")),
  new Promise(done => {{
    const socket = new WebSocket("{url}ws".replace("http", "ws"));
    socket.onopen = () => {{ log("OPEN socket"); done(); }};
    socket.onerror = () => {{ log("failed: socket"); done(); }};
  }}),
];
Promise.all(attempts).then(() => log("all done"));
</script>"""


def chromium(url: str, home: Path, *options: str) -> str:
    """Return the page at an address as it is after its scripts have run."""
    command = (
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={home / 'chromium'}", "--virtual-time-budget=8000", "--timeout=60000",
        *options, "--dump-dom", url,
    )  # fmt: skip
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True
    )
    return done.stdout.decode()


class Pages(http.server.BaseHTTPRequestHandler):
    """Pages of another origin."""

    pages: dict[str, str]

    def do_GET(self) -> None:
        body = self.pages.get(self.path, "").encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - of the base class
        pass


@pytest.fixture
def pages() -> Iterator[tuple[str, dict[str, str]]]:
    """Return the address of a server, and its pages by path."""
    pages: dict[str, str] = {}
    handler = type("Handler", (Pages,), {"pages": pages})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", pages
        finally:
            server.shutdown()
            thread.join()


def test_the_user_opens_a_service(own_home: Path, cluster: ClusterProcess) -> None:
    port = find_free_port()
    with program("proxy", "--port", str(port), "-n", "shop") as process:
        process.wait_for_output("Proxying from")
        page = chromium(f"http://web.shop.localhost:{port}/", own_home)
        assert "You reached pod" in page
        page = chromium(f"http://web.shop.15000.localhost:{port}/", own_home)
        assert "Admin" in page


def test_pages_of_other_origins(
    own_home: Path, cluster: ClusterProcess, pages: tuple[str, dict[str, str]]
) -> None:
    origin, content = pages
    port = find_free_port()
    url = f"http://web.shop.localhost:{port}/"
    content["/attacks"] = _ATTACKS.format(url=url)
    content["/redirect"] = f'<meta http-equiv=refresh content="0;url={url}">'
    content["/open"] = f"<script>location.href = {url!r}</script>"
    with program("proxy", "--port", str(port), "--json", "-n", "shop") as process:
        process.wait_for_output("listening")
        page = chromium(f"{origin}/attacks", own_home)
        for text in ("failed: fetch", "failed: socket", "all done"):
            assert text in page
        for text in ("READ", "OPEN"):
            assert text not in page.partition("<form")[0]
        for path in ("/redirect", "/open"):
            assert "another origin" in chromium(f"{origin}{path}", own_home)
        # DNS rebinding: the address of the page's own host becomes that of this machine.
        page = chromium(
            f"http://evil.test:{port}/", own_home, "--host-resolver-rules=MAP evil.test 127.0.0.1"
        )
        assert "none of this proxy" in page
        # None of these has reached a service.
        assert [one for one in process.events if "/svc/" in one.get("target", "")] == []
        assert "You reached pod" in chromium(url, own_home)
        assert [one for one in process.events if "/svc/" in one.get("target", "")]
