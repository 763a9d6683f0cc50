"""A real Prometheus scrapes the metrics, with README's configuration and queries."""

from __future__ import annotations

import json
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import PROGRAM, Process, http_get, program, wait_until
from tests.support.cluster_process import REPOSITORY
from tests.support.forked_program import run
from tests.support.free_ports import find_free_port

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.usefixtures("kubeconfig"),
    pytest.mark.prometheus,
    pytest.mark.skipif(PROMETHEUS is None, reason="no Prometheus on this machine"),
]
PROFILE = """\
namespace: shop
forwards:
  web: {target: deploy/web, port: http, local: 0}
  pending: {target: deploy/search, port: 80, local: 0}
"""


def blocks(language: str) -> list[str]:
    """Return the code blocks of README in a language."""
    text = (REPOSITORY / "README.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


class Prometheus:
    """A Prometheus of this test."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/query"

    def query(self, query: str) -> list[dict[str, Any]]:
        """Return the series of an instant query; none while it is not ready."""
        try:
            parameters = urllib.parse.urlencode({"query": query})
            with urllib.request.urlopen(f"{self._url}?{parameters}", timeout=60) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:  # until it has read its database
                return []
            raise AssertionError(f"{query}: {error.read().decode()}") from error
        except OSError:
            return []
        result: list[dict[str, Any]] = found["data"]["result"]
        return result


@contextmanager
def prometheus(folder: Path, metrics_port: int) -> Iterator[Prometheus]:
    [config] = [one for one in blocks("yaml") if "scrape_configs" in one]
    file = folder / "prometheus.yml"
    file.write_text(
        "global: {scrape_interval: 200ms}\n"
        + config.replace("127.0.0.1:9464", f"127.0.0.1:{metrics_port}")
    )
    port = find_free_port()
    assert PROMETHEUS is not None
    process = Process(
        PROMETHEUS, f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )  # fmt: skip
    try:
        yield Prometheus(port)
    finally:
        process.stop()


def test_documented_queries_have_answers(tmp_path: Path) -> None:
    profile = tmp_path / "shop.yaml"
    profile.write_text(PROFILE)
    metrics_port = find_free_port()
    started = run(
        [*PROGRAM, "up", "-y", "--no-wait", str(profile)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    throughput, latency, not_ready = next(iter(blocks("promql"))).splitlines()
    with (
        program("metrics", "--listen", f"127.0.0.1:{metrics_port}") as server,
        prometheus(tmp_path, metrics_port) as found,
    ):
        server.wait_for_output("/metrics")
        listed = run([*PROGRAM, "ls", "--json"], capture_output=True, text=True, check=True)
        rows = [json.loads(line) for line in listed.stdout.splitlines()]
        address = next(row["listening"][0] for row in rows if row["name"] == "web")
        port = int(address.rpartition(":")[2])

        def has_counted() -> bool:
            http_get(port)
            rates = {
                one["metric"]["target"]: float(one["value"][1]) for one in found.query(throughput)
            }
            return rates.get("shop/deploy/web:http", 0.0) > 0

        wait_until(has_counted, "bytes in Prometheus")
        wait_until(lambda: found.query(latency), "times to first byte in Prometheus")
        [slowest] = [one for one in found.query(latency) if one["value"][1] != "NaN"]
        assert 0 < float(slowest["value"][1]) <= 10
        assert [one["metric"]["name"] for one in found.query(not_ready)] == ["pending"]
        assert [one["value"][1] for one in found.query("tui_forward_up")] == ["1"]
