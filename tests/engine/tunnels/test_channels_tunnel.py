from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from tests.engine.tunnels.test_spdy_tunnel import RecordingHandler, RecordingOwner
from tests.support.faulty_stream import FaultyStream
from tests.support.memory_stream import MemoryStream, memory_pair
from tests.support.waiting import until
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.channels_tunnel import ChannelsTunnel
from tui_forward.errors import TransportError
from tui_forward.model import ReasonCode
from tui_forward.protocol.channels_server import ChannelsServer


class Server:
    """Server end with one port; sends nothing while `silent`."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self.silent = False
        self.received = bytearray()
        self.lost = False
        self.codec = ChannelsServer([80])
        self.codec.channels[0].receiver = self
        stream.set_handler(_ServerHandler(self))
        stream.resume_reading()
        self.flush()

    def flush(self) -> None:
        if not self.silent:
            for part in self.codec.data_to_send():
                self.stream.write(part)

    def data_received(self, data: memoryview) -> None:
        self.received += data

    def channels_lost(self) -> None:
        self.lost = True


class _ServerHandler:
    def __init__(self, server: Server) -> None:
        self._server = server

    def data_received(self, data: memoryview) -> None:
        self._server.codec.receive_data(data)
        self._server.flush()

    def writing_paused(self) -> None: ...

    def writing_resumed(self) -> None: ...

    def closed(self, error: TransportError | None) -> None:
        self._server.codec.receive_eof()


@dataclass
class TunnelHarness:
    tunnel: ChannelsTunnel
    server: Server
    owner: RecordingOwner
    stream: FaultyStream


@contextlib.asynccontextmanager
async def tunnel_harness(limits: Limits | None = None) -> AsyncIterator[TunnelHarness]:
    limits = limits or Limits()
    local, remote = memory_pair()
    stream = FaultyStream(local)
    owner = RecordingOwner(limits)
    tunnel = ChannelsTunnel(stream, b"", port=80, owner=owner, limits=limits)
    try:
        yield TunnelHarness(tunnel, Server(remote), owner, stream)
    finally:
        tunnel.close()
        await tunnel.wait_closed()


async def test_tunnel_carries_one_channel() -> None:
    async with tunnel_harness() as harness:
        local = RecordingHandler()
        channel = harness.tunnel.open(local)
        channel.flush()
        channel.send(b"to the pod")
        await until(lambda: harness.server.received == b"to the pod")
        harness.server.codec.channels[0].send(b"from the pod")
        harness.server.flush()
        await until(lambda: local.received == b"from the pod")
        assert channel.acknowledged
        assert harness.tunnel.stalled
        with pytest.raises(TransportError):
            harness.tunnel.open(RecordingHandler())


async def test_end_of_the_channel_ends_the_tunnel() -> None:
    async with tunnel_harness() as harness:
        local = RecordingHandler()
        harness.tunnel.open(local)
        harness.server.codec.channels[0].send(b"bye")
        harness.server.codec.channels[0].finish()
        harness.server.flush()
        await until(lambda: local.closings == [None])
        assert local.received == b"bye"
        assert local.eof
        assert not harness.tunnel.up
        assert (harness.tunnel.load, harness.tunnel.channels) == (0, 0)
        await asyncio.wait_for(harness.tunnel.wait_closed(), 60)


async def test_error_text_is_a_failure() -> None:
    async with tunnel_harness() as harness:
        local = RecordingHandler()
        harness.tunnel.open(local)
        harness.server.codec.channels[0].fail("dial tcp: connect: connection refused")
        harness.server.flush()
        await until(lambda: local.closings)
        assert local.closings[0] is not None
        assert local.closings[0].code is ReasonCode.PORT_REFUSED


async def test_pings_measure_the_round_trip() -> None:
    async with tunnel_harness(replace(Limits(), ping_every_s=0.02)) as harness:
        harness.tunnel.open(RecordingHandler())
        await until(lambda: harness.tunnel.round_trip_s is not None)


async def test_silence_ends_the_tunnel() -> None:
    async with tunnel_harness(replace(Limits(), ping_every_s=0.02, silence_s=0.1)) as harness:
        harness.server.silent = True
        local = RecordingHandler()
        harness.tunnel.open(local)
        await until(lambda: local.closings)
        assert local.closings[0] is not None
        assert "nothing has come through" in local.closings[0].summary
        assert harness.owner.ended


async def test_blocked_tunnel_survives_silence_while_the_path_is_alive() -> None:
    async with tunnel_harness(replace(Limits(), ping_every_s=0.02, silence_s=0.1)) as harness:
        channel = harness.tunnel.open(RecordingHandler())
        harness.server.silent = True
        harness.owner.path_alive = True
        channel.send(b"not read")
        await asyncio.sleep(0.3)
        assert harness.tunnel.up
        harness.owner.path_alive = False
        await until(lambda: not harness.tunnel.up)


async def test_unanswered_probe_ends_the_tunnel() -> None:
    async with tunnel_harness() as harness:
        harness.tunnel.open(RecordingHandler())
        harness.tunnel.probe(0.05)
        await asyncio.sleep(0.1)
        assert harness.tunnel.up
        harness.server.silent = True
        harness.tunnel.probe(0.05)
        await until(lambda: not harness.tunnel.up)


async def test_slow_reader_pauses_reading() -> None:
    async with tunnel_harness(replace(Limits(), stream_buffer=1000)) as harness:
        local = RecordingHandler()
        channel = harness.tunnel.open(local)
        await until(lambda: channel.acknowledged)
        channel.set_buffered(1000)
        harness.server.codec.channels[0].send(b"later")
        harness.server.flush()
        await asyncio.sleep(0.01)
        assert not local.received
        channel.set_buffered(0)
        await until(lambda: local.received == b"later")


async def test_full_stream_pauses_writing() -> None:
    async with tunnel_harness() as harness:
        local = RecordingHandler()
        channel = harness.tunnel.open(local)
        await until(lambda: channel.acknowledged)
        harness.server.stream.pause_reading()
        while channel.writable:
            channel.send(bytes(10_000))
        assert local.paused
        harness.server.stream.resume_reading()
        await until(lambda: not local.paused)


async def test_unacknowledged_channel_times_out() -> None:
    async with tunnel_harness(replace(Limits(), ping_every_s=0.02, open_timeout_s=0.05)) as harness:
        harness.stream.stall()
        local = RecordingHandler()
        harness.tunnel.open(local)
        await until(lambda: local.closings)
        assert local.closings[0] is not None
        assert local.closings[0].code is ReasonCode.CONNECTION_NO_REPLY
        harness.stream.unstall()


async def test_abort_closes_and_connection_reset_is_the_failure() -> None:
    async with tunnel_harness() as harness:
        channel = harness.tunnel.open(RecordingHandler())
        channel.abort()
        channel.abort()
        await until(lambda: harness.server.lost)
    async with tunnel_harness() as harness:
        local = RecordingHandler()
        harness.tunnel.open(local)
        harness.stream.reset()
        await until(lambda: local.closings)
        assert local.closings[0] is not None
        assert "reset by peer" in local.closings[0].summary
