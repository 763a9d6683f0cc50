"""Every bound and every period of the data path, in one place.

The defaults suit a workstation with some fifty forwards. Tests reduce them.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one forward's data path; sizes in bytes, times in seconds.

    Attributes:
        spare: Idle tunnels kept warm, so that a new connection pays no handshake.
        max_spare: The most idle tunnels kept warm after bursts of connections.
        max_tunnels: Tunnels per forward, the warm ones included.
        parallel_dials: Handshakes in flight at once while the pool grows.
        share_after_s: How long a connection waits for a tunnel of its own before it shares
            one; shorter when there are more of them than there can be tunnels.
        tunnel_idle_s: How long an idle tunnel beyond `spare` is kept.
        dial_timeout_s: TCP, proxy and TLS together.
        upgrade_timeout_s: How long one transport may take to answer the upgrade request.
        drain_s: How long connections on a tunnel to a previous pod may continue.
        ping_every_s: Period of liveness checks on each tunnel.
        silence_s: A tunnel with a PING unanswered for so long, and no other data received
            meanwhile, is dead.
        open_timeout_s: How long the server may take to acknowledge a new stream.
        half_close_s: How long to wait for the end of a pair's error stream after the end of
            its data stream.
        frame_size: Payload of a DATA frame sent. With its header it fills whole TLS records.
        stream_buffer: Bytes held in memory for one local reader. Beyond it, its tunnel is no
            longer read; or, if others share the tunnel, the rest is kept on disk.
        forward_buffer: Bytes held in memory for all slow readers of one forward.
        spill: Bytes held on disk for all slow readers of one forward; 0 for none.
        stall_grace_s: How long a slow reader may keep the tunnel it shares from being read.
        replay: Bytes from one client kept to send them again after a refusal.
        forward_replay: The same for all clients of a forward.
        retry_refused_s: Pause before a refused connection is tried again, doubling up to
            `retry_refused_max_s`.
        close_s: How long an orderly end of a tunnel may take before it is cut.
    """

    spare: int = 1
    max_spare: int = 6
    max_tunnels: int = 32
    parallel_dials: int = 8
    share_after_s: float = 1.0
    tunnel_idle_s: float = 30.0
    dial_timeout_s: float = 10.0
    upgrade_timeout_s: float = 5.0
    drain_s: float = 30.0
    ping_every_s: float = 5.0
    silence_s: float = 10.0
    open_timeout_s: float = 30.0
    half_close_s: float = 3.0
    frame_size: int = 256 * KIB - 8
    stream_buffer: int = 1 * MIB
    forward_buffer: int = 32 * MIB
    spill: int = 256 * MIB
    stall_grace_s: float = 1.0
    replay: int = 256 * KIB
    forward_replay: int = 16 * MIB
    retry_refused_s: float = 0.05
    retry_refused_max_s: float = 1.0
    close_s: float = 2.0
