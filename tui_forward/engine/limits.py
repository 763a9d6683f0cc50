"""Every bound and every period of the data path, in one place.

The defaults suit a workstation with some fifty forwards. Tests reduce them.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one forward's data path; sizes in bytes, times in seconds."""

    spare: int = 1  # idle tunnels kept warm, so that a new connection pays no handshake
    max_spare: int = 6  # the most idle tunnels kept warm after bursts of connections
    # From so many tunnels on, new connections share those that have a worker of the server left:
    # small messages of many clients then need fewer writes and reads on the whole path.
    own_tunnels: int = 8
    max_tunnels: int = 32  # tunnels per forward, the warm ones included
    # Handshakes in flight at once while the pool grows. Connections share tunnels meanwhile, and
    # each handshake takes processor time from them, at both ends.
    parallel_dials: int = 2
    tunnel_idle_s: float = 30.0  # how long an idle tunnel beyond `spare` is kept
    dial_timeout_s: float = 10.0  # TCP, proxy and TLS together
    upgrade_timeout_s: float = 5.0  # how long one transport may take to answer the upgrade request
    ping_every_s: float = 5.0  # period of liveness checks on each tunnel
    # A tunnel with a PING unanswered for so long, and no other data received meanwhile, is dead.
    silence_s: float = 10.0
    open_timeout_s: float = 30.0  # how long the server may take to acknowledge a new stream
    # How long to wait for the end of a pair's error stream after the end of its data stream.
    half_close_s: float = 3.0
    # Payload of a DATA frame sent. With its header it fills whole TLS records.
    frame_size: int = 256 * KIB - 8
    # Bytes held in memory for one local reader. Beyond it, its tunnel is no longer read; or, if
    # others share the tunnel, the rest is kept on disk.
    stream_buffer: int = 1 * MIB
    forward_buffer: int = 32 * MIB  # bytes held in memory for all slow readers of one forward
    spill: int = 256 * MIB  # bytes held on disk for all slow readers of one forward; 0 for none
    # How long a slow reader may keep the tunnel it shares from being read.
    stall_grace_s: float = 1.0
    slowest_reader: int = 256 * KIB  # a reader that takes less within that time has stopped
    replay: int = 256 * KIB  # bytes from one client kept to send them again after a refusal
    forward_replay: int = 16 * MIB  # the same for all clients of a forward
    # Pause before a refused connection is tried again, doubling up to `retry_refused_max_s`.
    retry_refused_s: float = 0.05
    retry_refused_max_s: float = 1.0
    close_s: float = 2.0  # how long an orderly end of a tunnel may take before it is cut
