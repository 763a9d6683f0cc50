"""CPU time of the embedded cluster's processes."""

from __future__ import annotations

import contextlib

import psutil


def cpu_by_component(pid: int) -> dict[str, float]:
    """Return the CPU seconds that each component of the cluster has used."""
    used: dict[str, float] = {}
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            modules = [word for word in process.cmdline() if "minicluster" in word]
            name = modules[0].rpartition(".")[2] if modules else process.name()
            if name == "fork_server":  # or a component that it has forked: kubelet-node-a
                name = process.name().partition("-node")[0]
            times = process.cpu_times()
            used[name] = used.get(name, 0.0) + times.user + times.system
    return used
