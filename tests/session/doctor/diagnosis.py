"""Runs a doctor on a kubeconfig of a test."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.kube.kubeconfigs import kubeconfig, write
from tests.session.doctor.chain_server import NAMESPACE, POD
from tui_forward.kube.access.cluster_access import ClusterAccess
from tui_forward.kube.kubeconfig.source import KubeconfigSource
from tui_forward.model import (
    AccessOptions,
    DoctorHop,
    DoctorOutcome,
    DoctorQuery,
    DoctorResult,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.session.doctor.chain import DoctorLimits
from tui_forward.session.doctor.doctor import Doctor
from tui_forward.session.doctor.trace import Trace

# Short where a test waits for the end of a limit, and long where a busy machine is to be no fault.
LIMITS = DoctorLimits(port_s=0.3, slow_dns_s=60.0, slow_answer_s=60.0)
# For a port that sends something or refuses.
ACTIVE_PORT = replace(LIMITS, port_s=60.0)


def target(
    name: str = POD, kind: TargetKind = TargetKind.POD, port: str = "", namespace: str = NAMESPACE
) -> Target:
    return Target(context="", namespace=namespace, kind=kind, name=name, port=port)


def write_config(folder: Path, server: str, **parts: Any) -> Path:
    """Write a kubeconfig for a server; `parts` as for `kubeconfig`."""
    return write(folder / "config", kubeconfig(server, **{"namespace": NAMESPACE, **parts}))


async def diagnose(
    path: Path | None,
    tested: Target | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    limits: DoctorLimits = LIMITS,
    transport: TransportChoice = TransportChoice.AUTO,
    context: str = "",
    options: AccessOptions | None = None,
    trace: Trace | None = None,
) -> list[DoctorResult]:
    """Return the final results of a doctor."""
    environ = {} if environ is None else environ
    source = KubeconfigSource(path, environ=environ)
    accesses: list[ClusterAccess] = []

    def access_of(name: str, options: AccessOptions) -> ClusterAccess:
        accesses.append(ClusterAccess(source, name, options, environ=environ))
        return accesses[-1]

    query = DoctorQuery(
        context=context, target=tested, transport=transport, options=options or AccessOptions()
    )
    doctor = Doctor(source, access_of, environ, limits=limits, trace=trace)
    async with contextlib.AsyncExitStack() as stack:
        results = await stack.enter_async_context(aclosing(doctor.run(query)))
        found = [one async for one in results if one.outcome is not DoctorOutcome.RUNNING]
        for access in accesses:
            await access.close()
    return found


def outcomes(results: list[DoctorResult]) -> dict[DoctorHop, DoctorOutcome]:
    """Return the worst outcome of each hop."""
    order = list(DoctorOutcome)
    found: dict[DoctorHop, DoctorOutcome] = {}
    for result in results:
        before = found.get(result.hop, DoctorOutcome.RUNNING)
        found[result.hop] = max(before, result.outcome, key=order.index)
    return found


def fault_of(results: list[DoctorResult]) -> DoctorResult:
    """Return the only hop with a fault; of upgrades, the first."""
    faults = [one for one in results if one.outcome is DoctorOutcome.FAULT]
    assert len({one.hop for one in faults}) == 1, results
    return faults[0]
