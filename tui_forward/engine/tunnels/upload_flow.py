"""Metering of what one SPDY tunnel sends, by the rules of `flow_control`."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from tui_forward.engine.tunnels.flow_control import MAX_UNANSWERED, WorkerWindow, WorkerWindows
from tui_forward.engine.tunnels.spdy_channel import SpdyChannel
from tui_forward.protocol.portforward import TunnelClient

_MAX_HEALTHY_ANSWER_S: Final = 1.0


class UploadFlowOwner(Protocol):
    """What is needed of the tunnel."""

    client: TunnelClient
    load: int
    round_trip_s: float | None
    all_channels: dict[SpdyChannel, None]

    @property
    def up(self) -> bool:
        """Return whether the tunnel has not ended."""

    def channels_in_turn(self) -> list[SpdyChannel]:
        """Return the open channels in the order in which they may send again."""

    def flush(self) -> None:
        """Send what is queued."""

    def notify_owner(self) -> None:
        """Report a change of the tunnel."""


class UploadFlow:
    """Decides which channels of a tunnel may send, and on which worker a new one is placed."""

    __slots__ = ("_loop", "_return_timer", "_tunnel", "_windows")

    def __init__(self, tunnel: UploadFlowOwner) -> None:
        self._loop = asyncio.get_running_loop()
        self._tunnel = tunnel
        self._windows = WorkerWindows()
        self._return_timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Stop all timers. Idempotent."""
        if self._return_timer is not None:
            self._return_timer.cancel()
            self._return_timer = None

    # State.

    @property
    def has_stopped_worker(self) -> bool:
        """Whether a worker has not answered for longer than usual."""
        return self._windows.any_stopped(self._slow_before)

    @property
    def has_unacked_bytes(self) -> bool:
        """Whether the server may still hold data that an application has not read."""
        return any(window.unacked_bytes for window in self._windows.all)

    @property
    def oldest_ping_at(self) -> float | None:
        """When the oldest unanswered PING was sent."""
        return self._windows.oldest_ping_at

    @property
    def is_ping_overdue(self) -> bool:
        """Whether a PING is unanswered for longer than usual."""
        sent_at = self._windows.oldest_ping_at
        return sent_at is not None and sent_at < self._slow_before

    @property
    def _slow_before(self) -> float:
        healthy_s = max(_MAX_HEALTHY_ANSWER_S, 4 * (self._tunnel.round_trip_s or 0.0))
        return time.monotonic() - healthy_s

    # Channels.

    def place_channel(self) -> WorkerWindow:
        """Choose the stream ids of a new pair, and return the window of its data stream."""
        spdy = self._tunnel.client.spdy
        if self._tunnel.load:
            if self._tunnel.load == 1:
                self._windows.acknowledge_all()  # alone, the other one was not metered
            skip = self._windows.stream_ids_to_skip(spdy.next_stream_id, self._slow_before)
            spdy.skip_streams(2 * skip)
        error_id = spdy.next_stream_id
        window = self._windows.window_for(error_id + 2)
        self._windows.window_for(error_id).sent_unmetered(0)
        window.sent_unmetered(0)
        return window

    def sent(self, window: WorkerWindow, size: int) -> None:
        """Meter a frame of DATA; queues a PING when one is due."""
        if window.sent(size):
            self._request_ack(window)

    def pause(self, window: WorkerWindow) -> None:
        """Pause the channels of a window that is full."""
        for channel in list(self._tunnel.all_channels):
            if channel.window is window:
                channel.handler.writing_paused()

    def stop_metering_if_alone(self) -> None:
        """Resume a channel that is alone now: it need not wait for acknowledgements."""
        if self._tunnel.load > 1 or not self._tunnel.up:
            return
        for window in self._windows.all:
            if window.full:
                window.acknowledge_all()
                self._resume(window)

    def _resume(self, window: WorkerWindow) -> None:
        for channel in self._tunnel.channels_in_turn():
            if window.full:
                return
            if channel.window is window:
                channel.resume_writing()

    # PINGs.

    def send_ping(self) -> bool:
        """Queue a PING; return False if the connection has ended."""
        ping_id = self._tunnel.client.send_ping()
        if ping_id:
            self._windows.record_ping(ping_id, time.monotonic())
        return bool(ping_id)

    @property
    def can_ping(self) -> bool:
        """Whether the worker that is next has room for a PING."""
        return len(self._windows.next_pinged.unanswered) < MAX_UNANSWERED

    def pong_received(self, ping_id: int) -> bool:
        """Process a PONG; return whether it answers a PING of this tunnel."""
        for window in self._windows.all:
            was_full, was_suspect = window.full, window.suspect
            sent_at = window.record_pong(ping_id)
            if sent_at is None:
                continue
            self._tunnel.round_trip_s = time.monotonic() - sent_at
            if was_full and not window.full:
                self._resume(window)
            elif window.full and not window.unanswered:
                # More was sent since that PING, and paused channels cause no further one.
                self._request_ack(window)
            if was_suspect and not window.suspect:
                self._tunnel.notify_owner()
            return True
        return False

    def _request_ack(self, window: WorkerWindow) -> None:
        """Send PINGs until one goes to `window`'s worker: the workers take turns."""
        # An ended connection sends none, so the turn would never come.
        while not self._tunnel.client.ended:
            pinged = self._windows.next_pinged
            if len(pinged.unanswered) >= MAX_UNANSWERED:
                if pinged is not window:
                    # A stopped worker is next, so no PING reaches this one: leave it to TCP.
                    was_full = window.full
                    window.acknowledge_all()
                    if was_full:
                        self._resume(window)
                return
            if not self.send_ping() or pinged is window:
                return

    # Workers that may have stopped for good.

    def suspect_worker(self, window: WorkerWindow, frame: int) -> None:
        """Find out whether a frame has stopped a worker; retry its channels elsewhere if so."""
        if self._tunnel.up:
            window.mark_suspect(frame)
            self._request_ack(window)
            self._tunnel.flush()
            if self._return_timer is None:
                self._schedule_return()

    def _schedule_return(self) -> None:
        self._return_timer = self._loop.call_later(_MAX_HEALTHY_ANSWER_S, self._return_undelivered)

    def _return_undelivered(self) -> None:
        self._return_timer = None
        if not self._tunnel.up or not any(window.suspect for window in self._windows.all):
            return
        opened_before = self._slow_before
        for channel in list(self._tunnel.all_channels):
            channel.return_undelivered(opened_before)
        self._tunnel.flush()
        if self._tunnel.all_channels:
            self._schedule_return()
        else:
            self._tunnel.notify_owner()
