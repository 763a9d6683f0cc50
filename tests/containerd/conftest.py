"""An embedded control plane and kubelet over a real containerd with real runc."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.containerd.containerd_process import BASE, PrivateContainerd, why_not
from tests.e2e.processes import Process, environment, until
from tui_forward.minicluster.control_socket import ControlClient

ROOT = Path(__file__).parents[2]
TOOLBOX_PORTS = (7000, 7001, 7002, 7004, 7006, 7009, 7999, 8080)


@dataclass(frozen=True)
class RealChain:
    """API server and kubelet of ours, containerd and runc of theirs, one pod."""

    kubeconfig: Path
    server: str
    control: ControlClient
    containerd: PrivateContainerd
    pod: str = "toolbox"

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl; its stdout."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment(self.kubeconfig.parent),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, name: str) -> dict[str, Any]:
        """A pod of the default namespace."""
        text = self.kubectl("get", "pod", name, "-o", "json")
        return msgspec.json.decode(text, type=dict[str, Any])

    def ready(self, name: str) -> bool:
        """Whether a pod is Ready."""
        conditions = self.get(name).get("status", {}).get("conditions") or ()
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def toolbox_pod(name: str) -> dict[str, Any]:
    """The toolbox in a container whose programs are the host's."""
    shared = {"/usr", str(ROOT), sys.prefix, sys.base_prefix}
    # What lies below another one is there already.
    folders = sorted(
        each
        for each in shared
        if not any(each != other and each.startswith(f"{other}/") for other in shared)
    )
    probe = "import socket; socket.create_connection(('127.0.0.1', 7000))"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "toolbox",
                    "image": BASE,
                    "imagePullPolicy": "Never",
                    "command": [
                        sys.executable,
                        *("-m", "tui_forward.minicluster.runtime.apps", "toolbox"),
                    ],
                    "env": [
                        {"name": "PYTHONPATH", "value": str(ROOT)},
                        {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
                    ],
                    "ports": [{"name": "echo", "containerPort": 7000}],
                    "volumeMounts": [
                        {"name": f"host{number}", "mountPath": folder, "readOnly": True}
                        for number, folder in enumerate(folders)
                    ],
                    "readinessProbe": {
                        "exec": {"command": [sys.executable, "-c", probe]},
                        "periodSeconds": 1,
                        "timeoutSeconds": 5,
                    },
                }
            ],
            "volumes": [
                {"name": f"host{number}", "hostPath": {"path": folder}}
                for number, folder in enumerate(folders)
            ],
        },
    }


@pytest.fixture(scope="package")
def real_chain() -> Iterator[RealChain]:
    """One for all tests: a containerd takes seconds."""
    missing = why_not() or ("" if shutil.which("kubectl") else "needs kubectl")
    if missing:
        pytest.skip(missing)
    # pytest's own folders are too deep for unix sockets.
    folder = Path(tempfile.mkdtemp(prefix="tfc"))
    containerd = PrivateContainerd(folder / "c")
    containerd.folder.mkdir()
    process: Process | None = None
    try:
        containerd.start()
        process = Process(
            *(sys.executable, "-m", "tui_forward.minicluster", "--json", "--no-workloads"),
            *("--nodes", "real", "--runtime", "containerd"),
            *("--containerd-socket", str(containerd.socket)),
            *("--dir", str(folder / "m"), "--parent-pid", str(os.getpid())),
            env=environment(folder),
        )
        started = process
        until(lambda: started.out or started.popen.poll() is not None, "the cluster", 60)
        assert process.out, process.talk()
        ready = msgspec.json.decode(process.out[0])
        chain = RealChain(
            Path(ready["kubeconfig"]), ready["server"], ControlClient(ready["control"]), containerd
        )
        create(chain, toolbox_pod("toolbox"))
        until(lambda: chain.ready("toolbox"), "the toolbox pod to be Ready")
        yield chain
    finally:
        if process is not None:
            process.end()
        containerd.stop()
        shutil.rmtree(folder, ignore_errors=True)


def create(chain: RealChain, pod: dict[str, Any]) -> None:
    """Create an object."""
    path = chain.kubeconfig.parent / f"{pod['metadata']['name']}.json"
    path.write_bytes(msgspec.json.encode(pod))
    chain.kubectl("create", "--validate=false", "-f", str(path))
