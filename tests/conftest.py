"""Fixtures of all tests: a home folder of its own; no skips in CI."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.forked_program import LAUNCHING, ForkedProcess, Template
from tests.support.order import ordered
from tui_forward import known_secrets
from tui_forward.common import event_loop
from tui_forward.daemon import launcher

pytest_plugins = ["pytester"]  # for the tests of our plugin

# Tests with these markers need programs or rights that a developer's machine may lack, where they
# are skipped. CI has all of them, so a skip is a failure there.
MARKERS_OF_REQUIREMENTS = (
    "kubectl", "containerd", "netns", "mountns", "prometheus", "shells", "clients",
)  # fmt: skip

# An example takes as long as the machine is busy.
settings.register_profile(
    "tests", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="also run the soak tests (minutes)")


# Apps and event loops create many objects and little garbage. With Python's threshold, 700, the
# collector takes a sixth of the time of their tests.
_OBJECTS_PER_COLLECTION = 20_000


def pytest_configure() -> None:
    """Let processes of tests react to signals, which `nohup` and a shell's `&` ignore for them."""
    gc.set_threshold(_OBJECTS_PER_COLLECTION, *gc.get_threshold()[1:])
    gc.disable()  # until the end of the collection of tests, all of which stay
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, _ignore_here),
        (signal.SIGHUP, _ignore_here),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def _ignore_here(number: int, frame: object) -> None:
    """Ignore a signal in this process alone: a handler does not outlive `exec`."""


# What calls the event loop directly runs on both loops that the engine may have.
_ON_BOTH_LOOPS = frozenset(
    {
        "engine/connections/test_connection.py",
        "engine/connections/test_listener.py",
        "engine/forwards/test_pool_dialer.py",
        "engine/tunnels/test_channels_tunnel.py",
        "engine/tunnels/test_pool.py",
        "engine/tunnels/test_spdy_tunnel.py",
        "kube/auth/test_exec_plugin.py",
        "transport/test_connect.py",
        "transport/test_proxy_dialer.py",
        "transport/test_socket_stream.py",
        "transport/test_tls_stream.py",
    }
)


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the event loops that a test runs on."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]]
    factories = {"asyncio": asyncio.new_event_loop}
    uvloop_factory = event_loop.loop_factory()
    name = item.path.relative_to(Path(__file__).parent).as_posix()
    if name in _ON_BOTH_LOOPS and uvloop_factory is not None:
        factories["uvloop"] = uvloop_factory
    return factories


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the workers of `-n auto`: two per core, because half of the time tests wait."""
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    return 2 * (len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1)


def pytest_collection_finish() -> None:
    """Exempt what collection has imported and created from garbage collection.

    Many tests collect garbage at their end, to see unclosed sockets.
    """
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # of pytest-xdist
        items[:] = ordered(
            items, [item.nodeid for item in items], config.workerinput["workercount"]
        )
    if config.getoption("--soak"):
        return
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with --soak"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if (
        report.skipped
        and os.environ.get("CI") == "true"
        and any(item.get_closest_marker(name) for name in MARKERS_OF_REQUIREMENTS)
    ):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {reason}"
    return report


_XDG_FOLDERS = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_STATE_HOME": ".local/state",
    "XDG_CACHE_HOME": ".cache",
    "XDG_DATA_HOME": ".local/share",
    "XDG_RUNTIME_DIR": "run",
}


@pytest.fixture(scope="session")
def new_paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield paths for the folders of the tests of this worker."""
    folder = tmp_path_factory.mktemp("tests", numbered=False)
    return (folder / str(number) for number in itertools.count())


@pytest.fixture
def tmp_path(new_paths: Iterator[Path]) -> Path:
    """Return a folder of this test; that of pytest reads the names of all earlier ones."""
    path = next(new_paths)
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(scope="session", autouse=True)
def forked_programs() -> Iterator[None]:
    """Fork the processes of the program, with the engines that they or tests start."""
    if sys.platform != "linux":
        yield
        return
    with Template() as template, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForkedProcess, "template", template.socket)
        patch.setattr(launcher, "subprocess", LAUNCHING)
        yield


@pytest.fixture
def started_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start engines as users do, with all imports."""
    monkeypatch.setattr(launcher, "subprocess", subprocess)


@pytest.fixture(autouse=True)
def own_process_state() -> Iterator[None]:
    """Undo what commands change in their process, which here runs other tests, too."""
    threshold, environ = gc.get_threshold(), os.environ.copy()
    yield
    gc.set_threshold(*threshold)
    now = os.environ.copy()
    for name in environ.keys() | now.keys():
        if name == "PYTEST_CURRENT_TEST" or environ.get(name) == now.get(name):
            continue
        if name in environ:
            os.environ[name] = environ[name]
        else:
            del os.environ[name]


@pytest.fixture(autouse=True)
def no_known_secrets() -> Iterator[None]:
    """Forget the secrets of a test, which may be words in the texts of another."""
    yield
    known_secrets.forget_all()


@pytest.fixture(scope="session", autouse=True)
def no_access_of_the_user() -> Iterator[None]:
    """Remove the user's kubeconfig and proxies from the environment of all tests."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
            patch.delenv(variable, raising=False)
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
            patch.delenv(variable, raising=False)
            patch.delenv(variable.lower(), raising=False)
        yield


class HomeFolders:
    """Home folders of tests: a new one, or that of the test before, which has not touched it.

    Most of the thousands of tests take less than a millisecond and touch none.
    """

    def __init__(self, new_paths: Iterator[Path]) -> None:
        self._new_paths = new_paths
        self._home = Path()
        self._folders: tuple[str, ...] = ()

    def take(self) -> Path:
        """Return a home folder in which there are the XDG folders and nothing else."""
        if not self._folders or not all(map(_is_untouched, self._folders)):
            home = self._home = next(self._new_paths)
            names = ("", "/.local", *(f"/{folder}" for folder in _XDG_FOLDERS.values()))
            self._folders = tuple(f"{home}{name}" for name in names)
            for folder in self._folders:
                os.mkdir(folder, 0o700)  # noqa: PTH102
            for folder in self._folders:
                os.utime(folder, (0, 0))
        return self._home


def _is_untouched(folder: str) -> bool:
    """Return whether a folder still has its first modification time and rights."""
    try:
        status = os.stat(folder)  # noqa: PTH116
    except FileNotFoundError:
        return False
    return status.st_mtime_ns == 0 and status.st_mode == stat.S_IFDIR | 0o700


@pytest.fixture(scope="session")
def home_folders(new_paths: Iterator[Path]) -> HomeFolders:
    return HomeFolders(new_paths)


@pytest.fixture(autouse=True)
def own_home(home_folders: HomeFolders, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder for this test."""
    home = home_folders.take()
    monkeypatch.setenv("HOME", str(home))
    for variable, folder in _XDG_FOLDERS.items():
        monkeypatch.setenv(variable, f"{home}/{folder}")
    return home
