"""Faults of the embedded cluster, turned on by name: the doctor names hop and cause of each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.session.doctor.diagnosis import diagnose
from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster
from tui_forward.common.arguments import parse_target
from tui_forward.minicluster.fault_objects import NAMESPACE, pod
from tui_forward.minicluster.named_faults import BY_NAME, FAULTS
from tui_forward.model import DoctorHop, DoctorOutcome, DoctorResult, ReasonCode, Target
from tui_forward.session.doctor.chain import DoctorLimits

# The faults on loopback (`test_faults`) are walked on every version.
pytestmark = pytest.mark.any_python

Hop, Code = DoctorHop, ReasonCode
Found = tuple[DoctorHop, ReasonCode] | None

# What never answers ends sooner. What is to answer may take long on a busy machine.
_LIMITS = {
    Code.NETWORK_TLS_TIMEOUT: DoctorLimits(connect_s=1.5),
    Code.KUBELET_NO_ANSWER: DoctorLimits(upgrade_s=6.0),
}
# For tests that are repeated until the cluster is healthy.
BRIEF = DoctorLimits(connect_s=1.5, request_s=3.0, upgrade_s=6.0, port_s=0.02)
# An object of a fault needs a moment until its pod is as described.
_SETTLE_S = 100.0
_POLL_S = 0.2

FOUND: dict[str, Found] = {
    "pod-unschedulable": (Hop.TARGET, Code.POD_NOT_SCHEDULED),
    "pod-claim-missing": (Hop.TARGET, Code.POD_NOT_SCHEDULED),
    "pod-scheduling-gate": (Hop.TARGET, Code.POD_SCHEDULING_GATED),
    "pod-no-scheduler": (Hop.TARGET, Code.POD_NO_SCHEDULER),
    "pod-image-pull": (Hop.TARGET, Code.POD_IMAGE_PULL),
    "pod-image-never-pulled": (Hop.TARGET, Code.POD_IMAGE_PULL),
    "pod-image-name": (Hop.TARGET, Code.POD_IMAGE_PULL),
    "pod-init-failing": (Hop.TARGET, Code.POD_INIT_FAILING),
    "pod-init-running": (Hop.TARGET, Code.POD_INIT_RUNNING),
    "pod-config-missing": (Hop.TARGET, Code.POD_CONTAINER_ERROR),
    "pod-volume-missing": (Hop.TARGET, Code.POD_CREATING),
    "pod-crash-loop": (Hop.TARGET, Code.POD_CRASH_LOOPING),
    "pod-start-error": (Hop.TARGET, Code.POD_START_ERROR),
    "pod-out-of-memory": (Hop.TARGET, Code.POD_OUT_OF_MEMORY),
    "pod-not-ready": None,
    "pod-readiness-gate": None,
    "pod-terminating": None,
    "pod-completed": (Hop.TARGET, Code.POD_COMPLETED),
    "pod-failed": (Hop.TARGET, Code.POD_FAILED),
    "pod-evicted": (Hop.TARGET, Code.POD_EVICTED),
    "pod-deadline-exceeded": (Hop.TARGET, Code.POD_DEADLINE_EXCEEDED),
    "pod-sandbox-gone": None,  # for a moment only
    "workload-scaled-to-zero": (Hop.TARGET, Code.TARGET_SCALED_TO_ZERO),
    "workload-job-completed": (Hop.TARGET, Code.TARGET_COMPLETED),
    "workload-job-failed": (Hop.TARGET, Code.TARGET_FAILED),
    "service-no-pods": (Hop.TARGET, Code.TARGET_NO_MATCHING_PODS),
    "service-no-selector": (Hop.TARGET, Code.TARGET_NO_ENDPOINTS),
    "service-external-name": (Hop.TARGET, Code.TARGET_EXTERNAL_NAME),
    "service-port-name-missing": (Hop.TARGET, Code.PORT_TARGET_NAME_MISSING),
    "port-closed": (Hop.PORT, Code.PORT_REFUSED),
    "port-ipv6-only": (Hop.PORT, Code.PORT_REFUSED),
    "port-resets": (Hop.PORT, Code.PORT_RESET),
    "port-closes": (Hop.PORT, Code.PORT_CLOSES),
    "port-silent": None,
    "port-udp": (Hop.TARGET, Code.PORT_UNKNOWN_NUMBER),
    "node-missing": (Hop.KUBELET, Code.NODE_MISSING),
    "node-no-address": (Hop.KUBELET, Code.KUBELET_NO_ADDRESS),
    "node-name-unknown": (Hop.KUBELET, Code.KUBELET_UNREACHABLE),
    "node-not-ready": None,
    "kubelet-stopped": (Hop.KUBELET, Code.KUBELET_UNREACHABLE),
    "kubelet-paused": (Hop.KUBELET, Code.KUBELET_NO_ANSWER),
    "kubelet-unreachable": (Hop.KUBELET, Code.KUBELET_UNREACHABLE),
    "kubelet-filtered": (Hop.KUBELET, Code.KUBELET_NO_ANSWER),
    "kubelet-certificate-other-ca": (Hop.KUBELET, Code.KUBELET_CERTIFICATE),
    "kubelet-certificate-wrong-name": (Hop.KUBELET, Code.KUBELET_CERTIFICATE),
    "kubelet-certificate-expired": (Hop.KUBELET, Code.KUBELET_CERTIFICATE),
    "kubelet-unauthorized": (Hop.KUBELET, Code.KUBELET_UNAUTHORIZED),
    "kubelet-forbidden": (Hop.KUBELET, Code.KUBELET_FORBIDDEN),
    "runtime-stopped": (Hop.RUNTIME, Code.RUNTIME_UNREACHABLE),
    # Nothing tells it from a kubelet that does not answer.
    "runtime-paused": (Hop.KUBELET, Code.KUBELET_NO_ANSWER),
    "api-stopped": (Hop.TCP, Code.NETWORK_REFUSED),
    "api-paused": (Hop.TLS, Code.NETWORK_TLS_TIMEOUT),
    "api-ending": (Hop.TCP, Code.NETWORK_REFUSED),
    "api-starting": (Hop.IDENTITY, Code.API_STARTING),
    "api-unauthorized": (Hop.IDENTITY, Code.AUTH_CERTIFICATE_REFUSED),
    "api-anonymous": (Hop.IDENTITY, Code.AUTH_NO_CREDENTIALS),
    "api-busy": (Hop.API, Code.API_THROTTLED),
    "api-history-gone": None,  # of watches, which a doctor has none of
    "gateway-strips-upgrade": (Hop.UPGRADE, Code.API_UPGRADE_STRIPPED),
    "gateway-no-spdy": None,
    "gateway-403": (Hop.UPGRADE, Code.API_FORBIDDEN),
    "gateway-502": (Hop.API, Code.API_GATEWAY),
    "gateway-503": (Hop.API, Code.API_GATEWAY),
    "gateway-504": (Hop.UPGRADE, Code.API_GATEWAY),
    "gateway-redirect": (Hop.API, Code.API_REDIRECTED),
    "gateway-login-page": (Hop.API, Code.API_LOGIN_PAGE),
    "gateway-cuts-tunnels": None,  # later than the test of a port takes
    "certificate-other-ca": (Hop.TLS, Code.NETWORK_CERTIFICATE_CHAIN),
    "certificate-wrong-name": (Hop.TLS, Code.NETWORK_CERTIFICATE_NAME),
    "certificate-expired": (Hop.TLS, Code.NETWORK_CERTIFICATE_EXPIRED),
    "certificate-not-yet-valid": (Hop.TLS, Code.NETWORK_CERTIFICATE_NOT_YET_VALID),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterProcess]:
    """Run a cluster with one healthy pod, `ok`; each test ends its fault."""
    with running_cluster(*ONE_NODE, "--no-workloads", "--seed", "11") as running:
        running.control.send("put-objects", objects=[{**pod("ok"), "afterPhase": "Running"}])
        yield running


@contextlib.asynccontextmanager
async def turned_on(cluster: ClusterProcess, name: str) -> AsyncIterator[None]:
    await cluster.control.request("set", name=name, on=True)
    try:
        yield
    finally:
        await cluster.control.request("set", name=name, on=False)
        await cluster.control.request("clear")
        if not BY_NAME[name].target:  # of components, which need a moment to work again
            async with asyncio.timeout(_SETTLE_S):
                while True:
                    if not found_in(await examine(cluster, "", limits=BRIEF)):
                        break
                    await asyncio.sleep(_POLL_S)


async def examine(
    cluster: ClusterProcess, name: str, *, limits: DoctorLimits
) -> list[DoctorResult]:
    """Test the target of a fault; that of none is the healthy pod."""
    fault = BY_NAME.get(name)
    kind, target = parse_target(fault.target if fault is not None and fault.target else "pod/ok")
    tested = Target(context="", namespace=NAMESPACE, kind=kind, name=target, port="")
    is_of_users = fault is not None and "--context porter" in fault.summary
    context = "porter" if is_of_users else ""
    return await diagnose(cluster.kubeconfig, tested, limits=limits, context=context)


def limits_for(expected: Found) -> DoctorLimits:
    """Return the time limits of a doctor that is to find a fault."""
    return DoctorLimits() if expected is None else _LIMITS.get(expected[1], DoctorLimits())


def found_in(results: list[DoctorResult]) -> set[tuple[DoctorHop, ReasonCode | None]]:
    return {(one.hop, one.code) for one in results if one.outcome is DoctorOutcome.FAULT}


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS])
async def test_fault_of_the_cluster(cluster: ClusterProcess, name: str) -> None:
    expected = FOUND[name]
    limits = limits_for(expected)
    async with turned_on(cluster, name), asyncio.timeout(_SETTLE_S):
        # The pod of the fault passes through other states first.
        while (found := found_in(results := await examine(cluster, name, limits=limits))) != (
            {expected} if expected is not None else set()
        ):
            assert BY_NAME[name].target, found
            await asyncio.sleep(_POLL_S)
    for one in results:
        if one.outcome is DoctorOutcome.FAULT:
            assert one.cause
            assert one.fix
    assert found <= {expected}


def test_every_fault_has_a_row() -> None:
    assert {fault.name for fault in FAULTS} == set(FOUND)
