"""A containerd for tests, with folders, socket, images and network plugin of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.containerd import images

PAUSE = "localhost/tui-forward/pause:1"
BASE = "localhost/tui-forward/base:1"

_CONFIG = """
version = 2
root = "{root}"
state = "{state}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
"""

_NETWORK = """
{{"cniVersion": "0.4.0", "name": "tests", "plugins": [{{"type": "loopback-only"}}]}}
"""

# Pods get a namespace with a loopback interface and an address that is not routed: enough for
# port-forwards, without changes to the host's network. Python would take longer to start than all
# of this.
_PLUGIN = """#!/bin/sh
case "$CNI_COMMAND" in
ADD)
  nsenter --net="$CNI_NETNS" ip link set lo up || exit
  number=$(printf %s "$CNI_CONTAINERID" | cksum)
  number=${number%% *}
  address="10.99.$((number >> 8 & 255)).$((number % 254 + 1))/16"
  [ "${0##*/}" = loopback ] && address=127.0.0.1/8
  version=$(sed -n 's/.*"cniVersion": *"\\([^"]*\\)".*/\\1/p')
  cat <<END
{
  "cniVersion": "$version",
  "interfaces": [{"name": "$CNI_IFNAME", "sandbox": "$CNI_NETNS"}],
  "ips": [{"version": "4", "address": "$address", "interface": 0}],
  "dns": {}
}
END
  ;;
VERSION) echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]}' ;;
esac
"""


class PrivateContainerd:
    """A containerd process with its images.

    Args:
        folder: Folder of all its files; the path must be short, because it contains sockets.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "c.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start containerd and import the images."""
        plugins, networks = self.folder / "cni", self.folder / "net.d"
        for folder in (plugins, networks):
            folder.mkdir()
        (networks / "10-tests.conflist").write_text(_NETWORK.format())
        for name in ("loopback", "loopback-only"):
            plugin = plugins / name
            plugin.write_text(_PLUGIN)
            plugin.chmod(0o755)
        config = self.folder / "config.toml"
        config.write_text(
            _CONFIG.format(
                root=self.folder / "root",
                state=self.folder / "state",
                socket=self.socket,
                pause=PAUSE,
                plugins=plugins,
                networks=networks,
                opt=self.folder / "opt",
            )
        )
        self.launch()
        for reference, write in ((PAUSE, images.write_pause), (BASE, images.write_base)):
            archive = self.folder / "image.tar"
            write(archive, reference)
            self.ctr("images", "import", "--snapshotter", "native", str(archive))

    def launch(self) -> None:
        """Start the process, also after `kill`."""
        with (self.folder / "containerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["containerd", "--config", str(self.folder / "config.toml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready()

    def kill(self) -> None:
        """Kill the process; its containers keep running."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(number)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30.0
        while True:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"containerd is not ready:\n{self.log()}")
            if self.socket.exists():
                with contextlib.suppress(subprocess.CalledProcessError):
                    self.ctr("plugins", "ls")
                    return
            time.sleep(0.05)

    def log(self) -> str:
        """Return the end of the log."""
        return (self.folder / "containerd.log").read_text()[-4000:]

    def ctr(self, *arguments: str) -> str:
        """Run `ctr` in the namespace of the CRI and return its stdout."""
        done = subprocess.run(
            ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments],
            check=True,
            capture_output=True,
            timeout=60,
            text=True,
        )
        return done.stdout

    def _tasks(self) -> dict[str, int]:
        """Return the running containers and the first process of each."""
        with contextlib.suppress(subprocess.SubprocessError):
            lines = self.ctr("tasks", "ls").splitlines()[1:]
            return {words[0]: int(words[1]) for words in map(str.split, lines)}
        return {}

    def stop(self) -> None:
        """Stop containerd, kill all containers, and unmount everything below the folder."""
        if self._process is not None:
            tasks = self._tasks()
            for task in tasks:
                with contextlib.suppress(
                    subprocess.SubprocessError
                ):  # a kubelet may be deleting it
                    self.ctr("tasks", "delete", "--force", task)
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            # A container whose shim was being stopped keeps running.
            for task, pid in tasks.items():
                with contextlib.suppress(OSError):
                    if task in Path(f"/proc/{pid}/cgroup").read_text():
                        os.kill(pid, signal.SIGKILL)
        # So does a shim that a kubelet was stopping.
        for process in psutil.process_iter(["cmdline"]):
            if str(self.socket) in (process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    for child in process.children(recursive=True):
                        child.kill()
                    process.kill()
        for mount in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            point = mount.split()[1]
            if point.startswith(str(self.folder)):
                subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def missing_requirement() -> str:
    """Return what is missing to run containerd here, empty if nothing is."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    for program in ("containerd", "ctr", "runc", "containerd-shim-runc-v2", "nsenter", "ip"):
        if shutil.which(program) is None:
            return f"needs {program}"
    return ""
