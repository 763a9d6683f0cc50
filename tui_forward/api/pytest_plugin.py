"""Plugin of pytest: forwards to a cluster, and a cluster, as fixtures.

    def test_query(port_forward):
        database = port_forward("svc/postgres", 5432)
        connect(database.host, database.port)

pytest loads this module in every run in an environment that has the package, so it imports nothing
else of it before a fixture is used.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

import pytest

if TYPE_CHECKING:
    from tui_forward.api.active_forward import ActiveForward
    from tui_forward.api.embedded_cluster import EmbeddedCluster
    from tui_forward.api.forward_pool import ForwardPool

_POOL: Final[pytest.StashKey[ForwardPool]] = pytest.StashKey()
_STARTED_AT = pytest.StashKey[float]()
_SECTION: Final = "port-forwards"
_POLICIES: Final = ("fail", "skip")
_OPTIONS: Final = (
    ("--kubeconfig", "kubeconfig", "FILE", "Kubeconfig of port_forward, instead of KUBECONFIG."),
    (
        "--kube-context",
        "kube_context",
        "NAME",
        "Context of port_forward; default: the current one.",
    ),
    ("--kube-namespace", "kube_namespace", "NAME", "Namespace of port_forward; default: its own."),
)


class PortForwardFactory(Protocol):
    """Type of the fixture `port_forward`."""

    def __call__(self, target: str = "", port: int | str = "", **options: Any) -> ActiveForward:
        """Return a running forward that is ready; the arguments are those of `tui_forward.forward`.

        The same arguments give the same forward, in all tests of the process. Context, namespace
        and kubeconfig are those of the command line or the ini file unless they are given, and the
        local port is any free one.
        """


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and ini values."""
    group = parser.getgroup("tui-forward", "forwards to Kubernetes (tui-forward)")
    for option, name, metavar, text in _OPTIONS:
        group.addoption(option, dest=f"tui_forward_{name}", metavar=metavar, help=text)
        parser.addini(name, f"As {option}.", default="")
    unavailable = "What a test does if no cluster answers: fail or skip."
    group.addoption(
        "--kube-unavailable", dest="tui_forward_kube_unavailable", choices=_POLICIES,
        help=f"{unavailable} [default: fail]",
    )  # fmt: skip
    parser.addini("kube_unavailable", f"{unavailable}", default="fail")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an unknown policy of the ini file."""
    if (policy := _value(config, "kube_unavailable")) not in _POLICIES:
        raise pytest.UsageError(f'kube_unavailable is "{policy}": use fail or skip')


@pytest.fixture(scope="session")
def kube_config_file(pytestconfig: pytest.Config) -> str | None:
    """Return the kubeconfig of `port_forward`; None for that of the environment.

    A `conftest.py` may replace it, for instance by that of `embedded_cluster`.
    """
    return _value(pytestconfig, "kubeconfig") or None


@pytest.fixture(scope="session")
def port_forward(
    pytestconfig: pytest.Config, kube_config_file: str | None
) -> Iterator[PortForwardFactory]:
    """Return a function that starts forwards, which run until the end of the session."""
    from tui_forward.api import forward_pool
    from tui_forward.errors import TuiForwardError

    pool = forward_pool.ForwardPool(
        kubeconfig=kube_config_file,
        context=_value(pytestconfig, "kube_context"),
        namespace=_value(pytestconfig, "kube_namespace"),
    )

    def start(target: str = "", port: int | str = "", **options: Any) -> ActiveForward:
        __tracebackhide__ = True
        try:
            return pool.forward(target, port, **options)
        except forward_pool.UnavailableError as error:
            if _value(pytestconfig, "kube_unavailable") == "skip":
                pytest.skip(f"no cluster answers: {error}")
            raise error.cause.with_traceback(None) from None
        except TuiForwardError as error:
            # Where in this package it was raised helps no test.
            raise error.with_traceback(None) from None

    pytestconfig.stash[_POOL] = pool
    yield start
    del pytestconfig.stash[_POOL]
    pool.close()


@pytest.fixture(scope="session")
def embedded_cluster() -> Iterator[EmbeddedCluster]:
    """Return a small Kubernetes on loopback that runs until the end of the session.

    It needs `pip install "tui-forward[demo]"`.
    """
    from tui_forward.api.embedded_cluster import embedded_cluster as open_cluster
    from tui_forward.api.loop_thread import LoopThread

    async def get(cluster: EmbeddedCluster) -> EmbeddedCluster:
        return cluster

    thread = LoopThread(open_cluster())
    thread.start()
    try:
        yield thread.wait(get)
    finally:
        thread.end()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note when a test begins."""
    item.stash[_STARTED_AT] = time.time()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the forwards that are broken, or were during the test, if it failed."""
    report = yield
    pool = item.config.stash.get(_POOL, None)
    if report.failed and pool is not None:
        problems = pool.problems(since=item.stash.get(_STARTED_AT, call.start))
        if problems:
            report.sections.append((_SECTION, "\n".join(problems)))
    return report


def _value(config: pytest.Config, name: str) -> str:
    """Return an option, else the ini value of the same name."""
    return config.getoption(f"tui_forward_{name}") or str(config.getini(name))
