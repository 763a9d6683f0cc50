"""Faults by name: each is what a real chain does, and ends when it is turned off."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.minicluster.kubectl import Kubectl, kubectls, wait_for
from tests.minicluster.test_authorization import UPGRADES
from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster
from tests.support.recorded_faults import fault_names, load_fault
from tui_forward.errors import ApiError
from tui_forward.minicluster.fault_objects import NAMESPACE, pod
from tui_forward.minicluster.named_faults import BY_NAME, FAULTS

# Bytes of a protocol, beside recordings.
pytestmark = pytest.mark.any_python

Object = dict[str, Any]
ADMIN = "admin-token"
RESET_ON_ACCEPT, CLOSED_AT_ONCE = 43, 49  # numbers of recordings
OK_POD = f"/api/v1/namespaces/{NAMESPACE}/pods/ok"


class Answer:
    """A response, with the headers by which clients tell who speaks."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.title(): value for name, value in response.getheaders()}
        self.body = b"" if response.status == 101 else response.read()

    @property
    def content(self) -> Any:
        """The JSON of the body, else its text."""
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body.decode()


class Client:
    """Requests to a cluster, each over a connection of its own."""

    def __init__(self, cluster: ClusterProcess) -> None:
        self._cluster = cluster
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        entry = config["clusters"][0]["cluster"]
        self.host = entry["server"].removeprefix("https://")
        authority = base64.b64decode(entry["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        self._tokens = {each["name"]: each["user"].get("token", "") for each in config["users"]}

    def request(
        self,
        method: str,
        path: str,
        user: str = ADMIN,
        *,
        timeout_s: float = 60.0,
        upgrade: str = "",
    ) -> Answer:
        headers = dict(UPGRADES[upgrade]) if upgrade else {}
        connection = http.client.HTTPSConnection(self.host, context=self._tls, timeout=timeout_s)
        if self._tokens[user]:
            headers["Authorization"] = f"Bearer {self._tokens[user]}"
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            return Answer(connection.getresponse())

    def upgrade(self, transport: str = "spdy", path: str = OK_POD, **more: Any) -> Answer:
        method = "POST" if transport == "spdy" else "GET"
        return self.request(method, f"{path}/portforward", upgrade=transport, **more)

    def get(self, path: str) -> Object:
        answer = self.request("GET", path)
        assert answer.status == 200, answer.body
        return dict(answer.content)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterProcess]:
    """Run a cluster with one healthy pod, `ok`; each test ends its fault."""
    with running_cluster(*ONE_NODE, "--no-workloads", "--seed", "11") as running:
        healthy = {**pod("ok"), "afterPhase": "Running"}
        running.control.send("put-objects", objects=[healthy])
        yield running


@pytest.fixture
def client(cluster: ClusterProcess) -> Iterator[Client]:
    yield Client(cluster)
    cluster.control.send("clear")


@contextlib.contextmanager
def fault(cluster: ClusterProcess, name: str) -> Iterator[None]:
    """Turn a fault on, and off again."""
    cluster.control.send("set", name=name, on=True)
    try:
        yield
    finally:
        cluster.control.send("set", name=name, on=False)


def is_well(client: Client) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return client.upgrade(timeout_s=2.0).status == 101
    return False


# What differs from run to run, and the names of the recorded objects.
_VARIABLE = (
    (r"\d{1,3}(\.\d{1,3}){3}:\d+", "ADDRESS"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"dial unix \S+:", "dial unix SOCKET:"),
    (r"valid for \S+, not \S+", "valid for NAME, not NAME"),
    (r"user=[\w-]+", "user=USER"),
    (r'"ghost-[\w-]+"', '"NODE"'),
)


def normalized(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: normalized(each) for key, each in value.items()}
    if isinstance(value, str):
        for pattern, text in _VARIABLE:
            value = re.sub(pattern, text, value)
        return "NODE" if value.startswith("ghost-") else value
    return value


def recorded(number: int, what: str) -> Object:
    """Return the latest recorded request whose text begins so; empty if there is none."""
    name = next(each for each in fault_names() if each.startswith(f"{number:03}-"))
    found = [each for each in load_fault(name)["requests"] if each["what"].startswith(what)]
    return dict(found[-1]) if found else {}


def assert_same(answer: Answer, expected: Object) -> None:
    assert answer.status == int(expected["answer_status"].split()[1]), answer.body
    for name, value in expected["answer_headers"].items():
        if name in ("Audit-Id", "Transfer-Encoding", "Connection"):
            assert (name in answer.headers) or name != "Audit-Id"
        else:
            assert answer.headers.get(name) == value, name
    if "Audit-Id" not in expected["answer_headers"]:
        assert "Audit-Id" not in answer.headers
    body = expected.get("answer_body")
    if isinstance(body, dict):
        found = {key: answer.content.get(key) for key in body}
        assert normalized(found) == normalized(body)
    elif body is not None and not body.startswith("("):
        assert normalized(answer.content) == normalized(body)


# Fault, recording, and the path of the upgrade.
_GHOST = f"/api/v1/namespaces/{NAMESPACE}/pods"
UPGRADE_ANSWERS = [
    ("kubelet-stopped", 101, OK_POD),
    ("kubelet-unreachable", 39, OK_POD),
    ("kubelet-certificate-other-ca", 103, OK_POD),
    ("kubelet-certificate-wrong-name", 104, OK_POD),
    ("kubelet-certificate-expired", 105, OK_POD),
    ("kubelet-unauthorized", 106, OK_POD),
    ("kubelet-forbidden", 116, OK_POD),
    ("runtime-stopped", 115, OK_POD),
    ("node-missing", 34, f"{_GHOST}/node-missing"),
    ("node-no-address", 109, f"{_GHOST}/node-no-address"),
    ("api-unauthorized", 95, OK_POD),
    ("api-anonymous", 94, OK_POD),
    ("gateway-strips-upgrade", 140, OK_POD),
    ("gateway-no-spdy", 141, OK_POD),
    ("gateway-403", 142, OK_POD),
    ("gateway-504", 143, OK_POD),
    ("gateway-502", 144, OK_POD),
    ("gateway-503", 145, OK_POD),
    ("gateway-redirect", 146, OK_POD),
    ("gateway-login-page", 147, OK_POD),
]


@pytest.mark.parametrize(("name", "number", "path"), UPGRADE_ANSWERS)
def test_upgrade_is_answered_as_recorded(
    cluster: ClusterProcess, client: Client, name: str, number: int, path: str
) -> None:
    with fault(cluster, name):
        for transport in ("spdy", "websocket"):
            expected = recorded(number, f"upgrade {transport}")
            if not recorded(number, "upgrade"):
                expected = recorded(number, "GET")  # everything is answered alike
            if expected and "101" not in expected["answer_status"]:
                assert_same(client.upgrade(transport, path), expected)
    wait_for(lambda: is_well(client), "the end of the fault")


def test_unknown_node_name_is_in_the_words_of_a_resolver(
    cluster: ClusterProcess, client: Client
) -> None:
    with fault(cluster, "node-name-unknown"):
        answer = client.upgrade(path=f"{_GHOST}/node-name-unknown")
    expected = recorded(108, "upgrade spdy")["answer_body"]["message"]
    assert normalized(answer.content["message"]) == normalized(expected)


@pytest.mark.parametrize(
    ("name", "number"), [("api-starting", 94), ("api-busy", 155), ("gateway-502", 144)]
)
def test_request_is_answered_as_recorded(
    cluster: ClusterProcess, client: Client, name: str, number: int
) -> None:
    path = "/api/v1/namespaces/shop/pods/ok"
    with fault(cluster, name):
        answer = client.request("GET", path, "porter")
        if name == "api-starting":
            message = 'User "porter" cannot get resource "pods"'
            assert answer.status == 403
            assert message in answer.content["message"]
            assert client.request("GET", OK_POD).status == 200  # an administrator
        else:
            assert_same(answer, recorded(number, "GET"))
    assert client.request("GET", path, "porter").status == 404


def test_busy_server_upgrades_and_spares_administrators(
    cluster: ClusterProcess, client: Client
) -> None:
    with fault(cluster, "api-busy"):
        assert client.upgrade().status == 101
        assert client.request("GET", OK_POD).status == 200
        path = "/api/v1/namespaces/shop/pods/ok"
        assert client.upgrade("spdy", path, user="porter").status == 404


def test_watches_end_with_an_event_when_history_is_gone(
    cluster: ClusterProcess, client: Client
) -> None:
    with fault(cluster, "api-history-gone"):
        answer = client.request("GET", f"{_GHOST}?watch=1&resourceVersion=1")
    event = answer.content
    assert (answer.status, event["type"], event["object"]["code"]) == (200, "ERROR", 410)
    assert event["object"]["reason"] == "Expired"
    assert event["object"]["message"].startswith("too old resource version: 1 (")


@pytest.mark.parametrize("name", ["api-paused", "kubelet-paused"])
def test_paused_component_accepts_and_never_answers(
    cluster: ClusterProcess, client: Client, name: str
) -> None:
    with fault(cluster, name), pytest.raises(TimeoutError):
        client.upgrade(timeout_s=1.0)
    wait_for(lambda: is_well(client), "the end of the pause")


@pytest.mark.parametrize("name", ["api-stopped", "api-ending"])
def test_stopped_server_refuses_connections(
    cluster: ClusterProcess, client: Client, name: str
) -> None:
    kept = http.client.HTTPSConnection(client.host, context=client._tls, timeout=60.0)
    kept.connect()
    with fault(cluster, name):
        with pytest.raises(ConnectionRefusedError):
            client.request("GET", "/version")
        if name == "api-ending":
            kept.request("GET", "/version")
            assert kept.getresponse().status == 200
    kept.close()
    wait_for(lambda: is_well(client), "the API server")


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("other-ca", "unable to get local issuer certificate"),
        ("wrong-name", "IP address mismatch"),
        ("expired", "certificate has expired"),
        ("not-yet-valid", "certificate is not yet valid"),
    ],
)
def test_certificate_is_refused(
    cluster: ClusterProcess, client: Client, flaw: str, message: str
) -> None:
    refused = pytest.raises(ssl.SSLCertVerificationError, match=message)
    with fault(cluster, f"certificate-{flaw}"), refused:
        client.request("GET", "/version")
    assert client.request("GET", "/version").status == 200


def test_tunnels_are_cut_after_five_seconds(cluster: ClusterProcess, client: Client) -> None:
    connection = http.client.HTTPSConnection(client.host, context=client._tls, timeout=60.0)
    with fault(cluster, "gateway-cuts-tunnels"):
        headers = {**UPGRADES["spdy"], "Authorization": f"Bearer {client._tokens[ADMIN]}"}
        connection.request("POST", f"{OK_POD}/portforward", headers=headers)
        assert connection.getresponse().status == 101
        assert connection.sock.recv(1) == b""
    connection.close()


@pytest.mark.kubectl
@pytest.mark.parametrize(
    ("name", "number"),
    [("port-closed", 40), ("port-ipv6-only", 42), ("port-resets", RESET_ON_ACCEPT)],
)
@pytest.mark.parametrize("path", kubectls())
def test_port_is_told_on_the_error_stream_as_recorded(
    cluster: ClusterProcess, client: Client, path: Path, tmp_path: Path, name: str, number: int
) -> None:
    kubectl = Kubectl(path, cluster, tmp_path)
    with fault(cluster, name):
        wait_for(lambda: has_state(client.get(f"{_GHOST}/{name}"), running={}), name)
        with kubectl.port_forward("-n", NAMESPACE, f"pod/{name}", ":7000") as forward:
            with forward.connect() as connection, contextlib.suppress(ConnectionResetError):
                connection.sendall(b"hi\n")
                assert connection.recv(1) == b""

            def error_text() -> str:
                lines = [line for line in forward.output if "error forwarding" in line]
                return lines[0].partition(": error forwarding")[2] if lines else ""

            text = f"error forwarding{wait_for(error_text, 'the text')}"
    assert normalized_text(text) in recorded_texts(number)


def recorded_texts(number: int) -> tuple[str, ...]:
    """Return what a real chain has sent on the error stream, and what it sends at other moments."""
    recording = next(each for each in fault_names() if each.startswith(f"{number:03}-"))
    text = normalized_text(load_fault(recording)["error_stream"][0]["text"])
    if "connection reset" not in text:
        return (text,)
    # The reset may arrive while the runtime still waits for the end of its dial.
    (refused,) = recorded_texts(40)
    return text, refused.replace("connection refused", "connection reset by peer")


def normalized_text(text: str) -> str:
    """Return an error text without ids, ports and what depends on the IPv6 of the machine."""
    text = text.replace('\\"', '"').strip().strip('"')  # newer kubectl quotes it
    text = re.sub(r"IPv6 dial tcp6: .*", "IPv6", text)
    text = re.sub(r"[0-9a-f]{64}|cni-[0-9a-f-]{36}", "ID", text)
    return re.sub(r":\d+|port \d+", "PORT", text)


# Parts of pods ---------------------------------------------------------------------------


def is_part_of(expected: Any, found: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            is_part_of(value, found.get(key)) for key, value in expected.items()
        )
    return bool(expected == found)


def states(found: Object, *, init: bool = False) -> list[Object]:
    """Return the present and the last state of a pod's first container, as `{kind: {…}}`."""
    statuses = found["status"].get("initContainerStatuses" if init else "containerStatuses") or []
    return [statuses[0]["state"], statuses[0]["lastState"]] if statuses else []


def has_state(found: Object, *, init: bool = False, **wanted: Object) -> bool:
    return any(is_part_of(wanted, each) for each in states(found, init=init))


def condition(found: Object, kind: str) -> Object:
    conditions = found["status"].get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def message_of(number: int, reason: str) -> str:
    """Return the message of a recorded container that waits for a reason, its names replaced."""
    name = next(each for each in fault_names() if each.startswith(f"{number:03}-"))
    for status in load_fault(name)["objects"]["pod"]["containerStatuses"]:
        waiting = status["state"].get("waiting") or {}
        if waiting.get("reason") == reason:
            return str(waiting["message"])
    raise AssertionError(name)


START_ERROR = message_of(16, "RunContainerError")
PODS: dict[str, Callable[[Object], bool]] = {
    "pod-unschedulable": lambda p: condition(p, "PodScheduled").get("reason") == "Unschedulable",
    "pod-claim-missing": lambda p: (
        condition(p, "PodScheduled").get("message")
        == '0/1 nodes are available: persistentvolumeclaim "nosuch" not found. not found'
    ),
    "pod-scheduling-gate": lambda p: (
        condition(p, "PodScheduled").get("reason") == "SchedulingGated"
    ),
    "pod-no-scheduler": lambda p: "conditions" not in p["status"],
    "pod-image-pull": lambda p: has_state(p, waiting={"reason": "ImagePullBackOff"}),
    "pod-image-never-pulled": lambda p: has_state(
        p, waiting={"message": message_of(5, "ErrImageNeverPull")}
    ),
    "pod-image-name": lambda p: has_state(
        p, waiting={"message": message_of(7, "InvalidImageName")}
    ),
    "pod-init-failing": lambda p: (
        has_state(p, init=True, terminated={"exitCode": 3, "reason": "Error"})
        and has_state(p, waiting={"reason": "PodInitializing"})
    ),
    "pod-init-running": lambda p: has_state(p, init=True, running={}),
    "pod-config-missing": lambda p: has_state(
        p, waiting={"message": message_of(11, "CreateContainerConfigError")}
    ),
    "pod-volume-missing": lambda p: has_state(p, waiting={"reason": "ContainerCreating"}),
    "pod-crash-loop": lambda p: has_state(p, terminated={"exitCode": 7, "reason": "Error"}),
    "pod-start-error": lambda p: has_state(
        p,
        terminated={
            "exitCode": 128,
            "reason": "StartError",
            "message": START_ERROR,
            "startedAt": "1970-01-01T00:00:00Z",
        },
    ),
    "pod-out-of-memory": lambda p: has_state(
        p, terminated={"exitCode": 137, "reason": "OOMKilled"}
    ),
    "pod-not-ready": lambda p: (
        has_state(p, running={}) and condition(p, "Ready").get("reason") == "ContainersNotReady"
    ),
    "pod-readiness-gate": lambda p: (
        condition(p, "Ready").get("reason") == "ReadinessGatesNotReady"
        and condition(p, "ContainersReady").get("status") == "True"
    ),
    "pod-terminating": lambda p: (
        p["metadata"].get("deletionGracePeriodSeconds") == 600 and has_state(p, running={})
    ),
    "pod-completed": lambda p: p["status"]["phase"] == "Succeeded",
    "pod-failed": lambda p: has_state(p, terminated={"exitCode": 5}),
    "pod-evicted": lambda p: (
        (p["status"]["phase"], p["status"].get("reason")) == ("Failed", "Evicted")
        and condition(p, "DisruptionTarget").get("reason") == "TerminationByKubelet"
    ),
    "pod-deadline-exceeded": lambda p: p["status"].get("reason") == "DeadlineExceeded",
    "pod-sandbox-gone": lambda p: has_state(p, terminated={"exitCode": 137}),
    **dict.fromkeys(
        (each.name for each in FAULTS if each.hop == "port"), lambda p: has_state(p, running={})
    ),
}


@pytest.mark.parametrize("name", PODS)
def test_pod_gets_into_its_state_and_is_removed(
    cluster: ClusterProcess, client: Client, name: str
) -> None:
    path = f"{_GHOST}/{name}"
    with fault(cluster, name):
        wait_for(lambda: PODS[name](client.get(path)), name)
    wait_for(lambda: client.request("GET", path).status == 404, f"the end of {name}")


def test_missing_volume_is_told_by_an_event_and_has_no_sandbox(
    cluster: ClusterProcess, client: Client
) -> None:
    name = "pod-volume-missing"
    events = f"/api/v1/namespaces/{NAMESPACE}/events?fieldSelector=involvedObject.name%3D{name}"
    expected = load_fault("012-volume-missing")["objects"]["events"][0]
    with fault(cluster, name):

        def mounted() -> list[Object]:
            return [each for each in client.get(events)["items"] if each["reason"] == "FailedMount"]

        wait_for(mounted, "the event")
        assert mounted()[0]["message"] == expected["message"]
        answer = client.upgrade(path=f"{_GHOST}/{name}")
        assert (answer.status, answer.content) == (500, f'pod not found ("{name}_{NAMESPACE}")')


@pytest.mark.parametrize(
    ("name", "path", "is_so"),
    [
        ("workload-scaled-to-zero", "/apis/apps/v1/{}/deployments/{}", {"replicas": 0}),
        ("service-external-name", "/api/v1/{}/services/{}", {"type": "ExternalName"}),
        ("service-no-pods", "/api/v1/{}/services/{}", {"selector": {"app": "nosuch"}}),
        ("service-no-selector", "/api/v1/{}/services/{}", {"selector": None}),
        ("service-port-name-missing", "/api/v1/{}/services/{}", {"type": "ClusterIP"}),
    ],
)
def test_objects_are_created_and_removed(
    cluster: ClusterProcess, client: Client, name: str, path: str, is_so: Object
) -> None:
    path = path.format(f"namespaces/{NAMESPACE}", name)
    with fault(cluster, name):
        assert is_part_of(is_so, client.get(path)["spec"])
    assert client.request("GET", path).status == 404


@pytest.mark.parametrize(
    ("name", "kind"), [("workload-job-completed", "Complete"), ("workload-job-failed", "Failed")]
)
def test_job_ends(cluster: ClusterProcess, client: Client, name: str, kind: str) -> None:
    path = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{name}"
    with fault(cluster, name):
        wait_for(lambda: condition(client.get(path), kind).get("status") == "True", name)


def test_node_reports_that_it_is_not_ready(cluster: ClusterProcess, client: Client) -> None:
    def ready() -> str:
        return str(condition(client.get("/api/v1/nodes/node-a"), "Ready")["status"])

    with fault(cluster, "node-not-ready"):
        assert ready() == "False"
    assert ready() == "True"


# Switch ----------------------------------------------------------------------------------


def on_faults(cluster: ClusterProcess) -> list[str]:
    faults = cluster.control.send("list")["faults"]
    return [each["name"] for each in faults if each["on"]]


def test_list_shows_which_faults_are_on(cluster: ClusterProcess, client: Client) -> None:
    assert client.request("GET", "/version").status == 200
    cluster.control.send("set", name="gateway-502")
    cluster.control.send("set", name="gateway-503")
    cluster.control.send("set", name="api-busy")
    assert on_faults(cluster) == ["api-busy", "gateway-503"]
    cluster.control.send("set", name="gateway-503", on=False)
    assert client.request("GET", "/version").status == 200
    cluster.control.send("clear")
    assert on_faults(cluster) == []
    with pytest.raises(ApiError, match="unknown fault"):
        cluster.control.send("set", name="nonsense")


def test_every_fault_has_a_test_and_one_line() -> None:
    tested = {name for name, *_ in UPGRADE_ANSWERS} | PODS.keys()
    tested |= {"node-name-unknown", "api-starting", "api-busy", "api-history-gone", "api-paused"}
    tested |= {"kubelet-paused", "api-stopped", "api-ending", "gateway-cuts-tunnels"}
    tested |= {"node-not-ready", "workload-scaled-to-zero"}
    tested |= {each.name for each in FAULTS if each.hop in ("certificate", "workload", "service")}
    # The same mechanisms: a dial that takes 30 s, and another process that is paused.
    assert BY_NAME.keys() - tested == {"kubelet-filtered", "runtime-paused"}
    assert all(len(each.name) + len(each.summary) <= 105 for each in FAULTS)
