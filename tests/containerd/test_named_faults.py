"""Named faults with a real containerd: what the doctor names, and kubectl's words beside it.

The objects are those of `cluster fault`, with the host's programs in place of their images.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containerd.conftest import RealChain, add_programs
from tests.e2e.processes import wait_until
from tests.minicluster.kubectl import kubectls
from tests.minicluster.test_named_faults import (
    CLOSED_AT_ONCE,
    RESET_ON_ACCEPT,
    normalized_text,
    recorded_texts,
)
from tests.session.doctor.diagnosis import diagnose
from tests.session.doctor.faults import Scene
from tests.session.doctor.kubectl_words import WORKS, port_forward_lines
from tests.session.doctor.test_cluster_faults import FOUND, Found, found_in, limits_for
from tui_forward.common.arguments import parse_target
from tui_forward.minicluster.fault_objects import NAMESPACE, objects_of
from tui_forward.minicluster.named_faults import BY_NAME, FAULTS
from tui_forward.minicluster.runtime.apps.registry import find_app
from tui_forward.model import DoctorResult, Target

Object = dict[str, Any]

# The embedded cluster's own faults are walked on every version.
pytestmark = [pytest.mark.containerd, pytest.mark.timeout(300), pytest.mark.any_python]

_SETTLE_S = 120.0
_POLL_S = 0.3
# A pod that serves, for faults of the runtime itself.
_SERVING = "port-silent"


def not_running(phase: str) -> str:
    return f"error: unable to forward port because pod is not running. Current status={phase}"


PENDING, REFUSED = not_running("Pending"), *recorded_texts(40)
# What kubectl says about each fault; several texts if versions or moments differ.
KUBECTL: dict[str, tuple[str, ...]] = {
    "pod-image-pull": (PENDING,),
    "pod-image-never-pulled": (PENDING,),
    "pod-image-name": (PENDING,),
    "pod-init-failing": (PENDING,),
    "pod-init-running": (PENDING,),
    "pod-config-missing": (PENDING,),
    "pod-volume-missing": (PENDING,),
    "pod-crash-loop": (REFUSED,),
    "pod-start-error": (PENDING, REFUSED),  # pending until its second start
    "pod-not-ready": (WORKS,),
    "pod-readiness-gate": (WORKS,),
    "pod-terminating": (WORKS,),
    "pod-completed": (not_running("Succeeded"),),
    "pod-failed": (not_running("Failed"),),
    "pod-evicted": (not_running("Failed"),),
    "pod-deadline-exceeded": (not_running("Failed"),),
    "workload-job-completed": (not_running("Succeeded"),),
    "workload-job-failed": (not_running("Failed"),),
    "port-closed": (REFUSED,),
    "port-ipv6-only": recorded_texts(42),
    "port-resets": recorded_texts(RESET_ON_ACCEPT),
    # What an application has not read when it closes is answered by a reset.
    "port-closes": ("error: lost connection to pod", WORKS, *recorded_texts(CLOSED_AT_ONCE)),
    "port-silent": (WORKS,),
    "port-udp": ("error: UDP protocol is not supported for 7000",),
}
UNAVAILABLE = (
    "error: error upgrading connection: unable to upgrade connection: "
    "rpc error: code = Unavailable desc = "
)
# They have tests of their own below.
OF_RUNTIME = ("pod-sandbox-gone", "runtime-stopped", "runtime-paused")

_NO_CONTAINER = "no container of it runs, so no runtime takes part"
_OTHERS = "it is of the API server, a gateway or the kubelet, which are the same with any runtime"
_NO_LIMIT = "the embedded kubelet passes no memory limits to the runtime"


def why_untested(name: str) -> str:
    """Return why a fault has no test with containerd; empty if it has one."""
    if name in KUBECTL or name in OF_RUNTIME:
        return ""
    if name == "pod-out-of-memory":
        return _NO_LIMIT
    has_target = bool(BY_NAME[name].target)
    return _NO_CONTAINER if has_target else _OTHERS


def runnable(obj: Object) -> Object:
    """Return an object of a fault whose containers have the programs of their applications."""
    found = copy.deepcopy(obj)
    spec = found["spec"].get("template", found)["spec"]
    volumes = {each["name"]: each for each in spec.get("volumes", ())}
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        app = find_app(container["image"])
        if app is not None:
            volumes |= {each["name"]: each for each in add_programs(container, app)}
    spec["volumes"] = list(volumes.values())
    return found


@contextlib.contextmanager
def turned_on(chain: RealChain, name: str) -> Iterator[None]:
    """Create the objects of a fault, and delete them."""
    objects = [runnable(each) for each in objects_of(name)]
    # What is done to a pod that runs or has ended waits for it.
    later = [each for each in objects if "afterPhase" in each]
    members = ("afterPhase", "deleted", "status")
    first = [
        {key: value for key, value in each.items() if key not in members or each not in later}
        for each in objects
    ]
    try:
        chain.control.send("put-objects", objects=first)
        for each in later:
            wait_for_phase(chain, each["metadata"]["name"], each["afterPhase"])
        chain.control.send("put-objects", objects=later)
        yield
    finally:
        for request in BY_NAME[name].off:
            chain.control.send(**request)


@pytest.fixture
def serving(real_chain: RealChain) -> Iterator[RealChain]:
    """Run the pod `_SERVING`."""
    with turned_on(real_chain, _SERVING):
        yield real_chain


def wait_for_phase(chain: RealChain, name: str, phase: str) -> None:
    chain.wait_for(name, f"jsonpath={{.status.phase}}={phase}", NAMESPACE, timeout_s=_SETTLE_S)


def target_of(name: str, port: str = "") -> Target:
    kind, target = parse_target(BY_NAME[name].target)
    return Target(context="", namespace=NAMESPACE, kind=kind, name=target, port=port)


async def wait_for_fault(chain: RealChain, name: str, expected: Found) -> None:
    """Let the doctor test a target until it finds what is expected, with a cause and a fix."""
    results: list[DoctorResult] = []
    wanted = {expected} if expected is not None else set()
    try:
        async with asyncio.timeout(_SETTLE_S):
            while found_in(results) != wanted or not results:
                await asyncio.sleep(_POLL_S if results else 0.0)
                results = await diagnose(
                    chain.kubeconfig, target_of(name), limits=limits_for(expected)
                )
    except TimeoutError:
        raise AssertionError(results) from None
    assert all(one.cause and one.fix for one in results if (one.hop, one.code) in wanted)


async def ask_kubectl(
    path: Path, chain: RealChain, name: str, folder: Path, *, expects_text: bool
) -> str:
    """Return what a kubectl says: the text of the error stream, or else its last line."""
    scene = Scene(chain.kubeconfig, target_of(name, "7000"))
    lines = await port_forward_lines(path, scene, folder, expects_text=expects_text)
    texts = [line.partition(": error forwarding")[2] for line in lines]
    return next((normalized_text(f"error forwarding{text}") for text in texts if text), lines[-1])


@pytest.mark.kubectl
@pytest.mark.parametrize("name", KUBECTL)
async def test_fault(real_chain: RealChain, name: str, tmp_path: Path) -> None:
    with turned_on(real_chain, name):
        await wait_for_fault(real_chain, name, FOUND[name])
        for kubectl in kubectls():
            text = await ask_kubectl(
                kubectl.values[0], real_chain, name, tmp_path,
                expects_text=WORKS not in KUBECTL[name],
            )  # fmt: skip
            assert text in KUBECTL[name]


async def test_sandbox_is_replaced(real_chain: RealChain) -> None:
    """A pod works again after its sandbox was killed, with another sandbox."""
    name, ctr = "pod-sandbox-gone", real_chain.containerd.ctr

    def sandboxes() -> set[str]:
        of_pod = f'labels."io.kubernetes.pod.name"=={name}'
        filters = f'{of_pod},labels."io.cri-containerd.kind"==sandbox'
        return set(ctr("containers", "ls", "--quiet", filters).split())

    with turned_on(real_chain, name):
        await wait_for_fault(real_chain, name, None)
        (before,) = sandboxes()
        ctr("tasks", "kill", "--signal", "SIGKILL", before)
        wait_until(lambda: sandboxes() - {before}, "another sandbox", _SETTLE_S)
        await wait_for_fault(real_chain, name, FOUND[name])


@pytest.mark.kubectl
async def test_stopped_runtime(serving: RealChain, tmp_path: Path) -> None:
    await wait_for_fault(serving, _SERVING, None)
    serving.containerd.kill()
    try:
        await wait_for_fault(serving, _SERVING, FOUND["runtime-stopped"])
        for kubectl in kubectls():
            text = await ask_kubectl(
                kubectl.values[0], serving, _SERVING, tmp_path, expects_text=True
            )
            assert text.startswith(UNAVAILABLE), text
    finally:
        serving.containerd.launch()
    await wait_for_fault(serving, _SERVING, None)


async def test_paused_runtime(serving: RealChain) -> None:
    await wait_for_fault(serving, _SERVING, None)
    serving.containerd.send_signal(signal.SIGSTOP)
    try:
        await wait_for_fault(serving, _SERVING, FOUND["runtime-paused"])
    finally:
        serving.containerd.send_signal(signal.SIGCONT)
    await wait_for_fault(serving, _SERVING, None)


def test_every_other_fault_has_a_reason() -> None:
    tested = {*KUBECTL, *OF_RUNTIME}
    assert {one.name for one in FAULTS if not why_untested(one.name)} == tested
    assert "pod-out-of-memory" not in tested
    assert not [name for name in tested if name.startswith(("api-", "gateway-", "certificate-"))]
