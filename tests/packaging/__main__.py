"""`make dist`: builds what is published, twice, and tries each form as a new user would.

    python -m tests.packaging --into dist

Each form is installed into an empty environment of every supported Python that is found, and used
against an embedded cluster that was started from elsewhere: forward, fetch, stop. Then a table of
sizes and times is printed. The exit code is 1 if something fails, or a build differs from the same
build a moment later.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.e2e.processes import Process, http_get
from tests.packaging.builds import build_distributions, build_one_file
from tests.packaging.commands import run
from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster

VERSIONS = ("3.11", "3.12", "3.13")
MIB = 1 << 20


class Trial(NamedTuple):
    """One form on one version of Python. Times are seconds."""

    form: str
    version: str
    installed_mib: float
    install_s: float  # from nothing to a program that can be started
    first_byte_s: float  # from its first start to the first byte through a forward


def find_pythons() -> dict[str, Path]:
    """Return the interpreters of this machine by their versions; this one in any case."""
    found = {"{}.{}".format(*sys.version_info): Path(sys.executable)}
    for version in VERSIONS:
        for name in (f"python{version}", *map(str, _pyenv_pythons(version))):
            path = shutil.which(name)
            check = "import venv, ensurepip, sys; print(sys.executable)"
            if version not in found and path is not None:
                done = subprocess.run([path, "-c", check], capture_output=True, check=False)
                if done.returncode == 0:
                    found[version] = Path(done.stdout.decode().strip())
    return {version: found[version] for version in VERSIONS if version in found}


def _pyenv_pythons(version: str) -> list[Path]:
    return sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))


def build_twice(name: str, build: Callable[[Path], list[Path]], into: Path) -> list[Path]:
    """Build into a folder; RuntimeError if another build gives other bytes."""
    with tempfile.TemporaryDirectory() as other:
        again = build(Path(other))
        built = build(into)
        for one, two in zip(built, again, strict=True):
            if _digest(one) != _digest(two):
                raise RuntimeError(f"two builds of {name} differ: {one.name}")
    return built


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def temporary_home() -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield an empty home folder, and the environment of its user."""
    with tempfile.TemporaryDirectory(prefix="tui-forward-dist-") as folder:
        home = Path(folder)
        yield home, {"PATH": "/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8"}


def try_package(package: Path, form: str, version: str, python: Path, kubeconfig: Path) -> Trial:
    """Install an sdist or a wheel with pip, and use it."""
    with temporary_home() as (home, env):
        started_at = time.monotonic()
        run(python, "-m", "venv", home / "venv", cwd=home, env=env)
        programs = home / "venv" / "bin"
        run(
            programs / "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
            package, cwd=home, env=env,
        )  # fmt: skip
        install_s = time.monotonic() - started_at
        site = next((home / "venv" / "lib").glob("python*/site-packages"))
        size = _size(site) - _size(site / "pip") - _size(site / "setuptools")
        env["KUBECONFIG"] = str(kubeconfig)
        first_byte_s = use([str(programs / "tui-forward")], env)
        return Trial(form, version, size / MIB, install_s, first_byte_s)


def try_one_file(file: Path, version: str, python: Path, kubeconfig: Path) -> Trial:
    """Run the one file, which unpacks itself, and use it."""
    with temporary_home() as (home, env):
        env |= {"KUBECONFIG": str(kubeconfig), "PEX_ROOT": str(home / "pex")}
        command = [str(python), str(file)]
        started_at = time.monotonic()
        run(*command, "--version", cwd=home, env=env)
        install_s = time.monotonic() - started_at
        first_byte_s = use(command, env)
        return Trial("one file", version, _size(home / "pex") / MIB, install_s, first_byte_s)


def use(command: list[str], env: dict[str, str]) -> float:
    """Forward in the foreground, then in the engine process; return the time to the first byte."""
    started_at = time.monotonic()
    process = Process(*command, "forward", "-n", "shop", "deploy/web", ":http", env=env)
    try:
        process.wait_for_output("Forwarding from 127.0.0.1:")
        if http_get(process.local_ports()[0])[0] != 200:
            raise RuntimeError("the forward does not work")
        first_byte_s = time.monotonic() - started_at
    finally:
        code = process.stop(signal.SIGINT)
    if code:
        raise RuntimeError(f"the forward ended with {code}: {process.output()}")
    profile = Path(env["HOME"]) / "shop.yaml"
    profile.write_text(
        "namespace: shop\nforwards:\n  web: {target: deploy/web, port: http, local: 0}\n", "utf-8"
    )
    for arguments in (["up", "-y", str(profile)], ["ls"], ["down", str(profile)]):
        output = run(*command, *arguments, cwd=Path(env["HOME"]), env=env)
        if arguments == ["ls"] and "deploy/web" not in output:
            raise RuntimeError(f"the engine process has no forward: {output}")
    return first_byte_s


def _size(folder: Path) -> int:
    """Return the bytes of all files of a folder; 0 if there is none."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)


def try_all(built: list[Path], pythons: dict[str, Path], cluster: ClusterProcess) -> None:
    """Try all forms on all versions, printing each as it is done."""
    sdist, wheel, one_file = built
    for version, python in pythons.items():
        show(try_package(wheel, "wheel", version, python, cluster.kubeconfig))
        show(try_package(sdist, "sdist", version, python, cluster.kubeconfig))
        show(try_one_file(one_file, version, python, cluster.kubeconfig))


def show(trial: Trial) -> None:
    """Print a row of the table."""
    print(  # noqa: T201
        f"{trial.form:<9} {trial.version:<6} {trial.installed_mib:>6.0f} MiB"
        f" {trial.install_s:>6.1f} s {trial.first_byte_s:>9.1f} s",
        flush=True,
    )


def main() -> int:
    """Build and try everything; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    into = parser.parse_args().into.resolve()
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    pythons = find_pythons()
    absent = [version for version in VERSIONS if version not in pythons]
    if absent:
        print(f"Not built for, because not installed: Python {', '.join(absent)}")  # noqa: T201
    sdist, wheel = build_twice(
        "sdist and wheel", lambda folder: list(build_distributions(folder)), into
    )
    with tempfile.TemporaryDirectory() as cache:
        [one_file] = build_twice(
            "the one file",
            lambda into: [build_one_file(wheel, list(pythons.values()), into, Path(cache))],
            into,
        )
    for path in (sdist, wheel, one_file):
        print(f"{path.name}: {path.stat().st_size / MIB:.1f} MiB, sha256 {_digest(path)}")  # noqa: T201
    print("form      Python  installed  install  first byte")  # noqa: T201
    with running_cluster(*ONE_NODE) as cluster:
        try_all([sdist, wheel, one_file], pythons, cluster)
    (into / "SHA256SUMS").write_text(
        "".join(f"{_digest(path)}  {path.name}\n" for path in (sdist, wheel, one_file)), "utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
