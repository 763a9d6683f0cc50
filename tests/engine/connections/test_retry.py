from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from tui_forward.engine.connections.counters import ForwardCounters
from tui_forward.engine.connections.pod_history import PodHistory
from tui_forward.engine.connections.preconnector import SpareChannel
from tui_forward.engine.connections.retry import RetryPolicy
from tui_forward.engine.connections.upload import ReplayBuffer
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.errors import ForwardError
from tui_forward.model import PodRef, ReasonCode
from tui_forward.protocol.error_stream import PortForwardFailure


class RefusalOwner:
    """Forward that decides about refusals only."""

    def __init__(self, *, refusal_is_final: bool = False) -> None:
        self.counters = ForwardCounters()
        self.changed = asyncio.Event()
        self._refusal_is_final = refusal_is_final

    def take_spare(self, pool: TunnelPool) -> SpareChannel | None:
        raise NotImplementedError

    def usable_pool(self, client: str) -> TunnelPool | None:
        raise NotImplementedError

    async def wait_for_pool(self, client: str) -> TunnelPool:
        raise NotImplementedError

    def refusal_is_final(self, failure: ForwardError, pod: PodRef | None) -> bool:
        return self._refusal_is_final

    async def wait_for_retry(self) -> None:
        await self.changed.wait()

    def follow_pod(self, pod: PodRef, port: int) -> PodHistory:
        raise NotImplementedError

    @property
    def is_refusing(self) -> bool:
        return False

    def pod_answered(self) -> None: ...

    def connection_failed(self, failure: ForwardError) -> None: ...

    def sandbox_gone(self, failure: ForwardError, pod: PodRef | None) -> None: ...


def replay_of(data: bytes, *, limit: int = 100) -> ReplayBuffer:
    replay = ReplayBuffer(limit)
    if data:
        replay.append(memoryview(data), BufferBudget(Limits()))
    return replay


def is_allowed(
    failure: PortForwardFailure,
    *,
    replay: ReplayBuffer | None = None,
    acknowledged: bool = True,
    refusal_is_final: bool = False,
) -> bool:
    policy = RetryPolicy(RefusalOwner(refusal_is_final=refusal_is_final), Limits())
    return policy.is_allowed(
        failure,
        failure.to_error(),
        replay=replay if replay is not None else replay_of(b"data"),
        acknowledged=acknowledged,
        pod=None,
    )


REFUSED = PortForwardFailure(code=ReasonCode.PORT_REFUSED, port=80)
LOST = PortForwardFailure(code=ReasonCode.TUNNEL_LOST, port=80)


async def test_refusal_is_retried_unless_it_is_final() -> None:
    assert is_allowed(REFUSED)
    assert not is_allowed(REFUSED, refusal_is_final=True)


@pytest.mark.parametrize("code", [ReasonCode.RUNTIME_SANDBOX_GONE, ReasonCode.POD_NOT_RUNNING])
async def test_gone_pod_is_retried(code: ReasonCode) -> None:
    assert is_allowed(PortForwardFailure(code=code, port=80))


async def test_upload_that_was_not_kept_is_not_retried() -> None:
    assert not is_allowed(REFUSED, replay=replay_of(b"data", limit=2))


async def test_undelivered_channel_is_retried() -> None:
    assert is_allowed(msgspec.structs.replace(LOST, undelivered=True))


@pytest.mark.parametrize(
    ("data", "acknowledged", "expected"),
    [(b"data", True, False), (b"data", False, True), (b"", True, True)],
)
async def test_lost_tunnel_is_retried_if_the_application_received_nothing(
    data: bytes, acknowledged: bool, expected: bool
) -> None:
    assert is_allowed(LOST, replay=replay_of(data), acknowledged=acknowledged) is expected


async def test_wait_backs_off_until_something_changes() -> None:
    owner = RefusalOwner()
    policy = RetryPolicy(owner, replace(Limits(), retry_refused_s=0.001, retry_refused_max_s=0.002))
    assert not policy.was_refused
    for _ in range(3):
        await policy.wait()
    assert policy.was_refused
    assert policy._delay_s == 0.002
    owner.changed.set()
    await policy.wait()
    assert policy._delay_s == 0.001
