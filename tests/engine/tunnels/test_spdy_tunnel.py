from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import AsyncIterator, Sequence
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
from tui_forward.transport.stream import Buffer

FRAME = bytes(1000)


class RecordingOwner:
    """Pool that records calls."""

    def __init__(self, limits: Limits) -> None:
        self.budget = BufferBudget(limits)
        self.ended: list[TuiForwardError] = []
        self.changes = 0
        self.path_alive = False

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        self.changes += 1

    def tunnel_ended(self, tunnel: Tunnel, error: TuiForwardError) -> None:
        self.ended.append(error)

    def path_is_alive(self, tunnel: Tunnel) -> bool:
        return self.path_alive


@dataclass
class RecordingHandler:
    """Handler that records events, and aborts its channel when evicted."""

    channel: SpdyChannel | None = None
    received: bytearray = field(default_factory=bytearray)
    eof: bool = False
    paused: bool = False
    eviction: Reason | None = None
    closings: list[PortForwardFailure | None] = field(default_factory=list)

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
        self.eviction = reason
        assert self.channel is not None
        self.channel.abort()

    def closed(self, failure: PortForwardFailure | None) -> None:
        self.closings.append(failure)


@dataclass
class TunnelHarness:
    """A tunnel over a stream in memory."""

    tunnel: SpdyTunnel
    server: GoServer
    owner: RecordingOwner
    stream: FaultyStream

    def open(self) -> tuple[SpdyChannel, RecordingHandler]:
        local = RecordingHandler()
        channel = local.channel = self.tunnel.open(local)
        channel.flush()
        return channel, local


@contextlib.asynccontextmanager
async def tunnel_harness(
    limits: Limits | None = None, *, start: bool = True, write_limit: int = 1_000_000
) -> AsyncIterator[TunnelHarness]:
    limits = limits or Limits()
    local, remote = memory_pair(write_limit=write_limit)
    stream = FaultyStream(local)
    owner = RecordingOwner(limits)
    tunnel = SpdyTunnel(
        stream, b"", port=80, transport=TransportChoice.SPDY, owner=owner, limits=limits
    )
    harness = TunnelHarness(tunnel, GoServer(remote), owner, stream)
    if start:
        await tunnel.start(5)
    try:
        yield harness
    finally:
        tunnel.close()
        await tunnel.wait_closed()


def send_until_paused(channel: SpdyChannel, local: RecordingHandler, max_frames: int = 500) -> int:
    for count in range(max_frames):
        if local.paused:
            return count
        channel.send(FRAME)
    return max_frames


async def test_start_waits_for_a_pong() -> None:
    async with tunnel_harness() as harness:
        assert harness.tunnel.up
        assert harness.tunnel.round_trip_s is not None
        assert harness.server.pings == 1


async def test_start_fails_without_a_pong() -> None:
    async with tunnel_harness(start=False) as harness:
        harness.server.silent = True
        with pytest.raises(TransportError, match="nothing answers at its other end"):
            await harness.tunnel.start(0.05)
        assert not harness.tunnel.up


async def test_start_fails_when_the_stream_ends() -> None:
    async with tunnel_harness(start=False) as harness:
        harness.server.silent = True
        starting = asyncio.create_task(harness.tunnel.start(5))
        await asyncio.sleep(0)
        harness.stream.cut()
        with pytest.raises(TransportError):
            await starting


async def test_channels_are_placed_on_separate_workers() -> None:
    async with tunnel_harness() as harness:
        for _ in range(5):
            harness.open()
        await until(lambda: len(harness.server.opened) == 10)
        assert len({number % 5 for number in harness.server.data_streams}) == 5


async def test_stopped_application_does_not_block_other_channels() -> None:
    async with tunnel_harness() as harness:
        stopped, stopped_local = harness.open()
        other, other_local = harness.open()
        await until(lambda: len(harness.server.opened) == 4)
        stopped_id, other_id = harness.server.data_streams
        harness.server.stopped.add(stopped_id)
        sent = 0
        for _ in range(20):
            sent += send_until_paused(stopped, stopped_local)
            await asyncio.sleep(0)
        assert stopped_local.paused
        assert sent <= WINDOW_FRAMES
        assert harness.server.longest_queue() <= QUEUE
        assert not harness.server.blocked
        # The other channel sends a hundred times as much meanwhile.
        total = 0
        while total < 3000:
            total += send_until_paused(other, other_local, 3000 - total)
            await until(lambda: not other_local.paused)
        await until(lambda: harness.server.taken[other_id] == 3000 * len(FRAME))
        assert harness.tunnel.up
        harness.server.resume_reading_all()
        await until(lambda: harness.server.taken[stopped_id] == sent * len(FRAME))
        await until(lambda: stopped.writable)
        assert not stopped_local.paused


class EndlessUpload(RecordingHandler):
    """Client that has data whenever its socket is read."""

    def __init__(self, ready: deque[EndlessUpload]) -> None:
        super().__init__()
        self.sent = 0
        self.longest_wait = 0  # frames of others between two of its own
        self._waited = 0
        self._ready = ready

    def writing_paused(self) -> None:
        super().writing_paused()
        if self in self._ready:
            self._ready.remove(self)

    def writing_resumed(self) -> None:
        super().writing_resumed()
        if self not in self._ready:
            self._ready.append(self)

    def send(self) -> None:
        assert self.channel is not None
        self.channel.send(bytes(20_000))
        self.sent += 1
        self.longest_wait = max(self.longest_wait, self._waited)
        self._waited = 0

    def wait(self) -> None:
        self._waited += 1


@pytest.mark.parametrize("count", [2, 7, 50])
async def test_uploads_that_share_a_tunnel_take_turns(count: int) -> None:
    async with tunnel_harness(write_limit=50_000) as harness:
        # As a loop does: sockets are read in the order in which they were added.
        ready: deque[EndlessUpload] = deque()
        uploads = []
        for _ in range(count):
            upload = EndlessUpload(ready)
            upload.channel = harness.tunnel.open(upload)
            uploads.append(upload)
        harness.tunnel.flush()
        ready.extend(uploads)
        while sum(upload.sent for upload in uploads) < 40 * count:
            if ready:
                sender = ready.popleft()
                ready.append(sender)
                sender.send()
                for other in uploads:
                    if other is not sender:
                        other.wait()
            else:
                await asyncio.sleep(0)
        counts = [upload.sent for upload in uploads]
        assert max(counts) - min(counts) <= 4, counts
        # A worker of the server may be paused for a turn, until it has acknowledged.
        assert max(upload.longest_wait for upload in uploads) <= 4 * count


async def test_new_channel_avoids_a_stopped_worker() -> None:
    async with tunnel_harness() as harness:
        stopped, local = harness.open()
        harness.open()
        await until(lambda: len(harness.server.opened) == 4)
        stopped_id = harness.server.data_streams[0]
        harness.server.stopped.add(stopped_id)
        send_until_paused(stopped, local)
        assert harness.tunnel.suspect
        for _ in range(8):
            harness.open()
        await until(lambda: len(harness.server.opened) == 20)
        assert all(number % 5 != stopped_id % 5 for number in harness.server.opened[4:])


async def test_channel_alone_is_not_metered() -> None:
    async with tunnel_harness() as harness:
        channel, local = harness.open()
        await until(lambda: harness.server.opened)
        harness.server.stopped.add(harness.server.opened[1])
        assert send_until_paused(channel, local, 200) == 200
        await until(lambda: harness.server.blocked)
        harness.server.resume_reading_all()
        await until(lambda: harness.server.taken == {harness.server.opened[1]: 200_000})


async def test_channel_left_alone_is_resumed() -> None:
    async with tunnel_harness() as harness:
        channel, local = harness.open()
        neighbor, _ = harness.open()
        await until(lambda: len(harness.server.opened) == 4)
        harness.server.stopped.add(harness.server.data_streams[0])
        send_until_paused(channel, local)
        assert not channel.writable
        neighbor.abort()
        assert channel.writable
        assert not local.paused


async def test_silence_of_a_blocked_tunnel_ends_it_unless_the_path_is_alive() -> None:
    limits = replace(Limits(), ping_every_s=0.02, silence_s=0.1)
    async with tunnel_harness(limits) as harness:
        channel, local = harness.open()
        await until(lambda: harness.server.opened)
        harness.server.stopped.add(harness.server.opened[1])
        harness.owner.path_alive = True
        send_until_paused(channel, local, 200)
        await until(lambda: harness.server.blocked)
        await asyncio.sleep(0.3)
        assert harness.tunnel.up
        harness.owner.path_alive = False
        await until(lambda: not harness.tunnel.up)
        assert "nothing has come through" in harness.owner.ended[0].message
        assert local.closings[0] is not None
        assert local.closings[0].tunnel_lost


async def test_silence_without_unread_data_ends_the_tunnel() -> None:
    limits = replace(Limits(), ping_every_s=0.02, silence_s=0.1)
    async with tunnel_harness(limits) as harness:
        harness.owner.path_alive = True
        harness.stream.stall()
        await until(lambda: harness.owner.ended)


async def test_small_messages_of_several_channels_leave_in_one_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with tunnel_harness() as harness:
        channels = [harness.open()[0] for _ in range(4)]
        await until(lambda: len(harness.server.opened) == 8)
        writes: list[bytes] = []
        write = harness.stream.writelines

        def record(parts: Sequence[Buffer]) -> None:
            writes.append(b"".join(parts))
            write(parts)

        monkeypatch.setattr(harness.stream, "writelines", record)
        buffer = bytearray(8)
        for number, channel in enumerate(channels):
            buffer[:] = b"message%d" % number
            channel.send(memoryview(buffer))
        buffer[:] = b"is used "
        assert writes == []
        await until(lambda: sum(harness.server.taken.values()) == 32)
        assert len(writes) == 1
        assert [writes[0].count(b"message%d" % number) for number in range(4)] == [1, 1, 1, 1]
        channels[0].send(b"small")
        channels[1].send(bytes(100_000))
        assert len(writes) == 2, "what is large takes along what waits"
        assert writes[1].index(b"small") < len(writes[1]) - 100_000
        await until(lambda: sum(harness.server.taken.values()) == 100_037)


async def test_message_of_a_channel_that_is_alone_leaves_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with tunnel_harness() as harness:
        channel, _ = harness.open()
        writes: list[object] = []
        monkeypatch.setattr(harness.stream, "writelines", writes.append)
        channel.send(b"request")
        assert len(writes) == 1


async def test_slow_reader_alone_pauses_reading() -> None:
    async with tunnel_harness(replace(Limits(), stream_buffer=1000)) as harness:
        channel, local = harness.open()
        channel.set_buffered(999)
        assert not harness.tunnel.stalled
        channel.set_buffered(1000)
        assert harness.tunnel.stalled
        await until(lambda: len(harness.server.opened) == 2)
        harness.server.send_data(harness.server.data_streams[0], b"later")
        await asyncio.sleep(0.01)
        assert not local.received
        channel.set_buffered(501)
        assert harness.tunnel.stalled
        channel.set_buffered(500)
        assert not harness.tunnel.stalled
        await until(lambda: local.received == b"later")


async def test_reader_that_waits_for_the_disk_pauses_reading() -> None:
    limits = replace(Limits(), stream_buffer=1000, stall_grace_s=3600.0)
    async with tunnel_harness(limits) as harness:
        channel, _ = harness.open()
        harness.open()
        channel.set_buffered(200_000_000)
        assert not harness.tunnel.stalled
        channel.set_buffered(201_000_000, is_behind=True)
        assert harness.tunnel.stalled
        channel.set_buffered(201_000_000, is_behind=True)
        channel.set_buffered(201_000_000)
        assert not harness.tunnel.stalled, "it is below the bound"


async def test_slow_reader_that_blocks_others_is_evicted() -> None:
    limits = replace(Limits(), stream_buffer=1000, spill=0, stall_grace_s=0.05)
    async with tunnel_harness(limits) as harness:
        slow, slow_local = harness.open()
        _, other_local = harness.open()
        await until(lambda: len(harness.server.opened) == 4)
        slow.set_buffered(5000)
        assert harness.tunnel.stalled
        harness.server.send_data(harness.server.data_streams[1], b"hello")
        await until(lambda: other_local.received == b"hello")
        reason = slow_local.eviction
        assert reason is not None
        assert (reason.buffered_bytes, reason.total) == (5000, 1)
        assert not harness.tunnel.stalled


async def test_slow_reader_that_catches_up_is_not_evicted() -> None:
    limits = replace(Limits(), stream_buffer=1000, spill=0, stall_grace_s=0.1)
    async with tunnel_harness(limits) as harness:
        slow, slow_local = harness.open()
        harness.open()
        slow.set_buffered(5000)
        slow.set_buffered(0)
        await asyncio.sleep(0.2)
        assert not slow_local.eviction


async def test_slow_reader_that_goes_on_is_not_evicted() -> None:
    limits = replace(
        Limits(), stream_buffer=1000, spill=0, stall_grace_s=3600.0, slowest_reader=1000
    )
    async with tunnel_harness(limits) as harness:
        slow, slow_local = harness.open()
        harness.open()
        slow.set_buffered(left := 100_000)
        for _ in range(5):
            slow.set_buffered(left := left - 1000)
            harness.tunnel._slow_readers._evict()
        assert not slow_local.eviction
        late, late_local = harness.open()
        late.set_buffered(5000)
        slow.set_buffered(left - 999)
        harness.tunnel._slow_readers._evict()
        assert slow_local.eviction
        assert not late_local.eviction, "it has not been looked at before"
        harness.tunnel._slow_readers._evict()
        assert late_local.eviction


async def test_stopped_reader_is_evicted_when_another_channel_lacks_something() -> None:
    limits = replace(Limits(), stream_buffer=1000, spill=0, stall_grace_s=3600.0)
    async with tunnel_harness(limits) as harness:
        slow, slow_local = harness.open()
        idle, _ = harness.open()
        await until(lambda: len(harness.server.opened) == 4)
        idle._active_at -= 3600.0
        slow.set_buffered(5000)
        harness.tunnel._slow_readers._evict()
        assert not slow_local.eviction, "the other one lacks nothing"
        idle.send(b"a request")
        harness.tunnel._slow_readers._evict()
        assert slow_local.eviction


async def test_half_closed_channels_count_as_no_load() -> None:
    limits = replace(Limits(), stream_buffer=1000, spill=0, stall_grace_s=0.02)
    async with tunnel_harness(limits) as harness:
        slow, slow_local = harness.open()
        lingering, _ = harness.open()
        lingering.mark_half_closed()
        assert (harness.tunnel.load, harness.tunnel.channels) == (1, 2)
        slow.set_buffered(5000)
        await asyncio.sleep(0.1)
        assert not slow_local.eviction


async def test_unacknowledged_channel_times_out() -> None:
    limits = replace(Limits(), ping_every_s=0.02, open_timeout_s=0.05)
    async with tunnel_harness(limits) as harness:
        _, local = harness.open()
        await until(lambda: local.closings)
        assert local.closings[0] is not None
        assert local.closings[0].code is ReasonCode.CONNECTION_NO_REPLY
        await until(lambda: len(harness.server.resets) == 2)
        assert harness.tunnel.up


async def test_missing_end_of_the_error_stream_ends_the_channel_after_a_while() -> None:
    async with tunnel_harness(replace(Limits(), half_close_s=0.05)) as harness:
        _, local = harness.open()
        await until(lambda: len(harness.server.opened) == 2)
        harness.server.send_data(harness.server.data_streams[0], b"all", fin=True)
        await until(lambda: local.closings)
        assert local.closings == [None]
        assert local.received == b"all"
        assert local.eof


async def test_fragmented_data_is_complete() -> None:
    async with tunnel_harness() as harness:
        harness.stream.split(3)
        _, local = harness.open()
        await until(lambda: len(harness.server.opened) == 2)
        for _ in range(10):
            harness.server.send_data(harness.server.data_streams[0], b"0123456789")
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
async def test_protocol_violation_ends_the_tunnel(garbage: bytes) -> None:
    async with tunnel_harness() as harness:
        _, local = harness.open()
        harness.server.stream.write(garbage)
        await until(lambda: harness.owner.ended)
        assert local.closings[0] is not None
        assert local.closings[0].tunnel_lost
        assert not harness.tunnel.up
        await asyncio.wait_for(harness.tunnel.wait_closed(), 60)


async def test_goaway_with_full_windows_ends_the_tunnel() -> None:
    async with tunnel_harness() as harness:
        channels = [harness.open() for _ in range(3)]
        await until(lambda: len(harness.server.opened) == 6)
        harness.server.stopped.update(harness.server.data_streams)
        for channel, local in channels:
            send_until_paused(channel, local)
        harness.server.stream.write(struct.pack(">HHIII", 0x8003, 7, 8, 0, 0))
        await until(lambda: harness.owner.ended)
        assert all(local.closings for _, local in channels)


async def test_connection_reset_is_the_failure_of_all_channels() -> None:
    async with tunnel_harness() as harness:
        _, local = harness.open()
        harness.stream.reset()
        await until(lambda: local.closings)
        assert local.closings[0] is not None
        assert "reset by peer" in local.closings[0].summary
        with pytest.raises(TransportError):
            harness.tunnel.open(RecordingHandler())


async def test_close_is_bounded() -> None:
    async with tunnel_harness(replace(Limits(), close_s=0.05)) as harness:
        _, local = harness.open()
        harness.tunnel.close()
        harness.tunnel.close()
        assert local.closings
        assert not harness.owner.ended
        await asyncio.wait_for(harness.tunnel.wait_closed(), 60)


async def test_unanswered_probe_ends_the_tunnel() -> None:
    async with tunnel_harness() as harness:
        harness.tunnel.probe(0.05)
        await asyncio.sleep(0.1)
        assert harness.tunnel.up
        harness.server.silent = True
        harness.tunnel.probe(0.05)
        await until(lambda: not harness.tunnel.up)
