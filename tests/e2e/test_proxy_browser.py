"""Names of localhost in Chromium, and pages of other origins that want to reach services."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.chromium_page import ChromiumPage
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


def test_the_user_opens_a_service(cluster: ClusterProcess, page: ChromiumPage) -> None:
    port = find_free_port()
    with program("proxy", "--port", str(port), "-n", "shop") as process:
        process.wait_for_output("Proxying from")
        page.open(f"http://web.shop.localhost:{port}/")
        page.wait_for("You reached pod")
        page.open(f"http://web.shop.15000.localhost:{port}/")
        page.wait_for("Admin")


def test_services_get_their_own_name(cluster: ClusterProcess, page: ChromiumPage) -> None:
    port = find_free_port()
    with program("proxy", "--port", str(port), "-n", "shop", "--strip-suffix") as process:
        process.wait_for_output("Proxying from")
        page.open(f"http://web.shop.localhost:{port}/")
        page.wait_for("its host\tweb.shop\n")


def test_pages_of_other_origins(
    cluster: ClusterProcess, page: ChromiumPage, pages: tuple[str, dict[str, str]]
) -> None:
    origin, content = pages
    port = find_free_port()
    url = f"http://web.shop.localhost:{port}/"
    content["/attacks"] = _ATTACKS.format(url=url)
    content["/redirect"] = f'<meta http-equiv=refresh content="0;url={url}">'
    content["/open"] = f"<script>location.href = {url!r}</script>"
    with program("proxy", "--port", str(port), "--json", "-n", "shop") as process:
        process.wait_for_output("listening")
        page.open(f"{origin}/attacks")
        page.wait_for("all done")
        page.wait_until_loaded()
        for text in ("failed: fetch", "failed: socket"):
            assert text in page.text()
        for text in ("READ", "OPEN"):
            assert text not in page.text()
        for path in ("/redirect", "/open"):
            page.open(f"{origin}{path}")
            page.wait_for("another origin")
        # DNS rebinding: the address of the page's own host becomes that of this machine.
        page.open(f"http://evil.test:{port}/")
        page.wait_for("none of this proxy")
        # None of these has reached a service.
        assert [one for one in process.events if "/svc/" in one.get("target", "")] == []
        page.open(url)
        page.wait_for("You reached pod")
        assert [one for one in process.events if "/svc/" in one.get("target", "")]
