"""Listing thousands of pods: time to the first page, time to all, peak memory."""

from __future__ import annotations

import base64
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.bench.forwarders import newest_kubectl
from tests.bench.measurements import MIB
from tests.support.cluster_process import REPOSITORY


@dataclass(frozen=True)
class Listing:
    """Result of one list program: seconds since its start, and peak memory."""

    name: str
    first_s: float | None
    all_s: float
    count: int
    peak_mib: float
    problem: str = ""  # why there are no figures


def listings(kubeconfig: Path) -> list[Listing]:
    """Return the list programs found on this machine, ours first; one that fails says why."""
    lister = [sys.executable, "-m", "tests.bench.list_process"]
    found = _attempt(
        "tui-forward", lambda: [_process("tui-forward", [*lister, "ours"], kubeconfig)]
    )
    found += _attempt("curl", lambda: _curl(kubeconfig))
    if kubectl := newest_kubectl():
        name = "kubectl get pods -A"
        with tempfile.TemporaryDirectory() as cache:
            command = [kubectl.path, "--cache-dir", cache, "get", "pods", "-A", "--no-headers"]
            found += _attempt(name, lambda: [_process(name, command, kubeconfig)])
    name = "official client, models"
    return found + _attempt(name, lambda: [_process(name, [*lister, "official"], kubeconfig)])


def _attempt(name: str, measure: Callable[[], list[Listing]]) -> list[Listing]:
    try:
        return measure()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return [Listing(name, None, 0.0, 0, 0.0, problem=" ".join(str(error).split())[-200:])]


def _process(name: str, command: Sequence[str], kubeconfig: Path) -> Listing:
    """Run and time one process.

    Raises:
        RuntimeError: It failed.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    first: float | None = None
    complete: float | None = None
    count = 0
    for line in process.stdout:
        if line.startswith(b"first "):
            first = time.perf_counter() - begin
        elif line.startswith(b"all "):
            complete, count = time.perf_counter() - begin, int(line.split()[1])
        else:
            count += 1
    error = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"{name} failed: {error[-500:]}")
    if complete is None:
        complete = time.perf_counter() - begin
    return Listing(name, first, complete, count, _peak_mib(usage))


def _peak_mib(usage: resource.struct_rusage) -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / MIB


def _curl(kubeconfig: Path) -> list[Listing]:
    """Measure the transfer alone with curl: pages of 500, and one request for all."""
    curl = shutil.which("curl")
    if curl is None:
        return []
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    with tempfile.TemporaryDirectory() as folder:
        names = {
            "--cacert": _file(cluster, "certificate-authority", folder),
            "--cert": _file(user, "client-certificate", folder),
            "--key": _file(user, "client-key", folder),
        }
        command = [curl, "-sSf", *(part for pair in names.items() if pair[1] for part in pair)]
        if token := user.get("token"):
            command += ["-H", f"Authorization: Bearer {token}"]
        url = f"{cluster['server']}/api/v1/pods"
        pages, first, token = 0, None, ""
        began, spent, count = time.perf_counter(), 0.0, 0
        while True:
            began = time.perf_counter()
            query = f"?limit=500&continue={token}" if token else "?limit=500"
            body = subprocess.run([*command, url + query], check=True, capture_output=True).stdout
            # Only the time of curl itself counts, not that of finding the next page's token.
            spent += time.perf_counter() - began
            first = first or spent
            page = json.loads(body)
            pages, count = pages + 1, count + len(page["items"])
            token = page["metadata"].get("continue", "")
            if not token:
                break
        began = time.perf_counter()
        subprocess.run([*command, "-o", os.devnull, url], check=True)
        whole = time.perf_counter() - began
    return [
        Listing(f"curl, {pages} pages of 500", first, spent, count, 0.0),
        Listing("curl, one request", None, whole, count, 0.0),
    ]


def _file(section: dict[str, str], key: str, folder: str) -> str:
    if data := section.get(f"{key}-data"):
        path = Path(folder, key)
        path.touch(mode=0o600)
        path.write_bytes(base64.b64decode(data))
        return str(path)
    return section.get(key, "")
