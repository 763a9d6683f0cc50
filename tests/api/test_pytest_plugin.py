"""The plugin in runs of pytest, on the embedded cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cluster_process import ClusterProcess

PAGE = """
import urllib.request

def read(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()
"""


def run(pytester: pytest.Pytester, test: str, *options: str, ini: str = "") -> pytest.RunResult:
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.makepyfile(PAGE + test)
    return pytester.runpytest("-p", "no:cacheprovider", "-p", "no:asyncio", "-q", *options)


def test_forward_is_shared_by_tests(pytester: pytest.Pytester, cluster: ClusterProcess) -> None:
    result = run(
        pytester,
        """
        PORTS = set()

        def test_one(port_forward):
            web = port_forward("deploy/web", "http")
            assert read(web.url())
            PORTS.add(web.port)

        def test_two(port_forward):
            PORTS.add(port_forward("deploy/web", "http").port)
            assert len(PORTS) == 1

        def test_other(port_forward):
            PORTS.add(port_forward("deploy/web", "http", local_port=None).port)
            PORTS.add(port_forward(selector="app=web", port="http").port)
            assert len(PORTS) == 3
        """.replace("\n        ", "\n"),
        "--kube-namespace", "shop",
    )  # fmt: skip
    result.assert_outcomes(passed=3)


def test_options_and_ini_values_choose_the_cluster(
    pytester: pytest.Pytester, running: ClusterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    test = """
def test_one(port_forward):
    target = port_forward("deploy/web", "http").status.spec.target
    assert (target.context, target.namespace) == ("minicluster", "shop")
"""
    ini = f"kubeconfig = {running.kubeconfig}\nkube_context = wrong\nkube_namespace = wrong"
    options = ("--kube-context=minicluster", "--kube-namespace=shop")
    run(pytester, test, *options, ini=ini).assert_outcomes(passed=1)
    result = run(pytester, test, ini=ini)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no context*wrong*"])


def test_missing_target_fails_with_its_reason_and_hint(
    pytester: pytest.Pytester, cluster: ClusterProcess
) -> None:
    test = """
def test_one(port_forward):
    port_forward("deploy/missing", 80, namespace="shop")
"""
    result = run(pytester, test, "--kube-unavailable=skip")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['*StartError: there is no deployment "missing"*', "*Hint: *"])


@pytest.mark.parametrize("policy", ["skip", "fail"])
def test_policy_when_no_cluster_answers(
    pytester: pytest.Pytester, policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    test = """
import pytest

@pytest.mark.parametrize("target", ["svc/one", "svc/two"])
def test_it(port_forward, target):
    port_forward(target, 80)
"""
    result = run(pytester, test, "-rs", ini=f"kube_unavailable = {policy}")
    if policy == "skip":
        result.assert_outcomes(skipped=2)
        result.stdout.fnmatch_lines(["*no cluster answers: KUBECONFIG names no file*"])
    else:
        result.assert_outcomes(failed=2)
        result.stdout.fnmatch_lines(["*ConfigError: KUBECONFIG names no file*"])


def test_unknown_policy_is_refused(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_one(): pass", ini="kube_unavailable = maybe")
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['*kube_unavailable is "maybe": use fail or skip*'])


def test_failed_test_names_broken_forwards(
    pytester: pytest.Pytester, cluster: ClusterProcess
) -> None:
    test = """
def test_works(port_forward):
    port_forward("deploy/web", "http", namespace="shop")
    assert False, "with a forward that works"

def test_breaks(port_forward):
    broken = port_forward("deploy/search", 80, namespace="shop", ready_timeout=0)
    try:
        broken.wait_ready(1)
    except TimeoutError:
        assert False, "with one that waits"

def test_passes(port_forward):
    pass
"""
    result = run(pytester, test)
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        ["*- port-forwards -*", "deploy/search 80 on 127.0.0.1:*: waiting: *"]
    )
    assert result.stdout.str().count("port-forwards -") == 1


def test_workers_have_ports_of_their_own(
    pytester: pytest.Pytester, cluster: ClusterProcess
) -> None:
    test = """
import pathlib, pytest

@pytest.mark.parametrize("number", range(4))
def test_it(port_forward, number, worker_id):
    web = port_forward("deploy/web", "http", namespace="shop")
    assert read(web.url())
    pathlib.Path(f"port-{worker_id}").write_text(str(web.port))
"""
    result = run(pytester, test, "-n", "2", "--dist=each")
    result.assert_outcomes(passed=8)
    ports = {path.read_text() for path in pytester.path.glob("port-*")}
    assert len(ports) == 2


def test_fixtures_of_the_embedded_cluster(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    pytester.makeconftest("""
import pytest

@pytest.fixture(scope="session")
def kube_config_file(embedded_cluster):
    return embedded_cluster.kubeconfig
""")
    test = """
def test_one(port_forward):
    assert read(port_forward("deploy/web", "http", namespace="shop").url())
"""
    run(pytester, test).assert_outcomes(passed=1)
