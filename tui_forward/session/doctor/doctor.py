"""The tests of a chain in order, and which of them need which."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from tui_forward.kube.access.cluster_access import ClusterAccess
from tui_forward.kube.kubeconfig.source import KubeconfigSource
from tui_forward.model import (
    AccessOptions,
    DoctorHop,
    DoctorOutcome,
    DoctorQuery,
    DoctorResult,
    TransportChoice,
)
from tui_forward.session.doctor import (
    api_hop,
    credentials_hop,
    identity_hop,
    kubeconfig_hop,
    network_hops,
    permissions_hop,
)
from tui_forward.session.doctor.chain import Chain, DoctorLimits
from tui_forward.session.doctor.findings import Finding, not_reached, to_result
from tui_forward.session.doctor.trace import Trace

Run = Callable[[Chain], Awaitable[Finding | tuple[Finding, ...]]]


@dataclass(frozen=True, slots=True)
class HopTest:
    """The test of a hop, which is not run if one of the hops that it needs is broken."""

    hop: DoctorHop
    run: Run
    needs: tuple[DoctorHop, ...] = ()


def _tests(*, has_target: bool) -> tuple[HopTest, ...]:
    hop = DoctorHop
    tests = (
        HopTest(hop.KUBECONFIG, kubeconfig_hop.check_kubeconfig),
        HopTest(hop.CREDENTIALS, credentials_hop.check_credentials, (hop.KUBECONFIG,)),
        HopTest(hop.DNS, network_hops.check_dns, (hop.KUBECONFIG,)),
        HopTest(hop.PROXY, network_hops.check_proxy, (hop.DNS,)),
        HopTest(hop.TCP, network_hops.check_tcp, (hop.PROXY,)),
        HopTest(hop.TLS, network_hops.check_tls, (hop.TCP,)),
        HopTest(hop.API, api_hop.check_api, (hop.TLS,)),
        HopTest(hop.IDENTITY, identity_hop.check_identity, (hop.API, hop.CREDENTIALS)),
        HopTest(hop.PERMISSIONS, permissions_hop.check_permissions, (hop.IDENTITY,)),
    )
    if not has_target:
        return tests
    # They load the engine.
    from tui_forward.session.doctor import port_hop, target_hop, upgrade_hop

    return (
        *tests,
        HopTest(hop.TARGET, target_hop.check_target, (hop.IDENTITY,)),
        HopTest(hop.UPGRADE, upgrade_hop.check_upgrades, (hop.TARGET, hop.PERMISSIONS)),
        HopTest(hop.KUBELET, upgrade_hop.check_kubelet, (hop.UPGRADE,)),
        HopTest(hop.RUNTIME, upgrade_hop.check_runtime, (hop.KUBELET,)),
        HopTest(hop.PORT, port_hop.check_port, (hop.RUNTIME,)),
    )


class Doctor:
    """Tests chains of one kubeconfig in the environment of one user.

    `access_of` returns the credentials of a context; those of an engine are shared with its
    forwards, so that no credential plugin runs again. `trace` records what is sent and received.
    """

    def __init__(
        self,
        source: KubeconfigSource,
        access_of: Callable[[str, AccessOptions], ClusterAccess],
        environ: Mapping[str, str],
        *,
        limits: DoctorLimits | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._source = source
        self._access_of = access_of
        self._environ = environ
        self._limits = limits or DoctorLimits()
        self._trace = trace or Trace()

    async def run(self, query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        """Yield each hop when its test begins (`RUNNING`), and its result.

        Close the generator (`aclosing`) to stop early. Every test has a time limit. Never raises
        because of what it tests.
        """
        chain = Chain(
            query, self._source, self._access_of, self._environ, self._limits, self._trace
        )
        broken: dict[DoctorHop, DoctorHop] = {}  # hop → the hop with the fault
        try:
            for test in _tests(has_target=query.target is not None):
                cause = next((broken[one] for one in test.needs if one in broken), None)
                if cause is not None:
                    broken[test.hop] = cause
                    yield not_reached(test.hop, cause)
                    continue
                for transport in _transports(test.hop, query):
                    yield DoctorResult(
                        hop=test.hop, outcome=DoctorOutcome.RUNNING, transport=transport
                    )
                started = time.monotonic()
                found = await test.run(chain)
                duration_s = time.monotonic() - started
                findings = found if isinstance(found, tuple) else (found,)
                for finding in findings:
                    yield self._record(to_result(finding, duration_s))
                failed = _failed_hop(findings)
                if failed is not None:
                    broken[test.hop] = failed
                    if failed is not test.hop:
                        yield not_reached(test.hop, failed)
        finally:
            await chain.close()

    def _record(self, result: DoctorResult) -> DoctorResult:
        self._trace.record(
            "result", hop=result.hop.value, outcome=result.outcome.value, cause=result.cause
        )
        return result


def _transports(hop: DoctorHop, query: DoctorQuery) -> tuple[TransportChoice | None, ...]:
    if hop is not DoctorHop.UPGRADE:
        return (None,)
    return permissions_hop.requested_transports(query.transport)


def _failed_hop(findings: tuple[Finding, ...]) -> DoctorHop | None:
    """Return the hop that is broken after a test; None if the next hop can be tested."""
    return next((one.hop for one in findings if one.outcome is DoctorOutcome.FAULT), None)
