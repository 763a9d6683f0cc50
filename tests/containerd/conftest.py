"""The embedded control plane and kubelet with a real containerd and runc."""

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

from tests.containerd.containerd_process import BASE, PrivateContainerd, missing_requirement
from tests.e2e.processes import Process, environment, wait_until
from tui_forward.minicluster.control_socket import ControlClient

ROOT = Path(__file__).parents[2]
TOOLBOX_PORTS = (7000, 7001, 7002, 7004, 7006, 7009, 7999, 8080)


@dataclass(frozen=True)
class RealChain:
    """Embedded API server and kubelet, real containerd and runc, and one pod."""

    kubeconfig: Path
    server: str
    control: ControlClient
    containerd: PrivateContainerd
    pod: str = "toolbox"

    def kubectl(self, *arguments: str, timeout_s: float = 60.0) -> str:
        """Run kubectl and return its stdout."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=environment(self.kubeconfig.parent),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get_pod(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """Return a pod."""
        text = self.kubectl("get", "pod", "-n", namespace, name, "-o", "json")
        return msgspec.json.decode(text, type=dict[str, Any])

    def wait_for(
        self, name: str, what: str, namespace: str = "default", *, timeout_s: float = 60.0
    ) -> None:
        """Wait for a pod as `kubectl wait --for=WHAT` does."""
        self.kubectl(
            "wait", "-n", namespace, f"pod/{name}", f"--for={what}", f"--timeout={timeout_s:.0f}s",
            timeout_s=timeout_s + 30.0,
        )  # fmt: skip

    def wait_until_ready(self, name: str) -> None:
        """Wait until a pod is Ready."""
        self.wait_for(name, "condition=Ready")


def toolbox_pod(name: str) -> dict[str, Any]:
    """Return a pod that runs the toolbox, Ready once it serves its first port."""
    pod = app_pod(name, "toolbox", TOOLBOX_PORTS[0])
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def app_pod(name: str, app: str, port: int, **env: str) -> dict[str, Any]:
    """Return metadata and spec of a pod that runs an application with the host's programs.

    It is Ready while the application serves the port, which is named after it.
    """
    probe = f"exec 3<>/dev/tcp/127.0.0.1/{port}"
    container: dict[str, Any] = {
        "name": app,
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "ports": [{"name": app, "containerPort": port}],
        "readinessProbe": {
            "exec": {"command": ["/usr/bin/bash", "-c", probe]},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        },
    }
    volumes = add_programs(container, app)
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": volumes},
    }


def add_programs(container: dict[str, Any], app: str) -> list[dict[str, Any]]:
    """Let a container run an application with the host's programs; return volumes of its pod.

    A command that it has stays.
    """
    shared = {"/usr", str(ROOT), sys.prefix, sys.base_prefix}
    # Folders below another one are mounted with it.
    folders = sorted(
        folder
        for folder in shared
        if not any(folder != other and folder.startswith(f"{other}/") for other in shared)
    )
    container |= {
        "image": BASE,
        "imagePullPolicy": "Never",
        "env": [
            *container.get("env", ()),
            {"name": "PYTHONPATH", "value": str(ROOT)},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        ],
        "volumeMounts": [
            {"name": f"host{number}", "mountPath": folder, "readOnly": True}
            for number, folder in enumerate(folders)
        ],
    }
    container.setdefault(
        "command", [sys.executable, "-m", "tui_forward.minicluster.runtime.apps", app]
    )
    return [
        {"name": f"host{number}", "hostPath": {"path": folder}}
        for number, folder in enumerate(folders)
    ]


@pytest.fixture(scope="package")
def real_chain() -> Iterator[RealChain]:
    """One chain for all tests, since containerd takes seconds to start."""
    missing = missing_requirement() or ("" if shutil.which("kubectl") else "needs kubectl")
    if missing:
        pytest.skip(missing)
    # The paths of pytest's folders are too long for unix sockets.
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
        wait_until(lambda: started.out or started.popen.poll() is not None, "the cluster", 60)
        assert process.out, process.output()
        ready = msgspec.json.decode(process.out[0])
        chain = RealChain(
            Path(ready["kubeconfig"]), ready["server"], ControlClient(ready["control"]), containerd
        )
        create(chain, toolbox_pod("toolbox"))
        chain.wait_until_ready("toolbox")
        yield chain
    finally:
        if process is not None:
            process.stop()
        containerd.stop()
        shutil.rmtree(folder, ignore_errors=True)


def create(chain: RealChain, *objects: dict[str, Any]) -> None:
    """Create objects with kubectl."""
    path = chain.kubeconfig.parent / f"{objects[0]['metadata']['name']}.json"
    path.write_bytes(msgspec.json.encode({"kind": "List", "apiVersion": "v1", "items": objects}))
    chain.kubectl("create", "--validate=false", "-f", str(path))
