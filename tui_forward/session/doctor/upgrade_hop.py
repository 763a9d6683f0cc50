"""Tests of the upgrade of each transport, and of what is behind the API server.

Tunnels are opened as forwards open them, each over a connection of its own, and all at once: a
node that does not answer is reported after half a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from typing import Final

from msgspec.structs import replace

from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Tunnel
from tui_forward.engine.tunnels.dialer import Dialer
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.errors import ApiError, AuthError, TuiForwardError
from tui_forward.kube.api.details import NodeDetails, decode_node
from tui_forward.kube.api.resources import PODS
from tui_forward.model import DoctorHop, DoctorOutcome, PodRef, Reason, ReasonCode, TransportChoice
from tui_forward.reasons import TRANSPORT_NAMES
from tui_forward.session.doctor.chain import Chain
from tui_forward.session.doctor.findings import (
    Finding,
    fault,
    good,
    hop_behind_upgrade,
    note,
)
from tui_forward.session.doctor.permissions_hop import requested_transports
from tui_forward.transport import Endpoint

_UPGRADE: Final = DoctorHop.UPGRADE


@dataclass(frozen=True, slots=True)
class Attempt:
    """A tunnel by one transport, or why there is none."""

    transport: TransportChoice
    duration_s: float
    tunnel: Tunnel | None = None
    reason: Reason | None = None
    is_tried: bool = True


async def check_upgrades(chain: Chain) -> tuple[Finding, ...]:
    """Open a tunnel by each transport; keep one of them to test the port with."""
    transports = requested_transports(chain.query.transport)
    tasks = [asyncio.create_task(_attempt(chain, one)) for one in transports]
    try:
        attempts = await asyncio.gather(*tasks)
    finally:
        # All of them end before this returns, also when it is canceled.
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        attempted = [one for one in ended if isinstance(one, Attempt)]
        chain.tunnels = tuple(one.tunnel for one in attempted if one.tunnel is not None)
        for tunnel in chain.tunnels[1:]:
            tunnel.close()
    return judge_attempts(chain, attempts)


async def _attempt(chain: Chain, transport: TransportChoice) -> Attempt:
    if transport in chain.denied:
        return Attempt(transport, 0.0, reason=chain.denied[transport], is_tried=False)
    assert chain.resolution is not None
    limits = Limits(dial_timeout_s=chain.limits.connect_s, upgrade_timeout_s=chain.limits.upgrade_s)
    dialer = Dialer(
        _DoctorAccess(chain), choice=transport, transport_cache=TransportCache(), limits=limits
    )
    started = time.monotonic()
    try:
        tunnel = await dialer.dial_by(
            transport, chain.pod, chain.resolution.port, TunnelUser(limits)
        )
    except TuiForwardError as error:
        duration_s = time.monotonic() - started
        reason = _of_node(await _explain(chain, error), chain.pod)
        chain.trace.record(
            "upgrade refused", transport=transport.value, code=reason.code.value,
            text=error.message,
        )  # fmt: skip
        return Attempt(transport, duration_s, reason=reason)
    finally:
        dialer.close()
    duration_s = time.monotonic() - started
    chain.trace.record(
        "upgraded", transport=transport.value, round_trip_ms=_milliseconds(tunnel.round_trip_s)
    )
    return Attempt(transport, duration_s, tunnel=tunnel)


async def _explain(chain: Chain, error: TuiForwardError) -> Reason:
    """Return why there is no tunnel; without an answer, whether the API server gives others."""
    if error.code is not ReasonCode.API_UPGRADE_TIMEOUT:
        return error.reason
    if await _pod_is_readable(chain):
        node = chain.pod.node
        timeout_s = chain.limits.upgrade_s
        return Reason(code=ReasonCode.KUBELET_NO_ANSWER, node=node, timeout_s=timeout_s)
    return error.reason


async def _pod_is_readable(chain: Chain) -> bool:
    """Return whether the API server answers a GET of the pod, and knows who asks."""
    pod, api = chain.pod, chain.api
    assert api is not None
    try:
        await api.get(PODS.path(pod.namespace, pod.name), "get the pod")
    except ApiError as error:
        return error.status < 500
    except TuiForwardError:
        return False
    return True


def judge_attempts(chain: Chain, attempts: list[Attempt]) -> tuple[Finding, ...]:
    """Return a finding for each transport. One that works makes faults of others notes."""
    works = any(one.tunnel is not None for one in attempts)
    tried = [one for one in attempts if one.is_tried]
    if not works:
        behind = [one.reason for one in tried if one.reason and hop_behind_upgrade(one.reason)]
        # If all agree, or the first does; a transport that a gateway refuses tells nothing more.
        chain.behind = behind[0] if behind else None
    return tuple(_judge(one, works=works, behind=chain.behind) for one in attempts)


def _judge(attempt: Attempt, *, works: bool, behind: Reason | None) -> Finding:
    name = TRANSPORT_NAMES[attempt.transport]
    tried = f"open a tunnel by {name}"
    reason = attempt.reason
    if attempt.tunnel is not None:
        round_trip_s = attempt.tunnel.round_trip_s
        fact = f"round trip {_milliseconds(round_trip_s):g} ms" if round_trip_s else ""
        found = good(_UPGRADE, tried, "101 Switching Protocols", fact)
    elif not attempt.is_tried:
        assert reason is not None
        found = note(_UPGRADE, f"{tried}: not tried", reason)
    elif not works and reason is not None and hop_behind_upgrade(reason) is not None:
        # The reason is that of the hop behind, which is shown once.
        fact = "the API server passed it on; it was refused behind"
        found = Finding(_UPGRADE, DoctorOutcome.NOTE, tried, (fact,))
    elif works or behind is not None:
        assert reason is not None
        found = note(_UPGRADE, tried, reason)
    else:
        assert reason is not None
        found = fault(_UPGRADE, tried, reason)
    return replace_fields(found, transport=attempt.transport, duration_s=attempt.duration_s)


async def check_kubelet(chain: Chain) -> Finding:
    """Read the node of the pod, and judge what the upgrades have shown of its kubelet."""
    name = chain.pod.node
    tried = f"reach the kubelet of {name}"
    node = await _read_node(chain, name)
    facts = describe_node(node)
    behind = chain.behind
    if behind is not None and hop_behind_upgrade(behind) is DoctorHop.KUBELET:
        return fault(DoctorHop.KUBELET, tried, behind, *facts)
    if node is not None and node.ready is False:
        reason = Reason(
            code=ReasonCode.NODE_NOT_READY, node=name, detail=node.trouble,
            at=node.not_ready_since or None,
        )  # fmt: skip
        return note(DoctorHop.KUBELET, tried, reason, *facts)
    return good(DoctorHop.KUBELET, tried, *facts)


async def check_runtime(chain: Chain) -> Finding:
    """Judge what the upgrades have shown of the container runtime."""
    tried = "attach to the sandbox of the pod"
    behind = chain.behind
    if behind is not None:
        return fault(DoctorHop.RUNTIME, tried, behind)
    tunnel = chain.tunnel
    by = TRANSPORT_NAMES[tunnel.transport] if tunnel is not None else ""
    return good(DoctorHop.RUNTIME, tried, f"its streaming server answers by {by}")


async def _read_node(chain: Chain, name: str) -> NodeDetails | None:
    """Return the node; None if the user may not read nodes."""
    api = chain.api
    assert api is not None
    try:
        node: NodeDetails = await api.get(f"/api/v1/nodes/{name}", "get the node", decode_node)
    except TuiForwardError:
        return None
    return node


def describe_node(node: NodeDetails | None) -> tuple[str, ...]:
    """Return a node in a few words; nothing of one that the user may not read."""
    if node is None:
        return ()
    ready = {True: "Ready", False: "NotReady", None: ""}[node.ready]
    return (ready, node.address, f"kubelet {node.kubelet}" if node.kubelet else "", node.runtime)


def _of_node(reason: Reason, pod: PodRef) -> Reason:
    """Return a reason with the names of pod and node, for its text and its fix."""
    return replace(
        reason, node=reason.node or pod.node, pod=reason.pod or pod.name, namespace=pod.namespace
    )


def _milliseconds(seconds: float | None) -> float:
    return round((seconds or 0.0) * 1000, 1)


class TunnelUser:
    """Owner of a tunnel that carries one channel at most."""

    def __init__(self, limits: Limits) -> None:
        self.budget = BufferBudget(limits)

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        """See `TunnelOwner`."""

    def tunnel_ended(self, tunnel: Tunnel, error: TuiForwardError) -> None:
        """See `TunnelOwner`; its channel is closed by the tunnel."""

    def path_is_alive(self, tunnel: Tunnel) -> bool:  # noqa: ARG002 - see `TunnelOwner`
        """See `TunnelOwner`."""
        return False


class _DoctorAccess:
    """`ServerAccess` with the endpoint and credentials that were tested; renews nothing."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        assert chain.endpoint is not None
        self._endpoint: Endpoint = chain.endpoint

    @property
    def context(self) -> str:
        """See `ServerAccess`."""
        return self._chain.resolved.context if self._chain.resolved is not None else ""

    @property
    def insecure(self) -> bool:
        """See `ServerAccess`."""
        return self._chain.resolved is not None and self._chain.resolved.cluster.insecure

    async def endpoint(self) -> Endpoint:
        """See `ServerAccess`."""
        return self._endpoint

    async def headers(self, *, refresh: bool = False) -> Mapping[str, str]:
        """See `ServerAccess`; AuthError instead of a renewal, which could be a login."""
        if refresh:
            raise self.explain(AuthError(Reason(code=ReasonCode.AUTH_UNAUTHORIZED)))
        return self._chain.headers

    @property
    def login(self) -> Reason | None:
        """See `ServerAccess`."""
        return None

    def observe_login(self, on_change: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002
        """See `ServerAccess`."""
        return lambda: None

    def explain(self, error: AuthError) -> AuthError:
        """See `ServerAccess`."""
        access = self._chain.access
        return access.explain(error) if access is not None else error

    async def check_pod(self, namespace: str, pod: str) -> bool:  # noqa: ARG002
        """See `ServerAccess`: of the pod that is tested."""
        return await _pod_is_readable(self._chain)
