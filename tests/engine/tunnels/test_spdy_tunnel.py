from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from tests.engine.go_server import QUEUE, GoServer
from tests.support.faulty_stream import FaultyStream
from tests.support.memory_stream import memory_pair
from tests.support.waiting import until
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Tunnel
from tui_forward.engine.tunnels.flow_control import WINDOW_FRAMES
from tui_forward.engine.tunnels.spdy_channel import SpdyChannel
from tui_forward.engine.tunnels.spdy_tunnel import SpdyTunnel
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import Reason, ReasonCode, TransportChoice
from tui_forward.protocol.error_stream import PortForwardFailure

FRAME = bytes(1000)


class Owner:
    """A pool that only listens."""

    def __init__(self, limits: Limits) -> None:
        self.budget = BufferBudget(limits)
        self.ended: list[TuiForwardError] = []
        self.changes = 0
        self.others_answer = False

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        self.changes += 1

    def tunnel_ended(self, tunnel: Tunnel, error: TuiForwardError) -> None:
        self.ended.append(error)

    def path_is_alive(self, tunnel: Tunnel) -> bool:
        return self.others_answer


@dataclass
class Local:
    """A local connection that does what it is told."""

    channel: SpdyChannel | None = None
    received: bytearray = field(default_factory=bytearray)
    eof: bool = False
    paused: bool = False
    evicted_for: Reason | None = None
    ends: list[PortForwardFailure | None] = field(default_factory=list)

    def data_received(self, pieces: list[memoryview]) -> None:
        for piece in pieces:
            self.received += piece

    def eof_received(self) -> None:
        self.eof = True

    def writing_paused(self) -> None:
        self.paused = True

    def writing_resumed(self) -> None:
        self.paused = False

    def evicted(self, reason: Reason) -> None:
        self.evicted_for = reason
        assert self.channel is not None
        self.channel.abort()

    def closed(self, failure: PortForwardFailure | None) -> None:
        self.ends.append(failure)


@dataclass
class TunnelHarness:
    """A tunnel in memory."""

    tunnel: SpdyTunnel
    server: GoServer
    owner: Owner
    wire: FaultyStream

    def open(self) -> tuple[SpdyChannel, Local]:
        local = Local()
        channel = local.channel = self.tunnel.open(local)
        channel.flush()
        return channel, local


@contextlib.asynccontextmanager
async def rig(limits: Limits | None = None, *, start: bool = True) -> AsyncIterator[TunnelHarness]:
    limits = limits or Limits()
    ours, theirs = memory_pair(write_limit=1_000_000)
    wire = FaultyStream(ours)
    owner = Owner(limits)
    tunnel = SpdyTunnel(
        wire, b"", port=80, transport=TransportChoice.SPDY, owner=owner, limits=limits
    )
    made = TunnelHarness(tunnel, GoServer(theirs), owner, wire)
    if start:
        await tunnel.start(5)
    try:
        yield made
    finally:
        tunnel.close()
        await tunnel.wait_closed()


def send_until_paused(channel: SpdyChannel, local: Local, most: int = 500) -> int:
    for count in range(most):
        if local.paused:
            return count
        channel.send(FRAME)
    return most


async def test_a_ping_is_answered_before_anything_else() -> None:
    async with rig() as made:
        assert made.tunnel.up
        assert made.tunnel.round_trip_s is not None
        assert made.server.pings == 1


async def test_what_answers_no_ping_is_no_tunnel() -> None:
    async with rig(start=False) as made:
        made.server.silent = True
        with pytest.raises(TransportError, match="nothing answers at its other end"):
            await made.tunnel.start(0.05)
        assert not made.tunnel.up


async def test_what_ends_before_it_answers_is_no_tunnel() -> None:
    async with rig(start=False) as made:
        made.server.silent = True
        starting = asyncio.create_task(made.tunnel.start(5))
        await asyncio.sleep(0)
        made.wire.cut()
        with pytest.raises(TransportError):
            await starting


async def test_connections_on_one_tunnel_have_workers_of_their_own() -> None:
    async with rig() as made:
        for _ in range(5):
            made.open()
        await until(lambda: len(made.server.opened) == 10)
        assert len({number % 5 for number in made.server.data_streams}) == 5


async def test_an_application_that_stops_reading_makes_nobody_else_wait() -> None:
    async with rig() as made:
        stopped, stopped_local = made.open()
        other, other_local = made.open()
        await until(lambda: len(made.server.opened) == 4)
        stopped_id, other_id = made.server.data_streams
        made.server.stopped.add(stopped_id)
        sent = 0
        for _ in range(20):
            sent += send_until_paused(stopped, stopped_local)
            await asyncio.sleep(0)
        assert stopped_local.paused
        assert sent <= WINDOW_FRAMES
        assert made.server.deepest() <= QUEUE
        assert not made.server.jammed
        # The neighbour sends a hundred times as much meanwhile.
        total = 0
        while total < 3000:
            total += send_until_paused(other, other_local, 3000 - total)
            await until(lambda: not other_local.paused)
        await until(lambda: made.server.taken[other_id] == 3000 * len(FRAME))
        assert made.tunnel.up
        made.server.go_on()
        await until(lambda: made.server.taken[stopped_id] == sent * len(FRAME))
        await until(lambda: stopped.writable)
        assert not stopped_local.paused


async def test_a_new_connection_avoids_the_worker_that_has_stopped() -> None:
    async with rig() as made:
        stopped, local = made.open()
        made.open()
        await until(lambda: len(made.server.opened) == 4)
        stopped_id = made.server.data_streams[0]
        made.server.stopped.add(stopped_id)
        send_until_paused(stopped, local)
        assert made.tunnel.suspect
        for _ in range(8):
            made.open()
        await until(lambda: len(made.server.opened) == 20)
        assert all(number % 5 != stopped_id % 5 for number in made.server.opened[4:])


async def test_whoever_is_alone_is_not_metered_and_jams_nobody_but_itself() -> None:
    async with rig() as made:
        channel, local = made.open()
        await until(lambda: made.server.opened)
        made.server.stopped.add(made.server.opened[1])
        assert send_until_paused(channel, local, 200) == 200
        await until(lambda: made.server.jammed)
        made.server.go_on()
        await until(lambda: made.server.taken == {made.server.opened[1]: 200_000})


async def test_whoever_is_left_alone_is_not_metered_any_more() -> None:
    async with rig() as made:
        channel, local = made.open()
        neighbour, _ = made.open()
        await until(lambda: len(made.server.opened) == 4)
        made.server.stopped.add(made.server.data_streams[0])
        send_until_paused(channel, local)
        assert not channel.writable
        neighbour.abort()
        assert channel.writable
        assert not local.paused


async def test_silence_is_death_unless_the_path_is_known_to_live() -> None:
    limits = replace(Limits(), ping_every_s=0.02, silence_s=0.1)
    async with rig(limits) as made:
        channel, local = made.open()
        await until(lambda: made.server.opened)
        made.server.stopped.add(made.server.opened[1])
        made.owner.others_answer = True
        send_until_paused(channel, local, 200)
        await until(lambda: made.server.jammed)
        await asyncio.sleep(0.3)
        assert made.tunnel.up
        made.owner.others_answer = False
        await until(lambda: not made.tunnel.up)
        assert "nothing has come through" in made.owner.ended[0].message
        assert local.ends[0] is not None
        assert local.ends[0].tunnel_lost


async def test_silence_without_anything_owed_is_death_whatever_others_say() -> None:
    limits = replace(Limits(), ping_every_s=0.02, silence_s=0.1)
    async with rig(limits) as made:
        made.owner.others_answer = True
        made.wire.stall()
        await until(lambda: made.owner.ended)


async def test_a_slow_reader_alone_stops_the_tunnel_from_being_read() -> None:
    async with rig(replace(Limits(), stream_buffer=1000)) as made:
        channel, local = made.open()
        channel.set_buffered(999)
        assert not made.tunnel.stalled
        channel.set_buffered(1000)
        assert made.tunnel.stalled
        await until(lambda: len(made.server.opened) == 2)
        made.server.send_data(made.server.data_streams[0], b"later")
        await asyncio.sleep(0.01)
        assert not local.received
        channel.set_buffered(501)
        assert made.tunnel.stalled
        channel.set_buffered(500)
        assert not made.tunnel.stalled
        await until(lambda: local.received == b"later")


async def test_a_slow_reader_that_others_wait_for_must_yield() -> None:
    limits = replace(Limits(), stream_buffer=1000, spill=0, stall_grace_s=0.05)
    async with rig(limits) as made:
        slow, slow_local = made.open()
        _, other_local = made.open()
        await until(lambda: len(made.server.opened) == 4)
        slow.set_buffered(5000)
        assert made.tunnel.stalled
        made.server.send_data(made.server.data_streams[1], b"hello")
        await until(lambda: other_local.received == b"hello")
        reason = slow_local.evicted_for
        assert reason is not None
        assert (reason.buffered_bytes, reason.total) == (5000, 1)
        assert not made.tunnel.stalled


async def test_a_slow_reader_that_catches_up_in_time_is_spared() -> None:
    limits = replace(Limits(), stream_buffer=1000, spill=0, stall_grace_s=0.1)
    async with rig(limits) as made:
        slow, slow_local = made.open()
        made.open()
        slow.set_buffered(5000)
        slow.set_buffered(0)
        await asyncio.sleep(0.2)
        assert not slow_local.evicted_for


async def test_those_who_only_linger_do_not_count() -> None:
    limits = replace(Limits(), stream_buffer=1000, spill=0, stall_grace_s=0.02)
    async with rig(limits) as made:
        slow, slow_local = made.open()
        lingering, _ = made.open()
        lingering.mark_half_closed()
        assert (made.tunnel.load, made.tunnel.channels) == (1, 2)
        slow.set_buffered(5000)
        await asyncio.sleep(0.1)
        assert not slow_local.evicted_for


async def test_a_stream_that_is_never_acknowledged_is_given_up() -> None:
    limits = replace(Limits(), ping_every_s=0.02, open_timeout_s=0.05)
    async with rig(limits) as made:
        _, local = made.open()
        await until(lambda: local.ends)
        assert local.ends[0] is not None
        assert local.ends[0].code is ReasonCode.CONNECTION_NO_REPLY
        await until(lambda: len(made.server.resets) == 2)
        assert made.tunnel.up


async def test_data_without_an_end_of_the_error_stream_is_an_end_after_a_while() -> None:
    async with rig(replace(Limits(), half_close_s=0.05)) as made:
        _, local = made.open()
        await until(lambda: len(made.server.opened) == 2)
        made.server.send_data(made.server.data_streams[0], b"all", fin=True)
        await until(lambda: local.ends)
        assert local.ends == [None]
        assert local.received == b"all"
        assert local.eof


async def test_data_cut_anywhere_arrives_whole() -> None:
    async with rig() as made:
        made.wire.split(3)
        _, local = made.open()
        await until(lambda: len(made.server.opened) == 2)
        for _ in range(10):
            made.server.send_data(made.server.data_streams[0], b"0123456789")
        await until(lambda: local.received == b"0123456789" * 10)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 100,
        struct.pack(">HHI", 0x8003, 5, 4) + b"abcd",
        struct.pack(">HHI", 0x8003, 2, 0xFFFFFF) + b"x" * 100,
        struct.pack(">HHI", 0x8003, 7, 8) + bytes(8),
    ],
    ids=["noise", "unknown type", "endless control frame", "GOAWAY"],
)
async def test_a_broken_server_costs_its_tunnel_only(garbage: bytes) -> None:
    async with rig() as made:
        _, local = made.open()
        made.server.stream.write(garbage)
        await until(lambda: made.owner.ended)
        assert local.ends[0] is not None
        assert local.ends[0].tunnel_lost
        assert not made.tunnel.up
        await asyncio.wait_for(made.tunnel.wait_closed(), 5)


async def test_a_tunnel_that_ends_under_many_frames_does_not_ask_for_ever() -> None:
    async with rig() as made:
        channels = [made.open() for _ in range(3)]
        await until(lambda: len(made.server.opened) == 6)
        made.server.stopped.update(made.server.data_streams)
        for channel, local in channels:
            send_until_paused(channel, local)
        made.server.stream.write(struct.pack(">HHIII", 0x8003, 7, 8, 0, 0))
        await until(lambda: made.owner.ended)
        assert all(local.ends for _, local in channels)


async def test_a_reset_network_tells_everybody_why() -> None:
    async with rig() as made:
        _, local = made.open()
        made.wire.reset()
        await until(lambda: local.ends)
        assert local.ends[0] is not None
        assert "reset by peer" in local.ends[0].summary
        with pytest.raises(TransportError):
            made.tunnel.open(Local())


async def test_closing_says_goodbye_and_is_bounded() -> None:
    async with rig(replace(Limits(), close_s=0.05)) as made:
        _, local = made.open()
        made.tunnel.close()
        made.tunnel.close()
        assert local.ends
        assert not made.owner.ended
        await asyncio.wait_for(made.tunnel.wait_closed(), 5)


async def test_a_probe_is_answered_or_the_tunnel_is_dead() -> None:
    async with rig() as made:
        made.tunnel.probe(0.05)
        await asyncio.sleep(0.1)
        assert made.tunnel.up
        made.server.silent = True
        made.tunnel.probe(0.05)
        await until(lambda: not made.tunnel.up)
