from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from tests.engine.tunnels.test_spdy_tunnel import Local, Owner
from tests.support.faulty_stream import FaultyStream
from tests.support.memory_stream import MemoryStream, memory_pair
from tests.support.waiting import until
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.channels_tunnel import ChannelsTunnel
from tui_forward.errors import TransportError
from tui_forward.model import ReasonCode
from tui_forward.protocol.channels_server import ChannelsServer


class Server:
    """The other end: one port, answers unless told not to."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self.silent = False
        self.received = bytearray()
        self.lost = False
        self.codec = ChannelsServer([80])
        self.codec.channels[0].receiver = self
        stream.set_handler(_Wire(self))
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


class _Wire:
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
    owner: Owner
    wire: FaultyStream


@contextlib.asynccontextmanager
async def rig(limits: Limits | None = None) -> AsyncIterator[TunnelHarness]:
    limits = limits or Limits()
    ours, theirs = memory_pair()
    wire = FaultyStream(ours)
    owner = Owner(limits)
    tunnel = ChannelsTunnel(wire, b"", port=80, owner=owner, limits=limits)
    try:
        yield TunnelHarness(tunnel, Server(theirs), owner, wire)
    finally:
        tunnel.close()
        await tunnel.wait_closed()


async def test_one_channel_and_no_second() -> None:
    async with rig() as made:
        local = Local()
        channel = made.tunnel.open(local)
        channel.flush()
        channel.send(b"to the pod")
        await until(lambda: made.server.received == b"to the pod")
        made.server.codec.channels[0].send(b"from the pod")
        made.server.flush()
        await until(lambda: local.received == b"from the pod")
        assert channel.acknowledged
        assert made.tunnel.stalled
        with pytest.raises(TransportError):
            made.tunnel.open(Local())


async def test_the_end_of_the_port_is_the_end_of_the_tunnel() -> None:
    async with rig() as made:
        local = Local()
        made.tunnel.open(local)
        made.server.codec.channels[0].send(b"bye")
        made.server.codec.channels[0].finish()
        made.server.flush()
        await until(lambda: local.ends == [None])
        assert local.received == b"bye"
        assert local.eof
        assert not made.tunnel.up
        assert (made.tunnel.load, made.tunnel.channels) == (0, 0)
        await asyncio.wait_for(made.tunnel.wait_closed(), 5)


async def test_an_error_text_is_a_failure() -> None:
    async with rig() as made:
        local = Local()
        made.tunnel.open(local)
        made.server.codec.channels[0].fail("dial tcp: connect: connection refused")
        made.server.flush()
        await until(lambda: local.ends)
        assert local.ends[0] is not None
        assert local.ends[0].code is ReasonCode.PORT_REFUSED


async def test_pings_measure_and_silence_is_death() -> None:
    async with rig(replace(Limits(), ping_every_s=0.02, silence_s=0.1)) as made:
        local = Local()
        made.tunnel.open(local)
        await until(lambda: made.tunnel.round_trip_s is not None)
        made.server.silent = True
        await until(lambda: local.ends)
        assert local.ends[0] is not None
        assert "nothing has come through" in local.ends[0].summary
        assert made.owner.ended


async def test_what_is_owed_an_answer_lives_as_long_as_others_answer() -> None:
    async with rig(replace(Limits(), ping_every_s=0.02, silence_s=0.1)) as made:
        channel = made.tunnel.open(Local())
        made.server.silent = True
        made.owner.others_answer = True
        channel.send(b"nobody reads this")
        await asyncio.sleep(0.3)
        assert made.tunnel.up
        made.owner.others_answer = False
        await until(lambda: not made.tunnel.up)


async def test_a_probe() -> None:
    async with rig() as made:
        made.tunnel.open(Local())
        made.tunnel.probe(0.05)
        await asyncio.sleep(0.1)
        assert made.tunnel.up
        made.server.silent = True
        made.tunnel.probe(0.05)
        await until(lambda: not made.tunnel.up)


async def test_a_slow_reader_stops_its_own_tunnel() -> None:
    async with rig(replace(Limits(), stream_buffer=1000)) as made:
        local = Local()
        channel = made.tunnel.open(local)
        await until(lambda: channel.acknowledged)
        channel.set_buffered(1000)
        made.server.codec.channels[0].send(b"later")
        made.server.flush()
        await asyncio.sleep(0.01)
        assert not local.received
        channel.set_buffered(0)
        await until(lambda: local.received == b"later")


async def test_a_full_way_pauses_the_writer() -> None:
    async with rig() as made:
        local = Local()
        channel = made.tunnel.open(local)
        await until(lambda: channel.acknowledged)
        made.server.stream.pause_reading()
        while channel.writable:
            channel.send(bytes(10_000))
        assert local.paused
        made.server.stream.resume_reading()
        await until(lambda: not local.paused)


async def test_a_server_that_never_begins_is_given_up() -> None:
    async with rig(replace(Limits(), ping_every_s=0.02, open_timeout_s=0.05)) as made:
        made.wire.stall()
        local = Local()
        made.tunnel.open(local)
        await until(lambda: local.ends)
        assert local.ends[0] is not None
        assert local.ends[0].code is ReasonCode.CONNECTION_NO_REPLY
        made.wire.unstall()


async def test_aborting_closes_and_a_reset_tells() -> None:
    async with rig() as made:
        channel = made.tunnel.open(Local())
        channel.abort()
        channel.abort()
        await until(lambda: made.server.lost)
    async with rig() as made:
        local = Local()
        made.tunnel.open(local)
        made.wire.reset()
        await until(lambda: local.ends)
        assert local.ends[0] is not None
        assert "reset by peer" in local.ends[0].summary
