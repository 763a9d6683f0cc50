"""Links that the user clicks in Chromium, and the PAC file there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.chromium_page import ChromiumPage, running_chromium
from tests.e2e.processes import Process, program
from tests.e2e.test_proxy_browser import pages
from tests.support.cluster_process import ClusterProcess
from tests.support.free_ports import find_free_port

__all__ = ["pages"]  # a fixture

pytestmark = [
    pytest.mark.usefixtures("kubeconfig"),
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium"),
]
_REFUSED = "for a page of another origin"
_SERVED = "You reached pod"


def targets(process: Process) -> set[str]:
    """Return the services that the proxy has connected to."""
    return {one["target"] for one in process.events if "/svc/" in one.get("target", "")}


def insert_link(page: ChromiumPage, url: str, attributes: str = "") -> None:
    page.evaluate(
        "document.body.insertAdjacentHTML('afterbegin', "
        f'\'<a id=link style="display:block;height:40px" href="{url}" {attributes}>link</a>\')'
    )


def test_link_of_another_origin(
    cluster: ClusterProcess, page: ChromiumPage, pages: tuple[str, dict[str, str]]
) -> None:
    origin, content = pages
    port = find_free_port()
    url = f"http://web.shop.localhost:{port}/"
    for name, attributes in (("plain", ""), ("without-referrer", "rel=noreferrer")):
        content[f"/{name}"] = f"<a id=link href={url} {attributes}>a service</a>"
    with program("proxy", "--port", str(port), "--json", "-n", "shop") as process:
        process.wait_for_output("listening")
        for name in ("plain", "without-referrer"):
            page.open(f"{origin}/{name}")
            page.wait_for("a service")
            page.click("#link")
            page.wait_for(_REFUSED)
            assert "Type or paste the address" in page.text()
        assert targets(process) == set()
        # The user follows the hint.
        page.open(url)
        page.wait_for(_SERVED)


def test_links_between_services(cluster: ClusterProcess, page: ChromiumPage) -> None:
    port = find_free_port()
    web = f"http://web.shop.localhost:{port}/"
    with program("proxy", "--port", str(port), "--json", "-n", "shop") as process:
        process.wait_for_output("listening")
        page.open(web)
        page.wait_for(_SERVED)
        # Of the same namespace, which is one site for a browser, and of another one.
        for other in ("web-direct.shop", "toolbox.ops"):
            before = targets(process)
            page.open(web)
            page.wait_for(_SERVED)
            insert_link(page, f"http://{other}.localhost:{port}/")
            page.click("#link")
            page.wait_for(_REFUSED)
            assert targets(process) == before
        page.open(web)
        page.wait_for(_SERVED)
        insert_link(page, "/elsewhere")
        page.click("#link")
        page.wait_for("404 page not found")  # as the service says
        assert page.evaluate("location.pathname") == "/elsewhere"


def test_pac_file(
    own_home: Path, cluster: ClusterProcess, pages: tuple[str, dict[str, str]]
) -> None:
    origin, content = pages
    content["/"] = "a page outside the cluster"
    port = find_free_port()
    with program("proxy", "--port", str(port), "--json", "-n", "shop") as process:
        process.wait_for_output("listening")
        pac = f"--proxy-pac-url=http://127.0.0.1:{port}/proxy.pac"
        resolved = "--host-resolver-rules=MAP other.test 127.0.0.1"
        with running_chromium(own_home, pac, resolved) as page:
            for url in ("http://web.shop/", "http://web.shop.svc.cluster.local/"):
                page.open(url)
                page.wait_for(_SERVED)
            page.open(f"{origin.replace('127.0.0.1', 'other.test')}/")
            page.wait_for("a page outside the cluster")
